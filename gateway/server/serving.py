"""The running server: both doors on one event loop, health, reflection, and an end without loss.

On the signal to stop, health says NOT_SERVING, nothing new is taken, what is in work may finish within the
grace, and then the doors close.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import grpc
import uvicorn
from fastapi import FastAPI
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from gateway.jobs.desk import JobDesk
from gateway.server.auth import read_tokens
from gateway.server.front import LEAVING, FrontDoor
from gateway.server.grpc_front import SERVICE_NAME, ChangeDetection, UnknownCalls
from gateway.server.grpc_jobs import JOBS_NAME, SceneJobs
from gateway.server.http_front import build_app
from gateway.server.jobs_front import JobsFront
from gateway.server.model import Model
from gateway.server.reach import Reach
from gateway.server.settings import ServerSettings
from reasoncd.errors import UnavailableError

LAST_WORDS_S = 2.0
"""For responses that are on their way when the doors close, in seconds."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Addresses:
    """Where the doors are."""

    grpc: str
    """HOST:PORT."""
    http: str
    """URL, without a slash at its end."""


def serve(model: Model, settings: ServerSettings, ready: Callable[[Addresses], None]) -> None:
    """Serve until SIGTERM or SIGINT; a second one cuts the grace short.

    Args:
        model: who answers.
        settings: where, and how much.
        ready: told when both doors are open and the model has answered.

    Raises:
        UnavailableError: a port cannot be taken.
        NotFoundError, InvalidInputError: the token file or a TLS file cannot be used.
    """
    asyncio.run(_until_signalled(model, settings, ready))


def check(settings: ServerSettings) -> None:
    """See that the files which settings name can be used, before a model is waited for.

    Raises:
        NotFoundError, InvalidInputError: the token file or a TLS file cannot be used.
    """
    if settings.tokens is not None:
        read_tokens(settings.tokens)
    if settings.tls is not None:
        settings.tls.for_grpc()


@asynccontextmanager
async def running(model: Model, settings: ServerSettings) -> AsyncIterator[Addresses]:
    """Both doors, open while the block runs; then they are drained and closed.

    Raises:
        UnavailableError, NotFoundError, InvalidInputError: as `serve`.
    """
    server = GatewayServer(model, settings)
    try:
        yield await server.start()
        await server.drain()
    finally:
        await server.close()


class GatewayServer:
    """One gateway. Belongs to the event loop in which it is made.

    Args:
        model: who answers.
        settings: where, and how much.

    Raises:
        NotFoundError, InvalidInputError: the token file or a TLS file cannot be used.
    """

    def __init__(self, model: Model, settings: ServerSettings) -> None:
        self._settings = settings
        self._front = FrontDoor(model, settings)
        self._desk = (
            JobDesk(settings.jobs, model=model, turn=self._front.turn_between) if settings.jobs else None
        )
        self._jobs = JobsFront(self._front, self._desk, settings)
        self._reach = Reach(model, (SERVICE_NAME, JOBS_NAME), every_s=settings.look_s)
        self._grpc = _grpc_server(self._front, self._jobs, self._reach, settings)
        self._web = _Web(build_app(self._front, self._jobs, self._reach, settings), settings)
        self._watching: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()

    @property
    def requests(self) -> int:
        """Requests that are in work or waiting."""
        return self._front.requests

    async def start(self) -> Addresses:
        """Open both doors.

        Raises:
            UnavailableError: a port cannot be taken.
        """
        settings = self._settings
        if settings.tokens is None and not settings.loopback:
            _LOG.warning("everybody who reaches %s may ask: there is no token file", settings.host)
        grpc_port = _bind(self._grpc, settings)
        http_port = self._web.bind()
        if self._desk is not None:
            await asyncio.to_thread(self._desk.start)
        await self._grpc.start()
        await self._web.start()
        self._watching = asyncio.create_task(self._reach.watch())
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        scheme = "https" if settings.tls else "http"
        return Addresses(grpc=f"{host}:{grpc_port}", http=f"{scheme}://{host}:{http_port}")

    async def answered(self) -> None:
        """Wait until the model has answered for the first time."""
        await self._reach.answered.wait()

    async def drain(self) -> None:
        """Take nothing new, and wait for what is in work: no longer than the grace, or until `hurry`."""
        self._front.drain()
        if self._desk is not None:
            # At their next tile, which is kept; they go on at the next start.
            self._desk.stop()
        await self._stop_watching()
        await self._reach.stop(UnavailableError(LEAVING))
        draining = asyncio.ensure_future(self._front.drained(self._settings.grace_s))
        hurried = asyncio.ensure_future(self._hurried.wait())
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not (draining.done() and draining.result()):
            draining.cancel()
            _LOG.warning("requests in work are given up: the time for them is over")
            await self._front.drained(0)

    def hurry(self) -> None:
        """Let `drain` wait no longer."""
        self._hurried.set()

    async def close(self) -> None:
        """Close both doors; who still waits for an answer is told that the gateway is gone."""
        await self._stop_watching()
        if self._desk is not None:
            self._desk.stop()
        await asyncio.gather(self._web.close(), self._grpc.stop(LAST_WORDS_S))
        if self._desk is not None:
            await asyncio.to_thread(self._desk.close, self._settings.grace_s)
        self._jobs.close()
        self._front.close()
        self._reach.close()

    async def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})


