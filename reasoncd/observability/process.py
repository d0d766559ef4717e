"""Logs, traces and the metrics' page of a serving process, set up in one call."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack

from reasoncd.observability import logs, tracing
from reasoncd.observability.node import NodePage, parse_address


def start(
    service: str, *, log_level: str = "INFO", also: Iterable[str] = (), metrics: str | None = None
) -> Callable[[], None]:
    """Set up what a serving process tells of itself.

    Logs go to stderr as JSON, spans to OTEL_EXPORTER_OTLP_ENDPOINT if that is set.

    Args:
        service: name of the application, or `gateway`.
        log_level: `DEBUG`, `INFO`, `WARNING` or `ERROR`.
        also: loggers of libraries to be written like ours.
        metrics: `HOST:PORT` of a page that all processes of this machine share; none if not given.

    Returns:
        To be called at the end.

    Raises:
        InvalidInputError: `metrics` cannot be listened on.
    """
    with ExitStack() as stack:
        stack.callback(logs.configure(service, level=log_level, also=also))
        stack.callback(tracing.configure(service))
        if metrics is not None:
            stack.callback(NodePage(*parse_address(metrics)).close)
        return stack.pop_all().close
