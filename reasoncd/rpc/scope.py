"""The scope of one call: its id, its deadline, and whether somebody still waits for the answer.

A front door opens a scope; whatever runs under it asks for it with `current_scope` and passes deadline and
id on to the calls that it makes. Without one (the command line, a test) work has no deadline.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from reasoncd.errors import CancelledError, DeadlineError

REQUEST_ID_KEY = "x-request-id"
"""Metadata key and HTTP header of a request's id."""


def new_request_id() -> str:
    """32 hexadecimal digits."""
    return secrets.token_hex(16)


def is_request_id(text: str) -> bool:
    """Whether a caller's id may go into logs and headers: 1 to 64 ASCII letters, digits, `-`, `_`, `.`."""
    return 0 < len(text) <= 64 and all(c.isascii() and (c.isalnum() or c in "-_.") for c in text)


class CallScope:
    """One call. Threads may share it.

    Args:
        request_id: named in logs and errors; a new one if not given.
        timeout_s: until the deadline; None for no deadline.
    """

    def __init__(self, *, request_id: str | None = None, timeout_s: float | None = None) -> None:
        self.request_id = request_id or new_request_id()
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._cancelled = False
        self._callbacks: dict[object, Callable[[], object]] = {}
        self._lock = threading.Lock()

    @property
    def cancelled(self) -> bool:
        """Nobody waits for the answer any more."""
        return self._cancelled

    def remaining_s(self) -> float | None:
        """Seconds until the deadline, 0 when it has passed; None without one."""
        return None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)

    def limit(self, timeout_s: float) -> None:
        """Set a deadline, in seconds from now, where the caller brought none."""
        if self._deadline is None:
            self._deadline = time.monotonic() + timeout_s

    def check(self) -> None:
        """To be called before each new piece of work.

        Raises:
            CancelledError: the caller gave up.
            DeadlineError: the deadline has passed.
        """
        if self._cancelled:
            raise CancelledError("the caller cancelled the request")
        if self.remaining_s() == 0.0:
            raise DeadlineError("the deadline passed before the answer was ready; allow more time")

    def cancel(self) -> None:
        """Give up: `check` raises from now on, and what was registered by `when_cancelled` is called once."""
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            callback()

    @contextmanager
    def when_cancelled(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call back on `cancel` while the block runs; at once if it has happened."""
        token = object()
        with self._lock:
            late = self._cancelled
            if not late:
                self._callbacks[token] = callback
        if late:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.pop(token, None)


_CURRENT: ContextVar[CallScope | None] = ContextVar("reasoncd_call_scope", default=None)


def current_scope() -> CallScope:
    """The scope of the call under which this runs; one without a deadline where there is none."""
    return _CURRENT.get() or CallScope()


def running_scope() -> CallScope | None:
    """The same, or None where there is none: for logs, which name a request only if there is one."""
    return _CURRENT.get()


@contextmanager
def under(scope: CallScope) -> Iterator[CallScope]:
    """Run the block under a scope."""
    token = _CURRENT.set(scope)
    try:
        yield scope
    finally:
        _CURRENT.reset(token)


def enter(scope: CallScope) -> None:
    """Run the rest of this task under a scope: for generators, which may end in another context."""
    _CURRENT.set(scope)
