"""What both doors do with a request: let it in, give it a turn, and answer it in a thread.

The doors know their protocols, this module none. One object for one event loop.
"""

import asyncio
import concurrent.futures
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import TypeVar

from gateway.detection import Detection
from gateway.images import ImagePair
from gateway.server.admission import Admission, Place
from gateway.server.asked import Asked
from gateway.server.auth import Token, TokenFile
from gateway.server.decoded_pairs import DecodedPairs
from gateway.server.messages import Answered, Told
from gateway.server.model import Model
from gateway.server.settings import ServerSettings
from reasoncd.errors import CancelledError, DeadlineError, UnavailableError
from reasoncd.observability import metrics
from reasoncd.observability.caches import watch_cache
from reasoncd.rpc.scope import current_scope, enter

EVENTS_AHEAD = 16
"""Events that the work on a request may be ahead of its caller."""
LOOK_S = 0.1
"""Between two looks of a thread that waits for a turn whether it still wants it."""
PULSE_S = 15.0
"""Without an event, until a stream shows that it lives."""
LEAVING = "the gateway is going down; ask again, and another one answers"

Value = TypeVar("Value")


class FrontDoor:
    """Answers requests over one model.

    Args:
        model: who answers.
        settings: how much is taken on, and who may ask.

    Raises:
        NotFoundError, InvalidInputError: the token file cannot be used.
    """

    def __init__(self, model: Model, settings: ServerSettings) -> None:
        self._model = model
        self._timeout_s = settings.request_timeout_s
        self._tokens = TokenFile(settings.tokens) if settings.tokens else None
        self._admission = Admission(
            running=settings.running, waiting=settings.waiting, held_bytes=settings.held_bytes
        )
        self._pairs = DecodedPairs(settings.kept_bytes)
        watch_cache("gateway", "pixels", self._pairs)
        self._workers = ThreadPoolExecutor(settings.running, "work")
        self._readers = ThreadPoolExecutor(settings.decoding, "read")
        self._draining = self._stopping = False
        self._loop = asyncio.get_running_loop()

    @property
    def draining(self) -> bool:
        """Nothing new is taken any more."""
        return self._draining

    @property
    def requests(self) -> int:
        """Requests that are in work or waiting."""
        return self._admission.requests

    def authenticate(self, authorization: str | None) -> Token | None:
        """The caller's token; None where there are no tokens.

        Args:
            authorization: the header, or gRPC metadata, of that name.

        Raises:
            UnauthenticatedError: the caller may not ask.
        """
        return self._tokens.check(authorization) if self._tokens else None

    @contextmanager
    def entered(self, authorization: str | None) -> Iterator[Place]:
        """A place for the request of the current scope, until the block and the work begun in it have ended.

        Args:
            authorization: as for `authenticate`.

        Raises:
            UnauthenticatedError: the caller may not ask.
            UnavailableError: the gateway is going down.
            OverloadedError: there is no room.
        """
        token = self.authenticate(authorization)
        if self._draining:
            metrics.refused.labels("draining").inc()
            raise UnavailableError(LEAVING)
        scope = current_scope()
        scope.limit(self._timeout_s)
        place = self._admission.enter(scope, token)
        try:
            yield place
        except CancelledError:
            if self._stopping:
                # Not the caller gave up, but we.
                raise UnavailableError(LEAVING) from None
            raise
        finally:
            self._admission.leave(place)

    @contextmanager
    def turn_between(self) -> Iterator[None]:
        """Room to work on what nobody waits for, in line with the requests: for threads of ours.

        Raises:
            CancelledError: the current scope is over, or the loop has ended.
        """
        scope = current_scope()
        scope.check()
        waiting = self._admission.lend()
        try:
            lent = asyncio.run_coroutine_threadsafe(waiting, self._loop)
        except RuntimeError:
            waiting.close()
            raise CancelledError(LEAVING) from None
        while True:
            try:
                lent.result(LOOK_S)
                break
            except TimeoutError:
                if scope.cancelled:
                    # A turn that comes too late goes back at once; to cancel the wait could lose one.
                    lent.add_done_callback(self._return_late)
                scope.check()
            except concurrent.futures.CancelledError:
                raise CancelledError(LEAVING) from None
        try:
            yield
        finally:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._admission.take_back)

    def _return_late(self, lent: "concurrent.futures.Future[None]") -> None:
        if not lent.cancelled():
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._admission.take_back)

    def hold(self, place: Place, count: int) -> None:
        """Count bytes of a request.

        Raises:
            OverloadedError: there is no room for them.
        """
        self._admission.hold(place, count)

    async def read(self, place: Place, read: Callable[[], Value]) -> Value:
        """Take a request apart in one of the threads for it.

        Raises:
            ReasonCDError: as `read`, or the scope is over.
        """
        return await self._in_thread(self._readers, place, read)

    async def whole(self, place: Place, asked: Asked, write: Callable[[Sequence[Detection]], Value]) -> Value:
        """Answer all questions when the request's turn has come.

        Args:
            place: of the request.
            asked: what it asks.
            write: makes what is sent of it, in the thread.

        Raises:
            ReasonCDError: as `Model.detect` or `write`, or the scope is over.
        """
        pair = await self._decoded(place, asked)

        def work() -> Value:
            found = self._model.detect(
                pair.images,
                asked.queries,
                mode=asked.mode,
                threshold=asked.threshold,
                meanings=asked.meanings,
                clicks=asked.clicks,
            )
            return write(found)

        return await self._in_thread(self._workers, place, work)

    async def events(
        self, place: Place, asked: Asked, write: Callable[[Told], Value], *, pulse: Value | None = None
    ) -> AsyncGenerator[Value, None]:
        """The same, with what happens as it happens; closing the generator cancels the request.

        Args:
            place: of the request.
            asked: what it asks.
            write: makes what is sent of an event, in the thread.
            pulse: given whenever nothing has happened for `PULSE_S` seconds.

        Yields:
            What `write` made of each event, in order.

        Raises:
            ReasonCDError: as `whole`.
        """
        pair = await self._decoded(place, asked)
        scope, loop = place.scope, asyncio.get_running_loop()
        told: asyncio.Queue[Value] = asyncio.Queue(EVENTS_AHEAD)
        news = asyncio.Event()

        async def put(value: Value) -> None:
            await told.put(value)
            news.set()

        def tell(event: Told) -> None:
            # The thread goes on when there is room: what a slow caller has not read does not pile up here.
            handed = asyncio.run_coroutine_threadsafe(put(write(event)), loop)
            with scope.when_cancelled(handed.cancel):
                try:
                    handed.result(scope.remaining_s())
                except (concurrent.futures.CancelledError, TimeoutError):
                    scope.check()
                    raise

        def work() -> None:
            self._model.detect(
                pair.images,
                asked.queries,
                mode=asked.mode,
                threshold=asked.threshold,
                meanings=asked.meanings,
                clicks=asked.clicks,
                on_event=tell,
                on_detection=lambda number, found: tell(Answered(query=number, detection=found)),
            )

        working = self._begin(self._workers, place, work)
        working.add_done_callback(lambda _: news.set())
        try:
            while True:
                while not told.empty():
                    yield told.get_nowait()
                # Each event was in the queue before the work went on, so nothing comes after its end.
                if working.done():
                    break
                news.clear()
                remaining = scope.remaining_s()
                try:
                    await asyncio.wait_for(
                        news.wait(), min(PULSE_S, PULSE_S if remaining is None else remaining)
                    )
                except TimeoutError:
                    if scope.remaining_s() == 0:
                        raise _late() from None
                    if pulse is not None:
                        yield pulse
            working.result()
        finally:
            if not working.done():
                scope.cancel()

    def drain(self) -> None:
        """Take nothing new from now on."""
        self._draining = True

    async def drained(self, grace_s: float) -> bool:
        """Wait until every request has ended.

        Returns:
            False where `grace_s` seconds were not enough; the rest is cancelled then.
        """
        try:
            await asyncio.wait_for(self._admission.wait_empty(), grace_s)
        except TimeoutError:
            self._stopping = True
            self._admission.cancel_all()
            return False
        return True

    def close(self) -> None:
        """Let the threads go; what they still do ends by itself."""
        for pool in (self._workers, self._readers):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _decoded(self, place: Place, asked: Asked) -> ImagePair:
        try:
            await asyncio.wait_for(self._admission.turn(place), place.scope.remaining_s())
        except TimeoutError:
            raise _late() from None
        return await self._in_thread(self._readers, place, lambda: self._pairs.pair(asked))

    async def _in_thread(self, pool: ThreadPoolExecutor, place: Place, work: Callable[[], Value]) -> Value:
        working = self._begin(pool, place, work)
        await asyncio.wait({working}, timeout=place.scope.remaining_s())
        if not working.done():
            # It ends at its next look at the scope; the caller does not wait for that.
            place.scope.cancel()
            raise _late()
        return working.result()

    def _begin(
        self, pool: ThreadPoolExecutor, place: Place, work: Callable[[], Value]
    ) -> "asyncio.Future[Value]":
        context = copy_context()
        context.run(enter, place.scope)

        def begin() -> Value:
            place.scope.check()
            return work()

        place.work = pool.submit(context.run, begin)
        working: asyncio.Future[Value] = asyncio.wrap_future(place.work)
        # Where nobody waits any more, nobody wants to hear of its error.
        working.add_done_callback(lambda done: done.cancelled() or done.exception())
        return working


def _late() -> DeadlineError:
    return DeadlineError("the deadline passed before the answer was ready; allow more time")
