"""What the pipeline does while it works: stops in time, tells answers as they are there, encodes ahead."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.pipeline import Detection, Event, Pipeline
from reasoncd.errors import CancelledError, DeadlineError
from reasoncd.ports import ReasonText
from reasoncd.rpc.scope import CallScope, current_scope, under
from tests.gateway.remote.wire import same

pytestmark = pytest.mark.unit

Images = Any
NEW, LOST, OFF_TOPIC = "new buildings", "lost buildings", "how is the weather?"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


@pytest.fixture
def images(make_scene: Callable[..., Images]) -> Images:
    return make_scene(64, 300, (16, 24, 16, 20))


class Counted:
    """Counts the decoder's calls."""

    def __init__(self, decoder: Any) -> None:
        self._decode = decoder.decode
        self.count = 0
        decoder.decode = self

    def __call__(self, *arguments: Any) -> Any:
        self.count += 1
        return self._decode(*arguments)


@pytest.mark.parametrize(
    ("stage", "done", "encoded", "decoded"),
    [("encode", 0, 0, 0), ("encode", 1, 1, 0), ("reason", 1, 1, 0), ("decode", 1, 2, 1), ("decode", 3, 4, 3)],
)
def test_a_cancelled_call_starts_nothing_new(
    pipeline: Pipeline,
    encoder: Any,
    decoder: Any,
    images: Images,
    stage: str,
    done: int,
    encoded: int,
    decoded: int,
) -> None:
    scope, calls = CallScope(), Counted(decoder)

    def on_event(event: Event) -> None:
        if (event.stage, event.done) == (stage, done):
            scope.cancel()

    with under(scope), pytest.raises(CancelledError):
        pipeline.detect(images, [NEW, LOST], on_event=on_event)
    assert (len(encoder.calls), calls.count) == (encoded, decoded)


def test_a_cancelled_call_decodes_no_tile_that_was_encoded_before(
    pipeline: Pipeline, decoder: Any, images: Images
) -> None:
    pipeline.detect(images, [NEW])
    scope, calls = CallScope(), Counted(decoder)

    def on_event(event: Event) -> None:
        if (event.stage, event.done) == ("decode", 1):
            scope.cancel()

    with under(scope), pytest.raises(CancelledError):
        pipeline.detect(images, [NEW], on_event=on_event)
    assert calls.count == 1


def test_a_cancelled_answer_is_not_written_on(pipeline: Pipeline, reasoner: Any, images: Images) -> None:
    scope, written, closed = CallScope(), [], threading.Event()

    def endless() -> Iterator[ReasonText]:
        try:
            while True:
                written.append("word ")
                yield ReasonText(text=written[-1])
        finally:
            closed.set()

    def on_event(event: Event) -> None:
        if len(written) == 3:
            scope.cancel()

    # Held here, so that it is not the garbage collector that closes it.
    answer = endless()
    reasoner.reason = lambda *arguments: answer
    with under(scope), pytest.raises(CancelledError):
        pipeline.detect(images, [NEW], on_event=on_event)
    assert len(written) == 3
    assert closed.is_set()


def test_a_late_call_starts_nothing(pipeline: Pipeline, encoder: Any, images: Images) -> None:
    with under(CallScope(timeout_s=0)), pytest.raises(DeadlineError):
        pipeline.detect(images, [NEW])
    assert encoder.calls == []


def test_detections_are_given_out_in_order_as_they_are_there(pipeline: Pipeline, images: Images) -> None:
    scope, given = CallScope(), []

    def on_detection(number: int, detection: Detection) -> None:
        given.append((number, detection))
        if number == 1:
            scope.cancel()

    queries = [LOST, OFF_TOPIC, NEW]
    with under(scope), pytest.raises(CancelledError):
        pipeline.detect(images, queries, on_detection=on_detection)
    assert [(number, found.query) for number, found in given] == [(0, LOST), (1, OFF_TOPIC)]

    given.clear()
    scope = CallScope()
    found = pipeline.detect(images, queries, on_detection=lambda *told: given.append(told))
    assert [detection for _, detection in given] == found
    assert [number for number, _ in given] == [0, 1, 2]


@pytest.mark.parametrize("queries", [[NEW], [OFF_TOPIC], [LOST, OFF_TOPIC, NEW]])
def test_encoding_ahead_changes_no_byte(
    pipeline: Pipeline,
    encoder: Any,
    reasoner: Any,
    decoder: Any,
    pool: ThreadPoolExecutor,
    images: Images,
    queries: list[str],
) -> None:
    ahead = Pipeline(encoder, reasoner, decoder, pool=pool)
    expected = pipeline.detect(images, queries)
    for _ in range(2):
        found = ahead.detect(images, queries)
        assert all(same(one, other) for one, other in zip(found, expected, strict=True))


def test_tiles_are_encoded_while_the_reasoner_is_at_work(
    encoder: Any, reasoner: Any, decoder: Any, pool: ThreadPoolExecutor, images: Images
) -> None:
    """The reasoner answers only after a tile was encoded, in another thread and under the same scope."""
    encoded = threading.Event()
    encode, answer = encoder.encode_for_decoding, reasoner.reason
    seen: set[tuple[str, bool]] = set()

    def encode_for_decoding(tile: Images) -> Any:
        seen.add((current_scope().request_id, threading.current_thread() is threading.main_thread()))
        encoded.set()
        return encode(tile)

    def reason(*arguments: Any) -> Any:
        assert encoded.wait(30)
        return answer(*arguments)

    encoder.encode_for_decoding, reasoner.reason = encode_for_decoding, reason
    with under(CallScope(request_id="abc")):
        Pipeline(encoder, reasoner, decoder, pool=pool).detect(images, [NEW])
    assert ("abc", False) in seen
    assert {request_id for request_id, _ in seen} == {"abc"}


def test_busy_threads_hold_nobody_up(
    encoder: Any, reasoner: Any, decoder: Any, pool: ThreadPoolExecutor, images: Images
) -> None:
    released = threading.Event()
    busy = [pool.submit(released.wait, 30) for _ in range(2)]
    try:
        (found,) = Pipeline(encoder, reasoner, decoder, pool=pool).detect(images, [NEW])
    finally:
        released.set()
    assert found.change_map.any()
    assert all(task.result() for task in busy)


def test_an_error_of_a_tile_encoded_ahead_is_told(
    encoder: Any, reasoner: Any, decoder: Any, pool: ThreadPoolExecutor, images: Images
) -> None:
    def broken(tile: Images) -> Any:
        raise DeadlineError("the deadline passed")

    encoder.encode_for_decoding = broken
    with pytest.raises(DeadlineError, match="the deadline passed"):
        Pipeline(encoder, reasoner, decoder, pool=pool).detect(images, [NEW])


def test_a_call_that_ends_early_leaves_no_tiles_to_encode(
    encoder: Any, reasoner: Any, decoder: Any, make_scene: Callable[..., Images]
) -> None:
    def broken(*arguments: Any) -> Any:
        raise DeadlineError("the deadline passed")

    reasoner.reason = broken
    with ThreadPoolExecutor(1) as pool:
        released = threading.Event()
        pool.submit(released.wait, 30)
        with pytest.raises(DeadlineError):
            Pipeline(encoder, reasoner, decoder, pool=pool).detect(make_scene(300, 300), [NEW])
        released.set()
    assert encoder.calls == ["overview"]
