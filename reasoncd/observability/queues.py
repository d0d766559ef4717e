"""Requests that wait: how many they are, and how long each waited."""

import threading
import time

from reasoncd.observability import metrics


class Queued:
    """One request that waits from now on, until it leaves.

    Args:
        service: for whom it waits.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._since = time.perf_counter()
        self._waits = True
        self._lock = threading.Lock()
        metrics.queue_requests.labels(service).inc()

    def leave(self) -> None:
        """Begun, or given up. Any thread may call it, and more than once."""
        with self._lock:
            if not self._waits:
                return
            self._waits = False
        metrics.queue_requests.labels(self._service).dec()
        metrics.queue_seconds.labels(self._service).observe(time.perf_counter() - self._since)
