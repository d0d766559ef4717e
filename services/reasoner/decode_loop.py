"""Many callers, one engine: answers join the batch as they are asked for and leave as they are done.

Each turn of the loop takes in who waits, first come first served, and runs one pass for all; the computing
is done in the worker's thread, what came of it is handed out on the event loop. A caller that left, or whose
deadline has passed, is out before the next pass. Nothing waits without need: a question that finds the engine
idle begins at once and alone.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from reasoncd.errors import CancelledError, InvalidInputError, ReasonCDError, UnavailableError
from reasoncd.observability import metrics
from reasoncd.observability.queues import Queued
from reasoncd.ports import ReasonDone, ReasonEvent
from reasoncd.rpc.scope import CallScope, current_scope, enter
from services.reasoner.answer_batch import Outcome
from services.reasoner.answering import Answering, Question
from services.reasoner.engine import ReasonerEngine
from services.serving.worker import Worker

Told = ReasonEvent | Exception
"""What a caller is told: an event, or why there are no more."""


@dataclass(kw_only=True, eq=False, slots=True)
class _Call:
    """One caller."""

    question: Question
    scope: CallScope
    queued: Queued
    told: asyncio.Queue[Told] = field(default_factory=asyncio.Queue)
    answer: Answering | None = None
    """Once it has begun."""
    left: bool = False

    def check(self) -> None:
        """Raise where nobody waits for the answer."""
        if self.left:
            raise CancelledError("the caller left")
        self.scope.check()


class DecodeLoop:
    """Continuous batching. Belongs to one event loop.

    Args:
        engine: computes.
        worker: whose thread computes.
        max_batch: answers decoded together at most; 1 switches batching off.
        wait_s: pause before the first pass of a batch that is not full. Seconds.
        on_fault: called when an answer failed that no caller can have spoiled.

    Raises:
        InvalidInputError: `max_batch` is not positive, or `wait_s` is negative.
    """

    def __init__(
        self,
        engine: ReasonerEngine,
        worker: Worker,
        *,
        max_batch: int,
        wait_s: float = 0.0,
        on_fault: Callable[[], None] | None = None,
    ) -> None:
        if max_batch < 1 or wait_s < 0:
            raise InvalidInputError(
                f"max_batch is {max_batch} and wait_s is {wait_s}; give at least 1 and at least 0"
            )
        self._engine = engine
        self._worker = worker
        self._max_batch = max_batch
        self._wait_s = wait_s
        self._on_fault = on_fault or (lambda: None)
        self._batch = engine.batch()
        self._waiting: list[_Call] = []
        self._running: list[_Call] = []
        self._told: list[tuple[_Call, Told]] = []
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Questions that are not yet in work."""
        return len(self._waiting)

    async def answer(self, question: Question) -> AsyncGenerator[ReasonEvent, None]:
        """Answer one question, alone or together with others.

        Raises:
            CancelledError: the caller gave up.
            DeadlineError: the deadline passed before the answer was whole.
            UnavailableError: the service stops.
            Exception: whatever the engine raises for this question alone.
        """
        call = _Call(question=question, scope=current_scope(), queued=Queued(self._worker.service))
        self._waiting.append(call)
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        try:
            while True:
                told = await call.told.get()
                if isinstance(told, Exception):
                    raise told
                yield told
                if isinstance(told, ReasonDone):
                    return
        finally:
            call.left = True

    def close(self) -> None:
        """Answer nothing more; whoever waits is told so."""
        self._closed = True

    async def _work(self) -> None:
        # The task inherits the context of the call that started it, and serves others too.
        enter(CallScope())
        reason: Exception = _stopping()
        try:
            while (self._waiting or self._running) and not self._closed:
                if self._wait_s and not self._running and len(self._waiting) < self._max_batch:
                    await asyncio.sleep(self._wait_s)
                fresh = self._take()
                self._running += fresh
                if not self._running:
                    continue
                # The turn itself does not wait in line: only calls are counted as waiting.
                await self._worker.run(partial(self._turn, fresh), queued=self._running[0].queued)
                self._deliver()
        except Exception as error:  # noqa: BLE001 - it belongs to the callers, who get it below
            reason = _stopping() if self._closed else error
        finally:
            self._task = None
            # What a turn found out before it failed is told all the same.
            self._deliver()
            for call in (*self._running, *self._waiting):
                call.queued.leave()
                call.told.put_nowait(reason)
            self._waiting, self._running, self._batch = [], [], self._engine.batch()

    def _take(self) -> list[_Call]:
        """Who begins in the next turn, in order of arrival; whoever gave up is told so.

        Answers in work wait for the images of one new pair at most.
        """
        fresh: list[_Call] = []
        waiting: list[_Call] = []
        room = self._max_batch - len(self._running)
        for call in self._waiting:
            try:
                call.check()
            except ReasonCDError as error:
                call.queued.leave()
                call.told.put_nowait(error)
                continue
            if len(fresh) < room:
                fresh.append(call)
                if self._running and self._engine.is_cold(call.question):
                    room = len(fresh)
            else:
                waiting.append(call)
        self._waiting = waiting
        return fresh

    def _deliver(self) -> None:
        for call, one in self._told:
            call.told.put_nowait(one)
        self._told = []

    def _turn(self, fresh: list[_Call]) -> None:
        """Begin new answers and run one pass for all. In the worker's thread."""
        for call in fresh:
            call.queued.leave()
            try:
                call.check()
                call.answer = self._engine.start(call.question)
            except Exception as error:  # noqa: BLE001 - the caller gets it
                self._tell(call, error)
        # Prefixes take a while: who left meanwhile is not decoded for.
        self._dismiss()
        began = [call for call in fresh if call in self._running]
        if began:
            self._count(len(began))
            self._note(began, self._batch.add([call.answer for call in began if call.answer]))
            self._dismiss()
        if self._running:
            self._count(len(self._running))
            self._note(list(self._running), self._batch.advance())

    def _count(self, answers: int) -> None:
        metrics.batch_requests.labels(self._worker.service).observe(answers)

    def _dismiss(self) -> None:
        """Let those go who do not wait any more."""
        leaving: list[Answering] = []
        for call in list(self._running):
            try:
                call.check()
            except ReasonCDError as error:
                self._tell(call, error)
                if call.answer is not None:
                    leaving.append(call.answer)
        self._batch.remove(leaving)

    def _note(self, calls: Sequence[_Call], outcomes: Sequence[Outcome]) -> None:
        for call, outcome in zip(calls, outcomes, strict=True):
            for one in [outcome] if isinstance(outcome, Exception) else outcome:
                self._tell(call, one)

    def _tell(self, call: _Call, one: Told) -> None:
        self._told.append((call, one))
        if isinstance(one, Exception) and not isinstance(one, ReasonCDError):
            self._on_fault()
        if isinstance(one, Exception | ReasonDone):
            self._running.remove(call)


def _stopping() -> UnavailableError:
    return UnavailableError("the reasoner is stopping; ask again")
