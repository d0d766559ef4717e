"""A pipeline behind the gateway's gRPC contract, on loopback in a thread of this process."""

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
from grpc_reflection.v1alpha import reflection
from PIL import Image

from gateway.detection import Detection, Event
from gateway.images import decode_image, pair_images
from gateway.pipeline import Pipeline
from gateway.polygons import feature_collection
from reasoncd.rpc.channel import MESSAGE_OPTIONS
from reasoncd.rpc.guard import guarded, guarded_stream
from reasoncd.rpc.meanings import meaning_to_proto
from reasoncd.rpc.messages import description_to_proto, mode_from_proto
from reasoncd.rpc.tensors import tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import gateway_pb2 as pb
from reasoncd.v1.gateway_pb2_grpc import add_ChangeDetectionServicer_to_server


def _detection(found: Detection, request: pb.DetectRequest) -> pb.Detection:
    message = pb.Detection(
        query=found.query,
        answer=found.answer,
        model_answer=found.model_answer,
        seg_emitted=found.seg_emitted,
        seg_probability=found.seg_probability,
        presence=found.presence,
        confidence=found.confidence,
        threshold=found.threshold,
        presence_threshold=found.presence_threshold,
        changed_fraction=found.changed_fraction,
        polygons_geojson=json.dumps(feature_collection(found.places.drawn, None, found.query)),
        place_count=found.places.count,
        fingerprints=found.fingerprints,
        timings_s=found.timings_s,
        meaning=meaning_to_proto(found.meaning),
    )
    if request.map_format == pb.MAP_FORMAT_TENSOR:
        message.change_map.CopyFrom(tensor_to_proto(Tensor.from_numpy(found.change_map.astype(np.uint8))))
    elif request.map_format != pb.MAP_FORMAT_NONE:
        file = io.BytesIO()
        Image.fromarray(found.change_map.astype(np.uint8) * 255).save(file, "PNG")
        message.change_map_png = file.getvalue()
    if request.with_probability:
        message.probability.CopyFrom(tensor_to_proto(Tensor.from_numpy(found.probability)))
    return message


class _Front:
    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def _detect(self, request: pb.DetectRequest, **tell: Any) -> list[Detection]:
        images = [
            decode_image(data, name)
            for data, name in ((request.image_t1, "image_t1"), (request.image_t2, "image_t2"))
        ]
        pair = pair_images(images[0], images[1], "image_t1", "image_t2")
        threshold = request.threshold if request.HasField("threshold") else None
        mode = mode_from_proto(request.mode)
        return self._pipeline.detect(
            pair.images, list(request.queries), mode=mode, threshold=threshold, **tell
        )

    @guarded(pb.ChangeDetectionDescribeResponse)
    async def Describe(self, request: Any, context: Any) -> pb.ChangeDetectionDescribeResponse:  # noqa: N802
        parts = [description_to_proto(part) for part in self._pipeline.describe()]
        return pb.ChangeDetectionDescribeResponse(version="1", components=parts)

    @guarded(pb.DetectResponse)
    async def Detect(self, request: pb.DetectRequest, context: Any) -> pb.DetectResponse:  # noqa: N802
        found = await asyncio.to_thread(self._detect, request)
        return pb.DetectResponse(detections=[_detection(each, request) for each in found])

    @guarded_stream
    async def DetectStream(  # noqa: N802
        self, request: pb.DetectStreamRequest, context: Any
    ) -> AsyncIterator[pb.DetectStreamResponse]:
        events: list[pb.DetectStreamResponse] = []

        def on_event(event: Event) -> None:
            if event.text:
                told = pb.DetectStreamResponse(text=pb.DetectText(query=event.query or 0, text=event.text))
            else:
                progress = pb.DetectProgress(stage=event.stage, done=event.done, total=event.total)
                told = pb.DetectStreamResponse(progress=progress)
            events.append(told)

        def on_detection(number: int, found: Detection) -> None:
            mask = pb.DetectMask(query=number, detection=_detection(found, request.detect))
            events.append(pb.DetectStreamResponse(mask=mask))

        found = await asyncio.to_thread(
            self._detect, request.detect, on_event=on_event, on_detection=on_detection
        )
        for event in events:
            yield event
        yield pb.DetectStreamResponse(done=pb.DetectDone(detections=len(found)))


@contextmanager
def served(pipeline: Pipeline) -> Iterator[str]:
    """Serve a pipeline while the block runs.

    Yields:
        HOST:PORT of its gRPC port.
    """
    port: list[int] = []
    ready = threading.Event()
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        server = grpc.aio.server(options=MESSAGE_OPTIONS)
        add_ChangeDetectionServicer_to_server(_Front(pipeline), server)
        names = pb.DESCRIPTOR.services_by_name["ChangeDetection"].full_name, reflection.SERVICE_NAME
        reflection.enable_server_reflection(names, server)
        port.append(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        stopping = asyncio.Event()
        stop.append((asyncio.get_running_loop(), stopping))
        ready.set()
        await stopping.wait()
        await server.stop(None)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(30)
    try:
        yield f"127.0.0.1:{port[0]}"
    finally:
        loop, stopping = stop[0]
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
