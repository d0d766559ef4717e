"""Whether a service's engine still works, for those who decide to replace it.

Nothing is computed while all is well. After a fault that is no caller's the next check tries the engine
again, and an engine that has been at one piece of work for too long is taken for hung.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reasoncd.errors import UnavailableError

STUCK_AFTER_S = 300.0
"""No piece of work takes as long, on any machine that a preset is meant for."""


class Health:
    """The engine's state. Threads may share it.

    Args:
        probe: computes something small with the engine; raises where it is broken.
        stuck_after_s: a piece of work that lasts longer makes the service unhealthy. Seconds.
    """

    def __init__(self, probe: Callable[[], object], *, stuck_after_s: float = STUCK_AFTER_S) -> None:
        self._probe = probe
        self._stuck_after_s = stuck_after_s
        self._faults = 0
        self._checked = 0
        self._begun: dict[object, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around each piece of work: notes how long it takes."""
        token = object()
        with self._lock:
            self._begun[token] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._begun[token]

    def note_fault(self) -> None:
        """Something failed that no caller can have caused."""
        with self._lock:
            self._faults += 1

    def check(self) -> None:
        """Whether the engine can be trusted; to be called in a worker thread, for it may compute.

        Raises:
            UnavailableError: the engine hangs.
            Exception: whatever the probe raises.
        """
        now = time.monotonic()
        with self._lock:
            faults = self._faults
            oldest = min(self._begun.values(), default=now)
        if now - oldest > self._stuck_after_s:
            raise UnavailableError(
                f"the engine has been at one piece of work for {now - oldest:.0f} s; restart the service"
            )
        if faults != self._checked:
            self._probe()
            self._checked = faults
