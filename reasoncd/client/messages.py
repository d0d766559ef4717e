"""The gateway's messages: made from arguments, read into results."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from reasoncd.client.images import ImageSource, image_bytes
from reasoncd.client.results import (
    Detected,
    Detection,
    DetectLimits,
    Event,
    GatewayDescription,
    Progress,
    Text,
)
from reasoncd.errors import InvalidInputError, ReasonCDError
from reasoncd.meanings import Click, Meaning
from reasoncd.ports import Mode
from reasoncd.rpc.channel import MESSAGE_BYTES
from reasoncd.rpc.meanings import click_to_proto, meaning_from_proto, meaning_to_proto
from reasoncd.rpc.messages import description_from_proto, mode_to_proto
from reasoncd.rpc.tensors import tensor_from_proto
from reasoncd.v1 import gateway_pb2 as pb
from reasoncd.v1 import tensor_pb2


def detect_request(
    t1: ImageSource,
    t2: ImageSource,
    queries: str | Sequence[str],
    *,
    mode: Mode | str = Mode.SHORT,
    threshold: float | None = None,
    meanings: Sequence[Meaning] | None = None,
    clicks: Sequence[Click] | None = None,
    with_probability: bool = False,
) -> pb.DetectRequest:
    """The request of both ways to ask; what the questions and images hold is the gateway's to judge.

    Raises:
        NotFoundError, InvalidInputError: an image cannot be read, a question is no text, there is no such
            mode, or both images together are too large.
    """
    if mode not in tuple(Mode):
        known = " or ".join(repr(each.value) for each in Mode)
        raise InvalidInputError(f"mode {mode!r} is unknown; use {known}")
    asked = [queries] if isinstance(queries, str) else list(queries)
    try:
        request = pb.DetectRequest(
            image_t1=image_bytes(t1, name="image_t1"),
            image_t2=image_bytes(t2, name="image_t2"),
            queries=asked,
            mode=mode_to_proto(Mode(mode)),
            threshold=threshold,
            meanings=[meaning_to_proto(meaning) for meaning in meanings or ()],
            clicks=[click_to_proto(click) for click in clicks or ()],
            with_probability=with_probability,
            map_format=pb.MAP_FORMAT_TENSOR,
        )
    except (TypeError, UnicodeError):
        raise InvalidInputError("queries must be texts and threshold a number; check both") from None
    if request.ByteSize() > MESSAGE_BYTES:
        raise InvalidInputError(
            f"both images together are larger than {MESSAGE_BYTES // 2**20} MiB; "
            "send them as PNG or cut them into smaller images"
        )
    return request


def read_description(message: pb.ChangeDetectionDescribeResponse) -> GatewayDescription:
    """Who answers.

    Raises:
        ReasonCDError: the message cannot be understood.
    """
    limits = message.limits
    with _understanding():
        return GatewayDescription(
            version=message.version,
            components=tuple(description_from_proto(component) for component in message.components),
            limits=DetectLimits(
                message_bytes=limits.message_bytes,
                image_bytes=limits.image_bytes,
                image_side=limits.image_side,
                queries=limits.queries,
                requests=limits.requests,
            ),
        )


def read_detections(message: pb.DetectResponse, count: int) -> list[Detection]:
    """The answers to `count` questions.

    Raises:
        ReasonCDError: the message cannot be understood or holds another number of answers.
    """
    if len(message.detections) != count:
        given = len(message.detections)
        raise ReasonCDError(f"the gateway gave {given} answers to {count} questions; ask again")
    return [read_detection(detection) for detection in message.detections]


def read_detection(message: pb.Detection) -> Detection:
    """The answer to one question.

    Raises:
        ReasonCDError: the message cannot be understood.
    """
    with _understanding():
        change_map = _map(message.change_map, "uint8", "change_map").astype(np.bool_)
        probability = None
        if message.HasField("probability"):
            probability = _map(message.probability, "float32", "probability").astype(np.float32, copy=False)
            if probability.shape != change_map.shape:
                raise InvalidInputError(f"probability is {probability.shape}, change_map {change_map.shape}")
        return Detection(
            query=message.query,
            answer=message.answer,
            model_answer=message.model_answer,
            seg_emitted=message.seg_emitted,
            seg_probability=message.seg_probability,
            presence=message.presence,
            confidence=message.confidence if message.HasField("confidence") else None,
            threshold=message.threshold,
            presence_threshold=message.presence_threshold,
            changed_fraction=message.changed_fraction,
            change_map=change_map,
            probability=probability,
            polygons=json.loads(message.polygons_geojson),
            place_count=message.place_count,
            fingerprints=dict(message.fingerprints),
            timings_s=dict(message.timings_s),
            meaning=meaning_from_proto(message.meaning) if message.HasField("meaning") else None,
        )


def read_event(message: pb.DetectStreamResponse) -> Event | None:
    """What happened; None for what a newer gateway tells and this client does not know.

    Raises:
        ReasonCDError: the message cannot be understood.
    """
    match message.WhichOneof("event"):
        case "progress":
            told = message.progress
            return Progress(stage=told.stage, done=told.done, total=told.total)
        case "text":
            return Text(query=message.text.query, text=message.text.text)
        case "mask":
            return Detected(query=message.mask.query, detection=read_detection(message.mask.detection))
        case _:
            return None


def check_end(done: pb.DetectDone | None, detections: int, count: int) -> None:
    """Refuse a stream that ended early.

    Raises:
        ReasonCDError: the last event did not come, or there are not as many answers as questions.
    """
    if done is None or not done.detections == detections == count:
        raise ReasonCDError(f"the gateway's answer broke off after {detections} of {count}; ask again")


def _map(message: tensor_pb2.Tensor, dtype: str, name: str) -> NDArray[np.generic]:
    tensor = tensor_from_proto(message, name=name)
    if tensor.dtype != dtype or len(tensor.shape) != 2:
        raise InvalidInputError(f"{name} is {tensor.dtype} {tensor.shape}, not {dtype} (H, W)")
    return tensor.numpy()


@contextmanager
def _understanding() -> Iterator[None]:
    """A reply that cannot be read is no fault of the input."""
    try:
        yield
    except (InvalidInputError, ValueError) as error:
        raise ReasonCDError(
            f"the gateway's reply cannot be read ({error}); use a client and a gateway of one version"
        ) from error
