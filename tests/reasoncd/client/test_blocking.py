"""The client for programs without asyncio, against a real server."""

import io
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from reasoncd.client import Detected, Event, Mode, Progress, ReasonCDClient, Text
from reasoncd.errors import (
    CancelledError,
    CheckpointError,
    Code,
    DeadlineError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    ReasonCDError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from reasoncd.rpc.scope import CallScope, under
from reasoncd.v1 import gateway_pb2 as pb
from reasoncd.v1 import reasoner_pb2, tensor_pb2
from tests.reasoncd.client.scripted_gateway import (
    HEIGHT,
    WIDTH,
    Act,
    ScriptedGateway,
    breaking,
    detection,
    events,
    refusing,
)

pytestmark = pytest.mark.unit

Pixels = NDArray[np.uint8]
Ask = Callable[[ReasonCDClient], object]


def test_answers_come_as_arrays_and_plain_values(target: str, image: Pixels) -> None:
    with ReasonCDClient(target) as client:
        first, second = client.detect(image, image, ["new buildings", "lost roads"], with_probability=True)
    assert (first.query, second.query) == ("new buildings", "lost roads")
    assert first.answer == "New buildings: 1 place, 50.0 % of the area."
    assert (first.change_map.shape, first.change_map.dtype.name) == ((HEIGHT, WIDTH), "bool")
    assert first.change_map.mean() == first.changed_fraction == 0.5
    assert first.probability is not None
    assert (first.probability.shape, first.probability.dtype.name) == ((HEIGHT, WIDTH), "float32")
    np.testing.assert_array_equal(first.probability >= first.threshold, first.change_map)
    assert first.polygons == {"type": "FeatureCollection", "features": []}
    assert (first.presence, first.confidence, first.place_count) == (0.8, 0.7, 1)
    assert (first.fingerprints, first.timings_s) == ({"reasoner": "abc"}, {"encode": 0.25})


def test_what_is_asked_arrives(target: str, gateway: ScriptedGateway, image: Pixels) -> None:
    with ReasonCDClient(target, token="secret", timeout_s=30) as client:
        (answer,) = client.detect(
            image, image[::-1], "new buildings", mode=Mode.EXPLAINED, threshold=0.25, request_id="job-7"
        )
        assert answer.probability is None
        client.detect(image, image, ["a"], mode="short", timeout_s=5)
    asked, other = gateway.requests
    assert list(asked.queries) == ["new buildings"]
    assert (asked.mode, asked.threshold, asked.with_probability) == (reasoner_pb2.MODE_EXPLAINED, 0.25, False)
    assert asked.map_format == pb.MAP_FORMAT_TENSOR
    # Nothing is lost on the way, whatever the array's strides.
    for sent, pixels in ((asked.image_t1, image), (asked.image_t2, image[::-1])):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(sent))), pixels)
    assert not other.HasField("threshold")
    assert gateway.metadata[0]["authorization"] == "Bearer secret"
    assert gateway.metadata[0]["x-request-id"] == "job-7"
    assert len(gateway.metadata[1]["x-request-id"]) == 32
    # gRPC rounds up what it sends.
    assert 6 < gateway.remaining_s[0] < 31
    assert gateway.remaining_s[1] < 6


def test_files_and_bytes_are_sent_as_they_are(
    target: str, gateway: ScriptedGateway, image: Pixels, tmp_path: Path
) -> None:
    path = tmp_path / "after.jpg"
    Image.fromarray(image).save(path)
    with ReasonCDClient(target) as client:
        client.detect(path, str(path), "a")
        client.detect(path.read_bytes(), path.read_bytes(), "a")
    for asked in gateway.requests:
        assert asked.image_t1 == asked.image_t2 == path.read_bytes()


def test_who_answers(target: str) -> None:
    with ReasonCDClient(target) as client:
        described = client.describe()
    assert described.version == "9.9"
    assert [(part.component, part.fingerprint) for part in described.components] == [("reasoner", "abc")]
    assert (described.limits.queries, described.limits.image_side) == (32, 800)


def test_events_come_in_order(target: str, image: Pixels) -> None:
    with ReasonCDClient(target) as client:
        told = list(client.detect_stream(image, image, ["new buildings", "lost roads"]))
        answers = client.detect(image, image, ["new buildings", "lost roads"])
    assert told[0] == Progress(stage="encode", done=1, total=1)
    assert [event.text for event in told if isinstance(event, Text)] == ["New ", "buildings"] * 2
    detected = [event for event in told if isinstance(event, Detected)]
    assert [event.query for event in detected] == [0, 1]
    for event, answer in zip(detected, answers, strict=True):
        assert (event.detection.query, event.detection.answer) == (answer.query, answer.answer)
        np.testing.assert_array_equal(event.detection.change_map, answer.change_map)


def test_events_that_this_client_does_not_know_are_passed_over(
    target: str, gateway: ScriptedGateway, image: Pixels
) -> None:
    def newer(request: pb.DetectStreamRequest, context: grpc.ServicerContext) -> object:
        yield pb.DetectStreamResponse()
        yield from events(request)

    gateway.acts = [newer]
    with ReasonCDClient(target) as client:
        assert len(list(client.detect_stream(image, image, "new buildings"))) == 4