async def _until_signalled(
    model: Model, settings: ServerSettings, ready: Callable[[Addresses], None]
) -> None:
    server = GatewayServer(model, settings)
    told = asyncio.Event()

    def stop() -> None:
        if told.is_set():
            server.hurry()
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        addresses = await server.start()
        answered, stopped = asyncio.ensure_future(server.answered()), asyncio.ensure_future(told.wait())
        await asyncio.wait({answered, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if answered.done():
            ready(addresses)
        answered.cancel()
        await stopped
        _LOG.info("stopping")
        await server.drain()
    finally:
        await server.close()


def _grpc_server(
    front: FrontDoor, jobs: JobsFront, reach: Reach, settings: ServerSettings
) -> grpc.aio.Server:
    options = (
        ("grpc.max_receive_message_length", settings.message_bytes),
        # What is larger is refused by us, in a sentence.
        ("grpc.max_send_message_length", -1),
        # Two gateways on one port would each get some of its calls.
        ("grpc.so_reuseport", 0),
    )
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((ChangeDetection(front, reach, settings).handler(),))
    server.add_generic_rpc_handlers((SceneJobs(jobs).handler(),))
    health_pb2_grpc.add_HealthServicer_to_server(reach.health, server)
    names = (SERVICE_NAME, JOBS_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    # The last one that is asked.
    server.add_generic_rpc_handlers((UnknownCalls(),))
    return server


def _bind(server: grpc.aio.Server, settings: ServerSettings) -> int:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.grpc_port}"
    try:
        if settings.tls is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, settings.tls.for_grpc())
    except RuntimeError:
        raise UnavailableError(f"{address} cannot be listened on; choose another --grpc-port") from None


class _NoSignals(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to whoever runs the loop."""
        yield


class _Web:
    """uvicorn, started and stopped by us."""

    def __init__(self, app: FastAPI, settings: ServerSettings) -> None:
        self._settings = settings
        context = settings.tls.for_http() if settings.tls else None
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # Whoever sends X-Forwarded-For may write there what it likes.
            proxy_headers=False,
            timeout_graceful_shutdown=round(LAST_WORDS_S),
            ssl_context_factory=(lambda *_: context) if context else None,
        )
        self._server = _NoSignals(config)
        self._socket: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None

    def bind(self) -> int:
        host, port = self._settings.host, self._settings.http_port
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(address)
        except OSError as error:
            raise UnavailableError(
                f"{host}:{port} cannot be listened on ({error.strerror}); choose another --http-port"
            ) from None
        bound: int = self._socket.getsockname()[1]
        return bound

    async def start(self) -> None:
        assert self._socket is not None
        self._serving = asyncio.create_task(self._server.serve([self._socket]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise UnavailableError("the HTTP server ended at its start; its log says why")
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        if self._socket is not None:
            self._socket.close()
