"""Who gets in: bounds of the requests in work and waiting, of their bytes, and of each token's requests.

What does not fit is refused at once, with an estimate of when to come again; nothing waits in line but the
requests that have a place. Belongs to one event loop, whose thread alone may use it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gateway.server.auth import Token
from reasoncd.errors import OverloadedError
from reasoncd.observability import metrics
from reasoncd.observability.queues import Queued
from reasoncd.rpc.scope import CallScope

FIRST_GUESS_S = 1.0
"""How long a request is in work, before one has been."""
WEIGHT = 0.2
"""Of the newest request in the running mean of that time."""
RETRY_RANGE_S = (0.5, 60.0)

SERVICE = "gateway"


@dataclass(kw_only=True, slots=True, eq=False)
class Place:
    """What one request takes up. Given by `Admission.enter`, which alone changes it."""

    scope: CallScope
    """Of the request."""
    token_name: str | None
    """Of its caller, where there are tokens."""
    held: int = 0
    """Its bytes."""
    began: float | None = None
    """When its turn came, by the admission's clock."""
    work: Future[Any] | None = None
    """What a thread does for it."""
    left: bool = False


class Admission:
    """The places of one gateway.

    Args:
        running: requests in work at once.
        waiting: requests that wait beyond those.
        held_bytes: of all these requests together.
        clock: seconds.
    """

    def __init__(
        self,
        *,
        running: int,
        waiting: int,
        held_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._running, self._most, self._held_bytes = running, running + waiting, held_bytes
        self._clock = clock
        self._turns = asyncio.Semaphore(running)
        self._places: set[Place] = set()
        self._of_token: Counter[str] = Counter()
        self._held = 0
        self._work_s = FIRST_GUESS_S
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def requests(self) -> int:
        """Requests that have a place now."""
        return len(self._places)

    @property
    def held(self) -> int:
        """Their bytes."""
        return self._held

    def enter(self, scope: CallScope, token: Token | None) -> Place:
        """Take a place; `leave` gives it back.

        Args:
            scope: of the request.
            token: of the caller, where there are tokens.

        Raises:
            OverloadedError: all places are taken, or all that the token may have.
        """
        if token and token.requests is not None and self._of_token[token.name] >= token.requests:
            raise self._refuse(
                "token",
                f"the token of {token.name} has {token.requests} requests in work, which is all it may have; "
                "wait for one to end",
            )
        if len(self._places) >= self._most:
            raise self._refuse(
                "requests",
                f"{self._most} requests are in work or waiting, which is all there is room for; ask later",
            )
        place = Place(scope=scope, token_name=token.name if token else None)
        self._places.add(place)
        if token:
            self._of_token[token.name] += 1
        self._empty.clear()
        return place

    def hold(self, place: Place, count: int) -> None:
        """Count bytes of a request, in addition to those before.

        Raises:
            OverloadedError: there is no room for them.
        """
        if self._held + count > self._held_bytes:
            raise self._refuse(
                "bytes",
                f"{self._held} of {self._held_bytes} bytes are taken by other requests, so this one does not "
                "fit; ask later or send smaller images",
            )
        self._count(place, count)

    async def turn(self, place: Place) -> None:
        """Wait for room to work; those who came first go first."""
        queued = Queued(SERVICE)
        try:
            await self._turns.acquire()
        finally:
            queued.leave()
        place.began = self._clock()

    async def lend(self) -> None:
        """Wait in the same line for room to work on what is no request; `take_back` gives it back."""
        await self._turns.acquire()

    def take_back(self) -> None:
        """Such room is free again."""
        self._turns.release()

    def leave(self, place: Place) -> None:
        """Give a place back, or have it given back when its work has ended."""
        if place.left:
            return
        place.left = True
        if place.work is None or place.work.done():
            self._give_back(place)
            return
        loop = asyncio.get_running_loop()

        def ended(_: Future[Any]) -> None:
            # The thread may outlast the loop: then nobody counts any more.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._give_back, place)

        place.work.add_done_callback(ended)

    async def wait_empty(self) -> None:
        """Until no request has a place."""
        await self._empty.wait()

    def cancel_all(self) -> None:
        """Cancel the scope of every request that has a place."""
        for place in list(self._places):
            place.scope.cancel()

    def _give_back(self, place: Place) -> None:
        if place.began is not None:
            self._work_s += WEIGHT * (self._clock() - place.began - self._work_s)
            self._turns.release()
        self._count(place, -place.held)
        self._places.discard(place)
        if place.token_name is not None:
            self._of_token[place.token_name] -= 1
            # So that names of the past do not stay.
            self._of_token += Counter()
        if not self._places:
            self._empty.set()

    def _count(self, place: Place, count: int) -> None:
        place.held += count
        self._held += count
        metrics.admitted_bytes.set(self._held)

    def _refuse(self, reason: metrics.Refusal, message: str) -> OverloadedError:
        metrics.refused.labels(reason).inc()
        rounds = max(len(self._places) - self._running + 1, 1) / self._running
        low, high = RETRY_RANGE_S
        return OverloadedError(message, retry_after_s=min(max(self._work_s * rounds, low), high))
