"""What goes out and comes in over gRPC, and the same as JSON.

JSON is made from gRPC's messages, so that neither door says more than the other: the same names and values,
but that polygons are an object, a tensor's data is base64, and a meaning is one word to be sent back.
"""

import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from PIL import Image

from gateway.checks import MAX_QUERIES
from gateway.detection import Detection, Event
from gateway.images import MAX_SIDE
from gateway.polygons import feature_collection
from gateway.server.asked import Asked, ImageNames, MapFormat
from gateway.server.settings import ServerSettings
from reasoncd import __version__
from reasoncd.errors import InvalidInputError
from reasoncd.ports import Description
from reasoncd.rpc.meanings import click_from_proto, meaning_from_proto, meaning_to_proto, meaning_to_text
from reasoncd.rpc.messages import description_to_proto, mode_from_proto
from reasoncd.rpc.tensors import tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import gateway_pb2 as pb

NAMES = ImageNames(t1="image_t1", t2="image_t2")
"""Of the contract."""

_MAP_FORMATS: dict[int, MapFormat] = {
    pb.MAP_FORMAT_UNSPECIFIED: MapFormat.PNG,
    pb.MAP_FORMAT_PNG: MapFormat.PNG,
    pb.MAP_FORMAT_TENSOR: MapFormat.TENSOR,
    pb.MAP_FORMAT_NONE: MapFormat.NONE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """One question is answered."""

    query: int
    """Its position."""
    detection: Detection


Told = Event | Answered
"""What happens while a request is in work."""


def asked_from_proto(data: bytes, *, streamed: bool, image_bytes: int) -> Asked:
    """What a serialized request asks.

    Args:
        data: a DetectStreamRequest where `streamed`, else a DetectRequest.
        streamed: see above.
        image_bytes: bound of one image's bytes.

    Raises:
        InvalidInputError: it is no such message, or a field cannot be used.
    """
    kind: Callable[[bytes], Any] = (
        pb.DetectStreamRequest.FromString if streamed else pb.DetectRequest.FromString
    )
    try:
        message = kind(data)
    except DecodeError:
        name = "DetectStreamRequest" if streamed else "DetectRequest"
        raise InvalidInputError(
            f"the request is no {name} of reasoncd.v1; see docs/contract.md for how to send one"
        ) from None
    request: pb.DetectRequest = message.detect if streamed else message
    map_format = _MAP_FORMATS.get(request.map_format)
    if map_format is None:
        known = "MAP_FORMAT_PNG, MAP_FORMAT_TENSOR or MAP_FORMAT_NONE"
        raise InvalidInputError(f"map_format {request.map_format} is unknown; use {known}")
    return Asked(
        image_t1=request.image_t1,
        image_t2=request.image_t2,
        queries=tuple(request.queries),
        mode=mode_from_proto(request.mode),
        threshold=request.threshold if request.HasField("threshold") else None,
        meanings=tuple(meaning_from_proto(meaning) for meaning in request.meanings) or None,
        clicks=tuple(click_from_proto(click) for click in request.clicks),
        with_probability=request.with_probability,
        map_format=map_format,
        names=NAMES,
        image_bytes=image_bytes,
    )


def describe_to_proto(
    parts: Iterable[Description], settings: ServerSettings
) -> pb.ChangeDetectionDescribeResponse:
    """Who answers."""
    return pb.ChangeDetectionDescribeResponse(
        version=__version__,
        components=[description_to_proto(part) for part in parts],
        limits=pb.DetectLimits(**_limits(settings)),
    )


def describe_to_json(parts: Iterable[Description], settings: ServerSettings) -> dict[str, Any]:
    """The same."""
    components = [asdict(part) for part in parts]
    return {"version": __version__, "components": components, "limits": _limits(settings)}


def _limits(settings: ServerSettings) -> dict[str, int]:
    return {
        "message_bytes": settings.message_bytes,
        "image_bytes": settings.image_bytes,
        "image_side": MAX_SIDE,
        "queries": MAX_QUERIES,
        "requests": settings.running,
    }


def detection_to_proto(found: Detection, asked: Asked) -> pb.Detection:
    """The answer to one question, with the maps that were asked for."""
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
        # In pixels: georeferencing stays with the caller.
        polygons_geojson=json.dumps(feature_collection(found.places.drawn, None, found.query)),
        place_count=found.places.count,
        fingerprints=found.fingerprints,
        timings_s=found.timings_s,
        meaning=meaning_to_proto(found.meaning),
    )
    change = found.change_map.astype(np.uint8)
    if asked.map_format is MapFormat.PNG:
        file = io.BytesIO()
        Image.fromarray(change * np.uint8(255)).save(file, "PNG")
        message.change_map_png = file.getvalue()
    elif asked.map_format is MapFormat.TENSOR:
        message.change_map.CopyFrom(tensor_to_proto(Tensor.from_numpy(change)))
    if asked.with_probability:
        message.probability.CopyFrom(tensor_to_proto(Tensor.from_numpy(found.probability)))
    return message


def response_to_proto(found: Sequence[Detection], asked: Asked) -> pb.DetectResponse:
    """All answers."""
    return pb.DetectResponse(detections=[detection_to_proto(each, asked) for each in found])


def told_to_proto(told: Told, asked: Asked) -> pb.DetectStreamResponse:
    """One event of a stream."""
    if isinstance(told, Answered):
        detection = detection_to_proto(told.detection, asked)
        return pb.DetectStreamResponse(mask=pb.DetectMask(query=told.query, detection=detection))
    if told.text:
        return pb.DetectStreamResponse(text=pb.DetectText(query=told.query or 0, text=told.text))
    progress = pb.DetectProgress(stage=told.stage, done=told.done, total=told.total)
    return pb.DetectStreamResponse(progress=progress)


def done_to_proto(asked: Asked) -> pb.DetectStreamResponse:
    """The last event of a stream."""
    return pb.DetectStreamResponse(done=pb.DetectDone(detections=len(asked.queries)))


def detection_to_json(message: pb.Detection) -> dict[str, Any]:
    """A detection as JSON values: `confidence` is null where the map is empty, maps are there if wanted."""
    value = _plain(message)
    value["polygons"] = json.loads(value.pop("polygons_geojson"))
    value["meaning"] = meaning_to_text(message.meaning)
    value.setdefault("confidence", None)
    if not message.change_map_png:
        del value["change_map_png"]
    for name in ("change_map", "probability"):
        if message.HasField(name):
            value[name]["dtype"] = value[name]["dtype"].removeprefix("DATA_TYPE_").lower()
            # Protobuf's JSON writes 64-bit numbers as strings.
            value[name]["shape"] = [int(length) for length in value[name]["shape"]]
    return value


EventName = Literal["progress", "text", "mask", "done"]


def event_to_json(message: pb.DetectStreamResponse) -> tuple[EventName, dict[str, Any]]:
    """Name and JSON values of one event of a stream."""
    name: EventName | None = message.WhichOneof("event")
    assert name is not None
    if name == "mask":
        return name, {"query": message.mask.query, "detection": detection_to_json(message.mask.detection)}
    return name, _plain(getattr(message, name))


def _plain(message: Any) -> dict[str, Any]:
    value: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return value
