"""Whether the model answers: for Describe, for `grpc.health.v1`, and for `/readyz`."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context

from grpc_health.v1 import health, health_pb2

from gateway.server.model import Model
from reasoncd.errors import DeadlineError, ReasonCDError, UnavailableError
from reasoncd.observability.metrics import show_models
from reasoncd.ports import Description
from reasoncd.rpc.scope import CallScope, current_scope, enter

_LOG = logging.getLogger(__name__)

LOOK_TIMEOUT_S = 5.0
"""Of one look."""

Parts = tuple[Description, Description, Description]


class Reach:
    """Looks at the model now and then, and whenever somebody asks who answers.

    Args:
        model: to be looked at.
        names: of the services whose health is told.
        every_s: between two looks.
    """

    def __init__(self, model: Model, names: tuple[str, ...], *, every_s: float) -> None:
        self._model, self._names, self._every_s = model, names, every_s
        self._thread = ThreadPoolExecutor(1, "look")
        self._looking: asyncio.Future[Parts] | None = None
        self._error: ReasonCDError = UnavailableError("the model has not answered yet; ask again")
        self._ready = False
        self._shown: Parts | None = None
        self.answered = asyncio.Event()
        """Set once the model has answered."""
        self.health = health.aio.HealthServicer()
        """The servicer of `grpc.health.v1`."""

    def check(self) -> None:
        """Pass where the model answered when it was last looked at.

        Raises:
            ReasonCDError: it did not; why.
        """
        if not self._ready:
            raise self._error

    async def look(self) -> Parts:
        """Who answers now. Those who ask at the same time share one look.

        Raises:
            ReasonCDError: the model does not answer, its parts do not fit, or the scope is over.
        """
        if self._looking is None or self._looking.done():
            context = Context()
            # No caller's: others may be waiting for the same look.
            context.run(enter, CallScope(timeout_s=LOOK_TIMEOUT_S))
            self._looking = asyncio.wrap_future(self._thread.submit(context.run, self._model.describe))
            self._looking.add_done_callback(lambda done: done.cancelled() or done.exception())
        looking = self._looking
        await asyncio.wait({looking}, timeout=current_scope().remaining_s())
        if not looking.done():
            raise DeadlineError("the deadline passed before the model said who it is; allow more time")
        return looking.result()

    async def watch(self) -> None:
        """Look now and then until cancelled."""
        await self._tell(ready=False)
        while True:
            try:
                parts = await self.look()
            except ReasonCDError as error:
                if self._ready or error.message != self._error.message:
                    _LOG.warning("the model does not answer", extra={"reason": error.message})
                self._error = error
                await self._tell(ready=False)
            else:
                if parts != self._shown:
                    self._shown = parts
                    show_models("gateway", parts)
                if not self._ready:
                    _LOG.info("the model answers")
                await self._tell(ready=True)
                self.answered.set()
            await asyncio.sleep(self._every_s)

    async def stop(self, error: ReasonCDError) -> None:
        """Be not ready from now on.

        Args:
            error: why.
        """
        self._ready, self._error = False, error
        await self.health.enter_graceful_shutdown()

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _tell(self, *, ready: bool) -> None:
        self._ready = ready
        status = health_pb2.HealthCheckResponse
        for name in ("", *self._names):
            await self.health.set(name, status.SERVING if ready else status.NOT_SERVING)
