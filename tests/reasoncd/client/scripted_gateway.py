"""A gateway on loopback that does what a test tells it, call by call, and remembers what it was asked."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np

from reasoncd.errors import ReasonCDError
from reasoncd.rpc.status import status_of, trailers_of
from reasoncd.rpc.tensors import tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import describe_pb2
from reasoncd.v1 import gateway_pb2 as pb
from reasoncd.v1.gateway_pb2_grpc import ChangeDetectionServicer

HEIGHT, WIDTH = 20, 24
Act = Callable[[Any, grpc.ServicerContext], Any]


def detection(query: str, *, with_probability: bool = False) -> pb.Detection:
    """A valid answer: the right half changed."""
    probability = np.zeros((HEIGHT, WIDTH), np.float32)
    probability[:, WIDTH // 2 :] = 0.75
    message = pb.Detection(
        query=query,
        answer="New buildings: 1 place, 50.0 % of the area.",
        model_answer="New buildings",
        seg_emitted=True,
        seg_probability=0.9,
        presence=0.8,
        confidence=0.7,
        threshold=0.5,
        presence_threshold=0.25,
        changed_fraction=0.5,
        change_map=tensor_to_proto(Tensor.from_numpy((probability >= 0.5).astype(np.uint8))),
        polygons_geojson='{"type": "FeatureCollection", "features": []}',
        place_count=1,
        fingerprints={"reasoner": "abc"},
        timings_s={"encode": 0.25},
    )
    if with_probability:
        message.probability.CopyFrom(tensor_to_proto(Tensor.from_numpy(probability)))
    return message


def refusing(error: ReasonCDError) -> Act:
    """As the gateway refuses."""

    def act(request: Any, context: grpc.ServicerContext) -> Any:
        context.set_trailing_metadata(trailers_of(error))
        context.abort(status_of(error), error.message)

    return act


def breaking(status: grpc.StatusCode, details: str = "Socket closed") -> Act:
    """As what lies between fails: without the trailer of our errors."""
    return lambda request, context: context.abort(status, details)


class ScriptedGateway(ChangeDetectionServicer):
    """Does the acts in turn, and answers rightly when there are no more."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.remaining_s: list[float] = []
        self.ended = threading.Event()
        """A call that waited for its caller's end has seen it."""
        self.waiting = threading.Event()
        """A call waits for its caller's end."""

    def _note(self, request: Any, context: grpc.ServicerContext) -> Act | None:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.remaining_s.append(context.time_remaining())
        return self.acts.pop(0) if self.acts else None

    def wait(self, request: Any, context: grpc.ServicerContext) -> Any:
        """An act: work until nobody waits for the answer."""
        context.add_callback(self.ended.set)
        self.waiting.set()
        self.ended.wait(20)
        return pb.DetectResponse()

    def linger(self, request: Any, context: grpc.ServicerContext) -> Any:
        """An act: tell one event, then do as `wait`."""
        context.add_callback(self.ended.set)
        yield next(events(request))
        self.ended.wait(20)

    def Describe(  # noqa: N802 - named by gRPC
        self, request: describe_pb2.DescribeRequest, context: grpc.ServicerContext
    ) -> pb.ChangeDetectionDescribeResponse:
        if act := self._note(request, context):
            return act(request, context)
        reasoner = describe_pb2.Description(component=describe_pb2.COMPONENT_REASONER, fingerprint="abc")
        limits = pb.DetectLimits(message_bytes=1000, image_bytes=900, image_side=800, queries=32, requests=4)
        return pb.ChangeDetectionDescribeResponse(version="9.9", components=[reasoner], limits=limits)

    def Detect(  # noqa: N802
        self, request: pb.DetectRequest, context: grpc.ServicerContext
    ) -> pb.DetectResponse:
        if act := self._note(request, context):
            return act(request, context)
        answers = [detection(query, with_probability=request.with_probability) for query in request.queries]
        return pb.DetectResponse(detections=answers)

    def DetectStream(  # noqa: N802
        self, request: pb.DetectStreamRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.DetectStreamResponse]:
        if act := self._note(request, context):
            yield from act(request, context)
            return
        yield from events(request)


def events(request: pb.DetectStreamRequest) -> Iterator[pb.DetectStreamResponse]:
    """A whole stream."""
    yield pb.DetectStreamResponse(progress=pb.DetectProgress(stage="encode", done=1, total=1))
    for number, query in enumerate(request.detect.queries):
        yield pb.DetectStreamResponse(text=pb.DetectText(query=number, text="New "))
        yield pb.DetectStreamResponse(text=pb.DetectText(query=number, text="buildings"))
        answer = detection(query, with_probability=request.detect.with_probability)
        yield pb.DetectStreamResponse(mask=pb.DetectMask(query=number, detection=answer))
    yield pb.DetectStreamResponse(done=pb.DetectDone(detections=len(request.detect.queries)))
