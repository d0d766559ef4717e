"""Requests that come while the engine computes wait together, and are computed together.

Nothing waits without need: a request that finds the engine idle begins at once and alone, so an idle service
is as fast as one without batches. A pause before each batch can be asked for; it trades latency for larger
batches. What is computed is not known here.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from reasoncd.errors import InvalidInputError, ReasonCDError
from reasoncd.observability import metrics
from reasoncd.observability.queues import Queued
from reasoncd.rpc.scope import CallScope, current_scope, enter
from services.serving.worker import Worker

Request = TypeVar("Request")
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Entry(Generic[Request, Answer]):
    """One call that waits."""

    request: Request
    scope: CallScope
    answer: asyncio.Future[Answer]
    queued: Queued

    def settle(self, outcome: Answer | Exception) -> None:
        """Give the caller its answer or its error; nothing where it has left."""
        if self.answer.done():
            return
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class MicroBatcher(Generic[Request, Answer]):
    """Collects calls of `run` into batches. Belongs to one event loop.

    Args:
        compute: requests to answers, in order; called in the worker's thread.
        worker: whose thread computes.
        max_batch: requests computed together at most; 1 switches batching off.
        wait_s: pause before a batch that is not full. Seconds.

    Raises:
        InvalidInputError: `max_batch` is not positive, or `wait_s` is negative.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Request]], Sequence[Answer]],
        worker: Worker,
        *,
        max_batch: int,
        wait_s: float = 0.0,
    ) -> None:
        if max_batch < 1 or wait_s < 0:
            raise InvalidInputError(
                f"max_batch is {max_batch} and wait_s is {wait_s}; give at least 1 and at least 0"
            )
        self._compute = compute
        self._worker = worker
        self._max_batch = max_batch
        self._wait_s = wait_s
        self._entries: list[_Entry[Request, Answer]] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Requests that are not yet in work."""
        return len(self._entries)

    async def run(self, request: Request) -> Answer:
        """Answer one request, alone or together with others.

        Args:
            request: checked already, so that it can be computed with.

        Raises:
            CancelledError: the caller gave up before the work began.
            DeadlineError: the deadline passed before the work began.
            Exception: whatever `compute` raises for this request alone.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        queued = Queued(self._worker.service)
        self._entries.append(_Entry(request=request, scope=current_scope(), answer=answer, queued=queued))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        # The task inherits the context of the call that started it, and serves others too.
        enter(CallScope())
        try:
            while self._entries:
                if self._wait_s and len(self._entries) < self._max_batch:
                    await asyncio.sleep(self._wait_s)
                if batch := self._take():
                    metrics.batch_requests.labels(self._worker.service).observe(len(batch))
                    await self._answer(batch)
        finally:
            self._task = None

    def _take(self) -> list[_Entry[Request, Answer]]:
        """The calls of the next batch in order of arrival, without those that nobody waits for any more."""
        batch: list[_Entry[Request, Answer]] = []
        taken = 0
        for entry in self._entries:
            if len(batch) == self._max_batch:
                break
            taken += 1
            entry.queued.leave()
            if entry.answer.cancelled():
                continue
            try:
                entry.scope.check()
            except ReasonCDError as error:
                entry.settle(error)
            else:
                batch.append(entry)
        del self._entries[:taken]
        return batch

    async def _answer(self, batch: list[_Entry[Request, Answer]]) -> None:
        try:
            answers = await self._worker.run(
                lambda: self._compute([entry.request for entry in batch]), queued=batch[0].queued
            )
        except Exception as error:  # noqa: BLE001 - it belongs to one of the callers, who gets it below
            if len(batch) == 1:
                batch[0].settle(error)
                return
            # One request spoiled the batch, or all would: each alone shows which.
            for entry in batch:
                await self._answer([entry])
            return
        for entry, answer in zip(batch, answers, strict=True):
            entry.settle(answer)
