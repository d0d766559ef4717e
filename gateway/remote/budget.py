"""How many retries a service is granted: few beside its calls, so that retries never become the load."""

from threading import Lock


class RetryBudget:
    """A bucket of retries. Threads may share it.

    Each call puts `ratio` of a retry into it, each retry takes one out; it starts full.

    Args:
        ratio: retries that one call earns, for example 0.1 for one retry in ten calls.
        reserve: what the bucket holds at most.
    """

    def __init__(self, *, ratio: float, reserve: int) -> None:
        self._ratio = ratio
        self._reserve = float(reserve)
        self._held = float(reserve)
        self._lock = Lock()

    def earn(self) -> None:
        """To be called once for each call."""
        with self._lock:
            self._held = min(self._held + self._ratio, self._reserve)

    def spend(self) -> bool:
        """Take a retry out; False where there is none left."""
        with self._lock:
            if self._held < 1:
                return False
            self._held -= 1
            return True
