"""The next batch made while the present one is learned from: for GPUs, beside which the processor is idle.

On a processor alone it would only fight for the cores with what it serves.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class LookAhead(Generic[T]):
    """The same batches, the next one begun in a thread.

    Args:
        batches: step -> batch; called by one thread at a time.
    """

    def __init__(self, batches: Callable[[int], T]) -> None:
        self._batches = batches
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._begun: tuple[int, Future[T]] | None = None

    def batch(self, step: int) -> T:
        """The batch of one step; what went wrong in making it is raised here."""
        if self._begun is None or self._begun[0] != step:
            self._begun = (step, self._thread.submit(self._batches, step))
        present = self._begun[1].result()
        self._begun = (step + 1, self._thread.submit(self._batches, step + 1))
        return present

    def close(self) -> None:
        """Forget what was begun."""
        self._thread.shutdown(wait=True, cancel_futures=True)