@pytest.mark.parametrize(
    "error",
    [
        InvalidInputError("image_t1 is empty; give a PNG, JPEG or TIFF image"),
        UnauthenticatedError("the token is not known; ask for one"),
        CheckpointError("reasoner a and mask_decoder b do not fit"),
        ReasonCDError("a fault of this service; its log has it"),
        DeadlineError("the deadline passed before the answer was ready; allow more time"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_the_gateways_own_errors_are_final(
    target: str, gateway: ScriptedGateway, image: Pixels, error: ReasonCDError, streamed: bool
) -> None:
    gateway.acts = [refusing(error)]
    with ReasonCDClient(target) as client, pytest.raises(type(error)) as raised:
        ask(client, image, streamed=streamed, request_id="job-8")
    assert raised.value.message == error.message
    assert raised.value.code is error.code
    assert raised.value.request_id == "job-8"
    assert "request id job-8" in raised.value.__notes__
    assert len(gateway.requests) == 1


def ask(client: ReasonCDClient, image: Pixels, *, streamed: bool, request_id: str | None = None) -> None:
    if streamed:
        list(client.detect_stream(image, image, "new buildings", request_id=request_id))
    else:
        client.detect(image, image, "new buildings", request_id=request_id)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "act",
    [
        refusing(UnavailableError("the gateway is stopping; ask again")),
        breaking(grpc.StatusCode.UNAVAILABLE),
        breaking(grpc.StatusCode.INTERNAL, "RST_STREAM"),
        breaking(grpc.StatusCode.UNKNOWN),
        breaking(grpc.StatusCode.CANCELLED),
    ],
)
def test_a_lost_call_is_tried_again(
    target: str, gateway: ScriptedGateway, image: Pixels, act: Act, streamed: bool
) -> None:
    gateway.acts = [act, act]
    with ReasonCDClient(target) as client:
        ask(client, image, streamed=streamed)
    assert len(gateway.requests) == 3
    # It stays the same request.
    assert len({told["x-request-id"] for told in gateway.metadata}) == 1


def test_a_call_is_tried_three_times_at_most(target: str, gateway: ScriptedGateway, image: Pixels) -> None:
    gateway.acts = [breaking(grpc.StatusCode.UNAVAILABLE)] * 5
    with ReasonCDClient(target) as client, pytest.raises(UnavailableError, match="Socket closed") as raised:
        client.detect(image, image, "a")
    assert raised.value.request_id is not None
    assert len(gateway.requests) == 3


def test_a_stream_that_began_is_not_tried_again(target: str, gateway: ScriptedGateway, image: Pixels) -> None:
    def begin(request: pb.DetectStreamRequest, context: grpc.ServicerContext) -> object:
        yield next(events(request))
        context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    gateway.acts = [begin]
    told: list[Event] = []
    with ReasonCDClient(target) as client, pytest.raises(UnavailableError):
        told.extend(client.detect_stream(image, image, "a"))
    assert told == [Progress(stage="encode", done=1, total=1)]
    assert len(gateway.requests) == 1


def test_a_full_gateway_is_final_unless_waiting_is_asked_for(
    target: str, gateway: ScriptedGateway, image: Pixels
) -> None:
    full = refusing(OverloadedError("8 requests are in work; come again", retry_after_s=0.05))
    gateway.acts = [full]
    with ReasonCDClient(target) as client, pytest.raises(OverloadedError) as raised:
        client.detect(image, image, "a")
    assert raised.value.retry_after_s == 0.05
    gateway.acts = [full] * 4
    with ReasonCDClient(target, wait_when_busy=True) as client:
        client.detect(image, image, "a")
    assert len(gateway.requests) == 6
    # A wait that would outlast the timeout is not begun.
    gateway.acts = [refusing(OverloadedError("full", retry_after_s=60.0))]
    with ReasonCDClient(target, wait_when_busy=True, timeout_s=5) as client, pytest.raises(OverloadedError):
        client.detect(image, image, "a")


def test_nobody_there(image: Pixels) -> None:
    with (
        ReasonCDClient("127.0.0.1:1") as client,
        pytest.raises(
            UnavailableError, match=r"gateway at 127.0.0.1:1 cannot be reached .*check the address"
        ),
    ):
        client.detect(image, image, "a")


def test_another_service_at_the_address(target: str, gateway: ScriptedGateway, image: Pixels) -> None:
    gateway.acts = [breaking(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")]
    with (
        ReasonCDClient(target) as client,
        pytest.raises(UnimplementedError, match="check address and"),
    ):
        client.detect(image, image, "a")
    assert len(gateway.requests) == 1


def test_the_timeout_ends_the_call_on_both_sides(
    target: str, gateway: ScriptedGateway, image: Pixels
) -> None:
    gateway.acts = [gateway.wait]
    with ReasonCDClient(target) as client, pytest.raises(DeadlineError, match=r"within 0\.2 s; allow more"):
        client.detect(image, image, "a", timeout_s=0.2)
    assert gateway.ended.wait(20)


def test_a_scope_bounds_and_cancels_the_call(target: str, gateway: ScriptedGateway, image: Pixels) -> None:
    scope = CallScope(request_id="outer", timeout_s=7)

    def cancel_once_it_waits() -> None:
        gateway.waiting.wait(20)
        scope.cancel()

    gateway.acts = [gateway.wait]
    threading.Thread(target=cancel_once_it_waits).start()
    with ReasonCDClient(target) as client, under(scope), pytest.raises(CancelledError):
        client.detect(image, image, "a")
    assert gateway.ended.wait(20)
    assert gateway.metadata[0]["x-request-id"] == "outer"
    assert gateway.remaining_s[0] < 8
    with ReasonCDClient(target) as client, under(scope), pytest.raises(CancelledError):
        client.detect(image, image, "a")
    assert len(gateway.requests) == 1


def test_leaving_a_stream_cancels_it(target: str, gateway: ScriptedGateway, image: Pixels) -> None:
    gateway.acts = [gateway.linger]
    with ReasonCDClient(target) as client:
        told = client.detect_stream(image, image, "a")
        assert isinstance(next(told), Progress)
        told.close()
        assert gateway.ended.wait(20)


def test_closing_the_client_ends_what_is_in_work(
    target: str, gateway: ScriptedGateway, image: Pixels
) -> None:
    client = ReasonCDClient(target)

    def close_once_it_waits() -> None:
        gateway.waiting.wait(20)
        client.close()

    gateway.acts = [gateway.wait]
    threading.Thread(target=close_once_it_waits).start()
    with pytest.raises(CancelledError):
        client.detect(image, image, "a")
    assert gateway.ended.wait(20)
    with pytest.raises(CancelledError, match="was closed"):
        client.describe()


def _too_few(request: pb.DetectRequest, context: grpc.ServicerContext) -> pb.DetectResponse:
    return pb.DetectResponse()


def _without_map(request: pb.DetectRequest, context: grpc.ServicerContext) -> pb.DetectResponse:
    answer = detection(request.queries[0])
    answer.ClearField("change_map")
    return pb.DetectResponse(detections=[answer])


def _other_size(request: pb.DetectRequest, context: grpc.ServicerContext) -> pb.DetectResponse:
    answer = detection(request.queries[0])
    answer.probability.CopyFrom(
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=[1, 1], data=bytes(4))
    )
    return pb.DetectResponse(detections=[answer])


def _no_json(request: pb.DetectRequest, context: grpc.ServicerContext) -> pb.DetectResponse:
    answer = detection(request.queries[0])
    answer.polygons_geojson = "{"
    return pb.DetectResponse(detections=[answer])


@pytest.mark.parametrize("act", [_too_few, _without_map, _other_size, _no_json])
def test_a_reply_that_makes_no_sense_is_a_fault(
    target: str, gateway: ScriptedGateway, image: Pixels, act: Act
) -> None:
    gateway.acts = [act]
    with ReasonCDClient(target) as client, pytest.raises(ReasonCDError, match="the gateway") as raised:
        client.detect(image, image, "a")
    assert raised.value.code is Code.INTERNAL


def test_a_stream_without_its_end_is_a_fault(target: str, gateway: ScriptedGateway, image: Pixels) -> None:
    gateway.acts = [lambda request, context: list(events(request))[:-1]]
    with ReasonCDClient(target) as client, pytest.raises(ReasonCDError, match="broke off after 1 of 1"):
        list(client.detect_stream(image, image, "a"))


@pytest.mark.parametrize(
    ("asking", "error", "words"),
    [
        (lambda client: client.detect("gone.png", b"x", "a"), NotFoundError, "image_t1: gone.png"),
        (lambda client: client.detect(b"x", "a\0b", "a"), InvalidInputError, "image_t2"),
        (lambda client: client.detect(b"x", 5, "a"), InvalidInputError, "image_t2 is a int"),
        (lambda client: client.detect(np.zeros((4, 4)), b"x", "a"), InvalidInputError, "uint8 of"),
        (lambda client: client.detect(b"x", b"x", [5]), InvalidInputError, "queries must be texts"),
        (lambda client: client.detect(b"x", b"x", "a", mode="long"), InvalidInputError, "mode 'long'"),
        (lambda client: client.detect(b"x", b"x", "a", timeout_s=0), InvalidInputError, "timeout_s is 0"),
        (lambda client: client.detect(b"x", b"x", "a", request_id="a b"), InvalidInputError, "request_id"),
        (lambda client: client.detect_stream(b"x", b"x", "a", mode=""), InvalidInputError, "mode ''"),
        (lambda client: client.detect(bytes(128 * 2**20 + 1), b"", "a"), InvalidInputError, "image_t1 is la"),
        (lambda client: client.detect(bytes(2**26), bytes(2**26), "a"), InvalidInputError, "both images"),
    ],
)
def test_what_cannot_be_sent_is_refused_here(
    target: str, gateway: ScriptedGateway, asking: Ask, error: type[ReasonCDError], words: str
) -> None:
    with ReasonCDClient(target) as client, pytest.raises(error, match=words):
        asking(client)
    assert gateway.requests == []
