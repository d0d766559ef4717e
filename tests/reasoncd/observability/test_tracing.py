"""A trace goes on through calls and stages, and costs nothing where nobody collects it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from reasoncd.errors import OverloadedError
from reasoncd.observability import tracing
from reasoncd.observability.stages import observed_events, observed_stage
from reasoncd.observability.tracing import extract, inject, trace_id
from reasoncd.v1 import describe_pb2, reasoner_pb2
from tests.reasoncd.observability.tried_out import Guarded, wait_for

pytestmark = pytest.mark.unit

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def finished(spans: InMemorySpanExporter, count: int) -> dict[str, ReadableSpan]:
    wait_for(lambda: len(spans.get_finished_spans()) == count)
    return {span.name: span for span in spans.get_finished_spans()}


def test_a_stage_is_the_parent_of_the_call_that_it_makes(
    stub: Any, servicer: Guarded, spans: InMemorySpanExporter
) -> None:
    seen = []
    servicer.act = lambda: seen.append(trace_id())
    with tracing.tracer().start_as_current_span("request"):
        call = observed_events("reason", lambda: stub.Reason(reasoner_pb2.ReasonRequest(), metadata=inject()))
        assert len(list(call)) == 2
        with observed_stage("decode"):
            stub.Describe(describe_pb2.DescribeRequest(), metadata=inject([("x-request-id", "abc")]))
    found = finished(spans, 5)
    request = found["request"].context
    assert request
    assert {span.context.trace_id for span in found.values() if span.context} == {request.trace_id}
    assert seen == [trace.format_trace_id(request.trace_id)] * 2
    for outer, inner in [
        ("request", "reason"),
        ("request", "decode"),
        ("reason", "tried-out/Reason"),
        ("decode", "tried-out/Describe"),
    ]:
        parent, context = found[inner].parent, found[outer].context
        assert parent and context
        assert parent.span_id == context.span_id
    assert found["tried-out/Reason"].kind is SpanKind.SERVER
    assert found["decode"].kind is SpanKind.CLIENT


def test_the_call_that_a_generator_makes_belongs_to_the_stage(stub: Any, spans: InMemorySpanExporter) -> None:
    def events() -> Iterator[object]:
        yield from stub.Reason(reasoner_pb2.ReasonRequest(), metadata=inject())

    outside = [trace_id() for _ in observed_events("reason", events)]
    found = finished(spans, 2)
    parent, context = found["tried-out/Reason"].parent, found["reason"].context
    assert parent and context
    assert parent.span_id == context.span_id
    # The consumer's own work is not part of the stage.
    assert outside == [None, None]


def test_failed_stages_and_faults_are_marked(
    stub: Any, servicer: Guarded, spans: InMemorySpanExporter, value: Callable[..., float]
) -> None:
    labels = {"stage": "decode", "code": "RESOURCE_EXHAUSTED"}
    before = value("reasoncd_stage_errors_total", **labels)
    with pytest.raises(OverloadedError), observed_stage("decode"):
        raise OverloadedError("full")
    span = finished(spans, 1)["decode"]
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes and span.attributes["rpc.response.status_code"] == "RESOURCE_EXHAUSTED"
    assert value("reasoncd_stage_errors_total", **labels) == before + 1


def test_a_stage_that_is_left_early_ends(spans: InMemorySpanExporter) -> None:
    closed = []

    def events() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    observed = observed_events("reason", events)
    assert next(observed) == 1
    observed.close()
    assert closed == [True]
    span = finished(spans, 1)["reason"]
    assert span.status.status_code is StatusCode.UNSET


def test_without_a_collector_the_callers_trace_is_handed_on() -> None:
    assert inject() == ()
    context = extract([("traceparent", PARENT), ("other-bin", b"\x00")])
    span = tracing.tracer().start_span("x", context=context)
    assert not span.is_recording()
    with trace.use_span(span):
        assert trace_id() == TRACE
        assert dict(inject())["traceparent"] == PARENT


@pytest.mark.parametrize("sent", [{}, {"traceparent": "nonsense"}, {"traceparent": "00-0-0-00"}])
def test_a_missing_or_malformed_context_is_no_error(sent: dict[str, str]) -> None:
    with tracing.tracer().start_as_current_span("x", context=extract(sent)):
        assert trace_id() is None


def test_spans_are_sent_only_where_a_collector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    providers: list[Any] = []
    monkeypatch.setattr(trace, "set_tracer_provider", providers.append)
    monkeypatch.delenv(tracing.ENDPOINT_VARIABLE, raising=False)
    tracing.configure("tried-out")()
    assert providers == []
    monkeypatch.setenv(tracing.ENDPOINT_VARIABLE, "http://127.0.0.1:1")
    end = tracing.configure("tried-out")
    assert providers[0].resource.attributes["service.name"] == "tried-out"
    end()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named-outside")
    end = tracing.configure("tried-out")
    assert providers[1].resource.attributes["service.name"] == "named-outside"
    end()
