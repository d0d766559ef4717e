"""Traces: W3C trace context through gRPC metadata and HTTP headers, and spans around the work.

Spans are kept and sent only where OTEL_EXPORTER_OTLP_ENDPOINT names a collector. Without one a span costs
next to nothing, and a caller's trace context is still handed on and named in the logs.
"""

import os
from collections.abc import Callable, Iterable, Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"

_PROPAGATOR = TraceContextTextMapPropagator()

Metadata = tuple[tuple[str, str], ...]


def configure(service: str) -> Callable[[], None]:
    """Send this process's spans to the collector that the environment names, if it names one.

    Args:
        service: the spans' `service.name`, unless OTEL_SERVICE_NAME is set.

    Returns:
        To be called at the end: sends what has not been sent yet.
    """
    if not os.environ.get(ENDPOINT_VARIABLE, "").strip():
        return lambda: None
    # The SDK takes a moment to import; most processes need none.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = Resource.create({"service.name": service}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=named)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def tracer() -> trace.Tracer:
    """What starts spans; asked for anew each time, since the provider may be set later."""
    return trace.get_tracer("reasoncd")


def inject(metadata: Iterable[tuple[str, str]] = ()) -> Metadata:
    """Metadata or headers of a call that is made now, with the current span as its parent.

    Args:
        metadata: what is sent besides.
    """
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return (*metadata, *carrier.items())


def extract(metadata: Iterable[tuple[str, str | bytes]] | Mapping[str, str]) -> Context:
    """The trace context that a caller sent, empty where it sent none or a malformed one.

    Args:
        metadata: of a gRPC call, or HTTP headers; names in lower case.
    """
    pairs = metadata.items() if isinstance(metadata, Mapping) else metadata
    carrier = {name: value for name, value in pairs if isinstance(value, str)}
    # From an empty context, so that a call never joins the trace of another one on the same thread.
    return _PROPAGATOR.extract(carrier, context=Context())


def trace_id() -> str | None:
    """32 hexadecimal digits of the current trace; None where there is none."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None
