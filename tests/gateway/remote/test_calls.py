"""Retries, deadlines and cancellation of calls to the services."""

import threading
from collections.abc import Callable, Generator, Iterator
from itertools import repeat
from typing import Any
from unittest.mock import Mock

import grpc
import pytest

from gateway.pipeline import Event, Pipeline
from gateway.remote import RemoteModel
from gateway.remote.budget import RetryBudget
from gateway.remote.calls import Service
from gateway.remote.directory import DESCRIBE_TIMEOUT_S
from reasoncd.errors import (
    CancelledError,
    DeadlineError,
    InvalidInputError,
    OverloadedError,
    ReasonCDError,
    UnavailableError,
)
from reasoncd.rpc.scope import CallScope, under
from tests.gateway.remote.wire import Wire, fails, hang, same

pytestmark = pytest.mark.contract

Images = Any
Code = grpc.StatusCode
NEW, LOST = "new buildings", "lost buildings"
METHODS = ["EncodeForReasoning", "EncodeForDecoding", "Reason", "Decode"]


@pytest.fixture
def images(make_scene: Callable[..., Images]) -> Images:
    return make_scene(64, 64, (16, 24, 16, 20))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", [Code.UNAVAILABLE, Code.INTERNAL, Code.UNKNOWN, Code.CANCELLED])
def test_a_failure_without_our_trailer_is_tried_again_once(
    wire: Wire, model: RemoteModel, pipeline: Pipeline, images: Images, method: str, status: grpc.StatusCode
) -> None:
    wire.script[method] = [fails(status)]
    (found,) = model.detect(images, [NEW])
    assert same(found, pipeline.detect(images, [NEW])[0])
    assert wire.count(method) == 2


@pytest.mark.parametrize("method", METHODS)
def test_two_failures_are_told(wire: Wire, model: RemoteModel, images: Images, method: str) -> None:
    wire.script[method] = [fails(Code.INTERNAL)] * 2
    scope = CallScope(request_id="the-request")
    with under(scope), pytest.raises(ReasonCDError, match=r"failed with INTERNAL; .* the-request") as caught:
        model.detect(images, [NEW])
    assert "secret" not in caught.value.message
    assert caught.value.request_id == "the-request"
    assert wire.count(method) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (Code.INVALID_ARGUMENT, InvalidInputError),
        (Code.INTERNAL, ReasonCDError),
        (Code.RESOURCE_EXHAUSTED, OverloadedError),
        (Code.DEADLINE_EXCEEDED, DeadlineError),
    ],
)
@pytest.mark.parametrize("method", ["Reason", "Decode"])
def test_an_error_with_our_trailer_is_passed_on_at_once(
    wire: Wire,
    model: RemoteModel,
    images: Images,
    method: str,
    status: grpc.StatusCode,
    kind: type[ReasonCDError],
) -> None:
    wire.script[method] = [fails(status, ours=True, details="query takes 900 tokens; shorten it")]
    with pytest.raises(kind, match=r"^query takes 900 tokens; shorten it$"):
        model.detect(images, [NEW])
    assert wire.count(method) == 1


def test_a_response_without_an_event_is_skipped(wire: Wire, model: RemoteModel, images: Images) -> None:
    expected = model.detect(images, [NEW])
    wire.empty_first = True
    assert all(same(*pair) for pair in zip(model.detect(images, [NEW]), expected, strict=True))
    wire.script["Reason"] = [fails(Code.INVALID_ARGUMENT, ours=True, details="query is empty; ask something")]
    with pytest.raises(InvalidInputError, match=r"^query is empty; ask something$"):
        model.detect(images, [NEW])


def test_our_own_unavailable_is_tried_again(wire: Wire, model: RemoteModel, images: Images) -> None:
    wire.script["Decode"] = [fails(Code.UNAVAILABLE, ours=True)]
    model.detect(images, [NEW])
    assert wire.count("Decode") == 2


