"""One call while it is answered: counted, timed, logged, and a span of the caller's trace.

For front doors and `reasoncd.rpc.guard`. What is asked and answered is not known here.
"""

import contextvars
import logging
import time
from collections.abc import Iterable, Mapping
from types import TracebackType

from opentelemetry import context as trace_context
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from reasoncd.errors import Code
from reasoncd.observability import metrics
from reasoncd.observability.tracing import extract, tracer

_LOG = logging.getLogger(__name__)

OK = "OK"
_OURS = {Code.INTERNAL.value, Code.UNAVAILABLE.value, Code.DATA_LOSS.value}
"""Statuses that no caller can cause or mend."""
_QUIET = {"Describe"}
"""Methods that are polled; their success is no news."""


class ObservedCall:
    """A context manager around the answering of one call.

    Args:
        service: who answers.
        method: the rpc, or the route with its verb.
        metadata: of the call, with the caller's trace context.
        rest_of_task: leave the span in place at the end. For generators, which may end in another context
            than they began in; the task ends soon after.
    """

    def __init__(
        self,
        service: str,
        method: str,
        metadata: Iterable[tuple[str, str | bytes]] | Mapping[str, str],
        *,
        rest_of_task: bool = False,
    ) -> None:
        self._labels = service, method
        self._metadata = metadata
        self._rest_of_task = rest_of_task
        self._code = OK

    def failed(self, code: str) -> None:
        """Note the status of a call that ends in an error, by its gRPC name."""
        self._code = str(code)

    def __enter__(self) -> "ObservedCall":
        service, method = self._labels
        self._began = time.perf_counter()
        metrics.requests_in_flight.labels(service, method).inc()
        parent = extract(self._metadata)
        self._span = tracer().start_span(
            f"{service}/{method}",
            context=parent,
            kind=SpanKind.SERVER,
            attributes={"rpc.service": service, "rpc.method": method},
        )
        self._token: contextvars.Token[trace_context.Context] = trace_context.attach(
            set_span_in_context(self._span, parent)
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._code == OK:
            # Whoever handles errors has noted them; what comes through is a task that was cancelled.
            self._code = Code.INTERNAL.value if isinstance(error, Exception) else Code.CANCELLED.value
        service, method = self._labels
        seconds = time.perf_counter() - self._began
        metrics.requests_in_flight.labels(service, method).dec()
        metrics.request_seconds.labels(service, method).observe(seconds)
        metrics.requests.labels(service, method, self._code).inc()
        self._log(method, seconds)
        self._span.set_attribute("rpc.response.status_code", self._code)
        if self._code in _OURS:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
        if not self._rest_of_task:
            trace_context.detach(self._token)

    def _log(self, method: str, seconds: float) -> None:
        level = logging.WARNING if self._code in _OURS else logging.INFO
        if method in _QUIET and self._code == OK:
            level = logging.DEBUG
        _LOG.log(
            level,
            "call ended",
            extra={"method": method, "code": self._code, "seconds": round(seconds, 4)},
        )
