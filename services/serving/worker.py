"""One thread that computes, so that the event loop never does.

One is enough: torch spreads a single piece of work over the cores (or the GPU) itself, and two at once would
only fight for them. Work whose caller has gone away or whose deadline has passed is not begun.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from reasoncd.errors import ReasonCDError
from reasoncd.observability import metrics
from reasoncd.observability.queues import Queued
from reasoncd.rpc.scope import current_scope
from services.serving.health import Health

Result = TypeVar("Result")


class Worker:
    """Runs one piece of work at a time.

    Args:
        service: whose work it is; names the thread and the metrics.
        health: told about work and its faults.
    """

    def __init__(self, service: str, health: Health) -> None:
        self.service = service
        self._health = health
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=service)

    async def run(self, work: Callable[[], Result], *, queued: Queued | None = None) -> Result:
        """Run work under the scope of the call that asks for it, when its turn comes.

        Args:
            work: what to run.
            queued: the wait for it, where that began before this call.

        Raises:
            CancelledError: the caller gave up before the work began.
            DeadlineError: the deadline passed before the work began.
            Exception: whatever the work raises.
        """
        scope = current_scope()
        waiting = queued or Queued(self.service)

        def begin() -> Result:
            waiting.leave()
            scope.check()
            return self.do(work)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, copy_context().run, begin)
        finally:
            # It never began where its caller left before.
            waiting.leave()

    def do(self, work: Callable[[], Result]) -> Result:
        """Run work in this thread, and note what the health check needs to know."""
        with self._health.working(), metrics.compute_seconds.labels(self.service).time():
            try:
                return work()
            except ReasonCDError:
                raise
            except Exception:
                self._health.note_fault()
                raise

    def close(self) -> None:
        """Finish what runs and take no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)