@pytest.mark.parametrize(
    ("status", "kind", "match"),
    [
        (Code.RESOURCE_EXHAUSTED, OverloadedError, "reasoner has as many requests as it takes"),
        (Code.DEADLINE_EXCEEDED, DeadlineError, "reasoner did not answer before the deadline"),
    ],
)
def test_what_another_try_would_make_worse_is_not_tried_again(
    wire: Wire,
    model: RemoteModel,
    images: Images,
    status: grpc.StatusCode,
    kind: type[ReasonCDError],
    match: str,
) -> None:
    wire.script["Reason"] = [fails(status)]
    with pytest.raises(kind, match=match):
        model.detect(images, [NEW])
    assert wire.count("Reason") == 1


def test_an_application_that_is_not_deployed_is_unavailable(
    wire: Wire, model: RemoteModel, images: Images
) -> None:
    wire.script["Decode"] = [fails(Code.NOT_FOUND)] * 2
    with pytest.raises(UnavailableError, match=f"{wire.target} serves no mask-decoder; deploy it"):
        model.detect(images, [NEW])


def test_a_stream_is_not_tried_again_once_an_event_was_given_on(
    wire: Wire, model: RemoteModel, images: Images
) -> None:
    wire.after_event = fails(Code.UNAVAILABLE)
    told: list[Event] = []
    with pytest.raises(UnavailableError, match=f"reasoner cannot be reached at {wire.target}"):
        model.detect(images, [NEW], on_event=told.append)
    assert [event.text for event in told if event.text] == ["New buildings: "]
    assert wire.count("Reason") == 1


@pytest.mark.parametrize("status", [Code.UNAVAILABLE, Code.INTERNAL])
def test_an_answer_that_breaks_off_is_asked_for_again_where_nobody_reads_along(
    wire: Wire, model: RemoteModel, images: Images, status: Code
) -> None:
    (expected,) = model.detect(images, [NEW])
    wire.calls.clear()
    broken = fails(status)

    def breaks_once(context: Any) -> None:
        wire.after_event = None
        broken(context)

    wire.after_event = breaks_once
    (found,) = model.detect(images, [NEW])
    assert found.answer == expected.answer
    assert wire.count("Reason") == 2


def test_retries_end_with_the_budget(
    wire: Wire, make_model: Callable[..., RemoteModel], images: Images
) -> None:
    model = make_model(retry_ratio=0.0, retry_reserve=1)
    wire.script["Reason"] = [fails(Code.UNAVAILABLE), None, fails(Code.UNAVAILABLE), None]
    model.detect(images, [NEW])
    with pytest.raises(UnavailableError):
        model.detect(images, [NEW])
    assert wire.count("Reason") == 3


def test_calls_earn_retries_up_to_the_reserve() -> None:
    budget = RetryBudget(ratio=0.5, reserve=2)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    budget.earn()
    assert not budget.spend()
    for _ in range(3):
        budget.earn()
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    for _ in range(100):
        budget.earn()
    assert [budget.spend() for _ in range(3)] == [True, True, False]


def test_request_id_deadline_and_application_are_sent(wire: Wire, model: RemoteModel, images: Images) -> None:
    wire.calls.clear()
    with under(CallScope(request_id="abc", timeout_s=30)):
        model.detect(images, [NEW])
    applications = ["clip", "reasoner", "sam-fpn-fusion", "mask-decoder"]
    assert [call.application for call in wire.calls] == applications
    for call in wire.calls:
        assert call.metadata["x-request-id"] == "abc"
        assert 0 < int(call.metadata["reasoncd-timeout-ms"]) <= 30_000
        assert 0 < call.remaining_s <= 31
    # What is left of the deadline, not all of it anew.
    left = [int(call.metadata["reasoncd-timeout-ms"]) for call in wire.calls]
    assert left == sorted(left, reverse=True)


