"""What both doors do with jobs: who asks, the desk's work in threads, and a job watched until it ends."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from typing import TypeVar

from gateway.jobs.desk import JobDesk
from gateway.jobs.folders import Incoming
from gateway.jobs.job import Job
from gateway.server.front import LEAVING, PULSE_S, FrontDoor
from gateway.server.settings import ServerSettings
from reasoncd.errors import OverloadedError, UnavailableError, UnimplementedError

THREADS = 8
"""That read and write the disk for callers."""
SETTLE_S = 0.1
"""Between two looks at a watched job: tiles may be done faster than anybody reads."""

Value = TypeVar("Value")


class JobsFront:
    """The jobs as both doors know them. Belongs to one event loop.

    Args:
        front: knows the callers.
        desk: keeps the jobs; None where none are taken on.
        settings: bounds.
    """

    def __init__(self, front: FrontDoor, desk: JobDesk | None, settings: ServerSettings) -> None:
        self._front, self._desk = front, desk
        self.receive_timeout_s = settings.receive_timeout_s
        """Until the next bytes of an upload must have arrived, in seconds."""
        self._receiving = 0
        self._threads = ThreadPoolExecutor(THREADS, "desk")

    @property
    def desk(self) -> JobDesk:
        """Where jobs are kept.

        Raises:
            UnimplementedError: none are taken on.
        """
        if self._desk is None:
            raise UnimplementedError("this gateway takes no scenes on; start it with --jobs-folder")
        return self._desk

    def owner(self, authorization: str | None) -> str:
        """Whose jobs the caller's are.

        Raises:
            UnauthenticatedError: the caller may not ask.
        """
        token = self._front.authenticate(authorization)
        return token.name if token else ""

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[Incoming]:
        """A place for a submission's uploads while the block runs; what was not kept then is gone.

        Raises:
            UnavailableError: the gateway is going down.
            OverloadedError: as many are received as are at once.
        """
        desk = self.desk
        if self._front.draining:
            raise UnavailableError(LEAVING)
        if self._receiving >= desk.settings.uploads:
            raise OverloadedError(
                f"{desk.settings.uploads} submissions are being received, which is all there is room for; "
                "submit later",
                retry_after_s=5,
            )
        self._receiving += 1
        incoming = desk.incoming()
        try:
            yield incoming
        finally:
            self._receiving -= 1
            # Awaited by nobody: the caller may have left, and its task with it.
            self._threads.submit(incoming.discard)

    async def work(self, work: Callable[[], Value]) -> Value:
        """Have the desk do something in a thread.

        Raises:
            ReasonCDError: as `work`.
        """
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, work)

    async def watch(self, job: str, owner: str) -> AsyncGenerator[Job | None, None]:
        """The job now, and again whenever it has changed, until it has ended.

        Yields:
            The job; None where nothing has happened for `PULSE_S` seconds.

        Raises:
            NotFoundError: there is no such job, or none any more.
            UnavailableError: the gateway is going down.
        """
        desk, loop, news = self.desk, asyncio.get_running_loop(), asyncio.Event()

        def listen() -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(news.set)

        with desk.listening(job, listen):
            told: Job | None = None
            while True:
                news.clear()
                found = await self.work(lambda: desk.get(job, owner))
                if found != told:
                    told = found
                    yield found
                if found.state.ended:
                    return
                try:
                    await asyncio.sleep(SETTLE_S)
                    await self._news(news)
                except TimeoutError:
                    yield None

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False)

    async def _news(self, news: asyncio.Event) -> None:
        """Wait for news of a job; the gateway's end is some too.

        Raises:
            TimeoutError: there were none for a while.
            UnavailableError: the gateway is going down.
        """
        async with asyncio.timeout(PULSE_S):
            while not news.is_set():
                if self._front.draining:
                    raise UnavailableError(LEAVING)
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), 0.5)
