"""The small engines behind real gRPC servers on loopback, with replicas, scripts and a record of calls."""

# ruff: noqa: N802 - the rpcs' names

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count
from threading import Event, Lock
from typing import Any

import grpc
import numpy as np

from reasoncd.ports import Description
from reasoncd.rpc.channel import MESSAGE_OPTIONS
from reasoncd.rpc.messages import (
    clicks_from_proto,
    description_to_proto,
    event_to_proto,
    float32_from_proto,
    masks_to_proto,
    mode_from_proto,
    origin_of,
)
from reasoncd.rpc.status import ERROR_TRAILER
from reasoncd.rpc.tensors import tensor_from_proto, tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import (
    describe_pb2,
    features_pb2,
    mask_decoder_pb2,
    mask_decoder_pb2_grpc,
    reasoner_pb2,
    reasoner_pb2_grpc,
    vision_encoder_pb2,
    vision_encoder_pb2_grpc,
)

Step = Callable[[Any], None]
"""Done when a call arrives; may abort it."""


@dataclass
class Call:
    """One call as a service saw it."""

    method: str
    application: str
    metadata: dict[str, str]
    remaining_s: float
    digest: bool = False
    """Features were named rather than sent."""


class Replica:
    """An engine and the features that it was sent."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.held: dict[str, Tensor] = {}

    @property
    def description(self) -> Description:
        found: Description = self.engine.description
        return found

    def features(self, message: features_pb2.Features) -> Tensor | None:
        if message.WhichOneof("source") == "digest":
            return self.held.get(message.digest)
        tensor = tensor_from_proto(message.tensor, name="features")
        self.held[tensor.digest] = tensor
        return tensor


@dataclass
class Wire:
    """All four applications; what a test changes here holds from the next call on."""

    replicas: dict[str, list[Replica]]
    """By application; calls go round."""
    calls: list[Call] = field(default_factory=list)
    script: dict[str, list[Step | None]] = field(default_factory=dict)
    """Steps by method, one a call."""
    after_event: Step | None = None
    """Done between the events of an answer."""
    empty_first: bool = False
    """An answer begins with a response without an event, as a refused one does behind Ray Serve's proxy."""
    origins: Iterator[str] | None = None
    """Fingerprints of the events of an answer, in place of the replica's own."""
    wholes: list[bool] = field(default_factory=list)
    """Of each question to the reasoner: whether no text was asked for."""
    target: str = ""
    _turns: dict[str, Iterator[int]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def methods(self, *, describe: bool = False) -> list[str]:
        return [call.method for call in self.calls if describe or call.method != "Describe"]

    def count(self, method: str) -> int:
        return sum(call.method == method for call in self.calls)

    def digests(self, method: str) -> list[bool]:
        """Of each call in order: whether features were named by digest."""
        return [call.digest for call in self.calls if call.method == method]

    def arrive(self, method: str, context: Any, features: features_pb2.Features | None = None) -> Replica:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        application = metadata["application"]
        call = Call(
            method=method,
            application=application,
            metadata=metadata,
            remaining_s=context.time_remaining(),
            digest=features is not None and features.WhichOneof("source") == "digest",
        )
        with self._lock:
            self.calls.append(call)
            steps = self.script.get(method, [])
            step = steps.pop(0) if steps else None
        if step is not None:
            step(context)
        with self._lock:
            behind = self.replicas[application]
            return behind[next(self._turns.setdefault(application, count())) % len(behind)]


class Vision(vision_encoder_pb2_grpc.VisionEncoderServicer):
    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def Describe(self, request: Any, context: Any) -> Any:
        return _described(self.wire.arrive("Describe", context))

    def EncodeForReasoning(self, request: Any, context: Any) -> Any:
        replica = self.wire.arrive("EncodeForReasoning", context)
        tokens = replica.engine.encode_for_reasoning(tensor_from_proto(request.images, name="images").numpy())
        return vision_encoder_pb2.EncodeForReasoningResponse(
            clip_tokens=tensor_to_proto(tokens), origin=origin_of(replica.description)
        )

    def EncodeForDecoding(self, request: Any, context: Any) -> Any:
        replica = self.wire.arrive("EncodeForDecoding", context)
        fused = replica.engine.encode_for_decoding(tensor_from_proto(request.images, name="images").numpy())
        return vision_encoder_pb2.EncodeForDecodingResponse(
            fused_map=tensor_to_proto(fused), origin=origin_of(replica.description)
        )


class Reasoner(reasoner_pb2_grpc.ReasonerServicer):
    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def Describe(self, request: Any, context: Any) -> Any:
        return _described(self.wire.arrive("Describe", context))

    def Reason(self, request: Any, context: Any) -> Iterator[Any]:
        if self.wire.empty_first:
            yield reasoner_pb2.ReasonResponse()
        replica = self.wire.arrive("Reason", context, request.clip_tokens)
        self.wire.wholes.append(request.whole)
        tokens = replica.features(request.clip_tokens)
        if tokens is None:
            need = features_pb2.NeedFeatures(digest=request.clip_tokens.digest)
            yield reasoner_pb2.ReasonResponse(need_features=need, origin=origin_of(replica.description))
            return
        origin = origin_of(replica.description)
        for event in replica.engine.reason(tokens, request.query, mode_from_proto(request.mode)):
            if self.wire.origins is not None:
                origin.fingerprint = next(self.wire.origins)
            yield event_to_proto(event, origin)
            if self.wire.after_event is not None:
                self.wire.after_event(context)


class Decoder(mask_decoder_pb2_grpc.MaskDecoderServicer):
    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def Describe(self, request: Any, context: Any) -> Any:
        return _described(self.wire.arrive("Describe", context))

    def Decode(self, request: Any, context: Any) -> Any:
        replica = self.wire.arrive("Decode", context, request.fused_map)
        fused = replica.features(request.fused_map)
        origin = origin_of(replica.description)
        if fused is None:
            need = features_pb2.NeedFeatures(digest=request.fused_map.digest)
            return mask_decoder_pb2.DecodeResponse(need_features=need, origin=origin)
        told: dict[str, Any] = {}
        if request.HasField("clicks"):
            told["clicks"] = clicks_from_proto(request.clicks)
        if request.HasField("previous_logits"):
            told["previous_logits"] = float32_from_proto(request.previous_logits, name="previous_logits")
        masks = replica.engine.decode(fused, tensor_from_proto(request.seg_embeddings, name="segs"), **told)
        return mask_decoder_pb2.DecodeResponse(masks=masks_to_proto(masks), origin=origin)


def _described(replica: Replica) -> Any:
    return describe_pb2.DescribeResponse(description=description_to_proto(replica.description))


def serving(wire: Wire) -> grpc.Server:
    """A server of all four applications, without a port yet."""
    server = grpc.server(ThreadPoolExecutor(16), options=MESSAGE_OPTIONS)
    vision_encoder_pb2_grpc.add_VisionEncoderServicer_to_server(Vision(wire), server)
    reasoner_pb2_grpc.add_ReasonerServicer_to_server(Reasoner(wire), server)
    mask_decoder_pb2_grpc.add_MaskDecoderServicer_to_server(Decoder(wire), server)
    return server


def edition(engine: Any, fingerprint: str, **changes: Any) -> Any:
    """Another edition of an engine: it answers alike but says another fingerprint."""
    other = type(engine)()
    other.description = replace(engine.description, fingerprint=fingerprint, **changes)
    return other


def fails(status: grpc.StatusCode, *, ours: bool = False, details: str = "Traceback: secret") -> Step:
    """A step that ends the call, with our trailer or without."""

    def step(context: Any) -> None:
        if ours:
            context.set_trailing_metadata(((ERROR_TRAILER, status.name),))
        context.abort(status, details)

    return step


def hang(released: Event) -> None:
    """Hold a call up until the test is over."""
    assert released.wait(30)


def same(one: Any, other: Any) -> bool:
    """Whether two detections say the same, but for the seconds they took; arrays byte for byte."""
    for name in type(one).__slots__:
        mine, its = getattr(one, name), getattr(other, name)
        if isinstance(mine, np.ndarray):
            mine, its = (mine.dtype, mine.shape, mine.tobytes()), (its.dtype, its.shape, its.tobytes())
        if name != "timings_s" and mine != its:
            return False
    return True