def test_a_call_without_a_deadline_has_the_configured_one(
    wire: Wire, make_model: Callable[..., RemoteModel], images: Images
) -> None:
    make_model(call_timeout_s=20.0).detect(images, [NEW])
    for call in wire.calls:
        limit = DESCRIBE_TIMEOUT_S if call.method == "Describe" else 20.0
        # The wire rounds it up.
        assert 0 < call.remaining_s <= limit + 1


@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_a_hung_service_ends_with_the_deadline(
    wire: Wire, make_model: Callable[..., RemoteModel], images: Images, method: str, concurrent: bool
) -> None:
    model = make_model(concurrent=concurrent)
    released = threading.Event()
    wire.script[method] = [lambda context: hang(released)]
    try:
        with under(CallScope(timeout_s=0.5)), pytest.raises(DeadlineError, match="allow more time"):
            model.detect(images, [NEW, LOST])
        assert wire.count(method) == 1
    finally:
        released.set()


def test_a_late_request_starts_nothing(wire: Wire, model: RemoteModel, images: Images) -> None:
    wire.calls.clear()
    with under(CallScope(timeout_s=0)), pytest.raises(DeadlineError):
        model.detect(images, [NEW])
    assert wire.calls == []


@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_cancelling_ends_the_call_under_way(
    wire: Wire, make_model: Callable[..., RemoteModel], images: Images, method: str, concurrent: bool
) -> None:
    model = make_model(concurrent=concurrent)
    scope = CallScope()
    ended = threading.Event()

    def cancelled(context: Any) -> None:
        context.add_callback(ended.set)
        scope.cancel()
        assert ended.wait(30)

    wire.script[method] = [cancelled]
    with under(scope), pytest.raises(CancelledError):
        model.detect(images, [NEW, LOST])
    assert ended.wait(30)
    assert wire.count(method) == 1


@pytest.mark.parametrize(
    ("stage", "done", "expected"),
    [
        ("encode", 0, []),
        ("encode", 1, ["EncodeForReasoning"]),
        ("reason", 1, ["EncodeForReasoning", "Reason"]),
        ("decode", 0, ["EncodeForReasoning", "Reason", "Reason"]),
        ("decode", 1, ["EncodeForReasoning", "Reason", "Reason", "EncodeForDecoding", "Decode"]),
    ],
)
def test_a_cancelled_request_makes_no_further_call(
    wire: Wire,
    model: RemoteModel,
    make_scene: Callable[..., Images],
    stage: str,
    done: int,
    expected: list[str],
) -> None:
    wire.calls.clear()
    scope = CallScope()

    def on_event(event: Event) -> None:
        if (event.stage, event.done) == (stage, done):
            scope.cancel()

    with under(scope), pytest.raises(CancelledError):
        model.detect(make_scene(64, 300), [NEW, LOST], on_event=on_event)
    assert wire.methods() == expected


def test_an_answer_that_nobody_reads_on_is_cancelled(wire: Wire, model: RemoteModel, images: Images) -> None:
    ended = threading.Event()

    def linger(context: Any) -> None:
        # It may have been cancelled already.
        if not context.add_callback(ended.set):
            ended.set()
        assert ended.wait(30)

    wire.after_event = linger

    def on_event(event: Event) -> None:
        if event.text:
            raise KeyError("the caller's own fault")

    with pytest.raises(KeyError):
        model.detect(images, [NEW], on_event=on_event)
    assert ended.wait(30)


def test_closing_a_stream_cancels_its_call_at_once() -> None:
    """Not when it is collected: what is held here would otherwise run on."""
    cancelled: list[bool] = []

    class Endless:
        def __iter__(self) -> Iterator[str]:
            return repeat("word")

        def cancel(self) -> None:
            cancelled.append(True)

    service = Service(
        "reasoner", "nowhere:1", Mock(), budget=RetryBudget(ratio=0.1, reserve=1), call_timeout_s=30
    )
    method: Any = lambda request, timeout, metadata: Endless()  # noqa: E731
    words: Generator[str, None, None] = service.stream(method, "question")
    assert next(words) == "word"
    assert not cancelled
    words.close()
    assert cancelled
