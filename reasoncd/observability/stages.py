"""One stage of an answer, as the gateway sees it: timed, counted where it fails, and a span."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, TypeVar

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, use_span

from reasoncd.errors import Code, ReasonCDError
from reasoncd.observability import metrics
from reasoncd.observability.tracing import tracer

Stage = Literal["encode-for-reasoning", "encode-for-decoding", "reason", "decode"]

Event = TypeVar("Event")


@contextmanager
def observed_stage(stage: Stage) -> Iterator[None]:
    """Around one stage that gives its result at once."""
    with _measured(stage) as span, _current(span):
        yield


def observed_events(stage: Stage, begin: Callable[[], Iterator[Event]]) -> Generator[Event, None, None]:
    """A stage that gives events: those of `begin`, measured from the first request for one to the end.

    The span is current while an event is made, not while the consumer is at work. Closing this closes the
    events too.
    """
    with _measured(stage) as span:
        with _current(span):
            # What cannot be used is often refused here, before any event.
            events = begin()
        try:
            while True:
                with _current(span):
                    try:
                        event = next(events)
                    except StopIteration:
                        return
                yield event
        finally:
            if isinstance(events, Generator):
                events.close()


def _current(span: Span) -> AbstractContextManager[Span]:
    # Errors are noted by `_measured`.
    return use_span(span, record_exception=False, set_status_on_exception=False)


@contextmanager
def _measured(stage: Stage) -> Iterator[Span]:
    span = tracer().start_span(stage, kind=SpanKind.CLIENT)
    began = time.perf_counter()
    code: str | None = None
    try:
        yield span
    except ReasonCDError as error:
        code = error.code.value
        raise
    except Exception:
        code = Code.INTERNAL.value
        raise
    finally:
        metrics.stage_seconds.labels(stage).observe(time.perf_counter() - began)
        if code is not None:
            metrics.stage_errors.labels(stage, code).inc()
            span.set_attribute("rpc.response.status_code", code)
            span.set_status(Status(StatusCode.ERROR))
        span.end()
