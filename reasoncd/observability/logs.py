"""Logs as lines of JSON, each with the request and the trace that it belongs to.

What callers ask in words is personal to them: no line at INFO or above holds a query. Log it, if ever, at
DEBUG.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TextIO

from reasoncd.observability.tracing import trace_id
from reasoncd.rpc.scope import running_scope

OURS = ("reasoncd", "services", "gateway")
"""Loggers of our packages."""

_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
"""What every record has; the rest was given as `extra`."""


class JsonFormatter(logging.Formatter):
    """One record as one line.

    Args:
        service: which process writes.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Time (UTC), level, service, logger, message; request, trace, extras and traceback if there are."""
        scope = running_scope()
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": scope.request_id if scope else None,
            "trace_id": trace_id(),
            # What libraries hang on every record (Ray does) begins with an underscore.
            **{
                name: value
                for name, value in vars(record).items()
                if name not in _STANDARD and not name.startswith("_")
            },
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        # Strangers' objects among the extras are shown as text rather than lost with the line.
        return json.dumps({k: v for k, v in line.items() if v is not None}, ensure_ascii=False, default=str)


def configure(
    service: str, *, level: str = "INFO", also: Iterable[str] = (), stream: TextIO | None = None
) -> Callable[[], None]:
    """Write what our packages log as JSON, in place of what was done with it before.

    Args:
        service: which process writes.
        level: `DEBUG`, `INFO`, `WARNING` or `ERROR`.
        also: loggers of libraries that are to be written alike, for example `uvicorn`.
        stream: where to; stderr if not given.

    Returns:
        Undoes it.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    loggers = [logging.getLogger(name) for name in (*OURS, *also)]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers = [handler]
        logger.setLevel(level)
        # The root logger belongs to whoever runs us: Ray has its own there.
        logger.propagate = False

    def undo() -> None:
        for logger, (handlers, then, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(then)

    return undo
