"""Real servers on loopback, each in a thread with an event loop of its own, over the numpy engines."""

import asyncio
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gateway.detection import Detection
from gateway.pipeline import Pipeline
from gateway.server.model import Model
from gateway.server.serving import Addresses, GatewayServer
from gateway.server.settings import ServerSettings
from reasoncd.ports import Description
from reasoncd.rpc.channel import MESSAGE_OPTIONS
from reasoncd.rpc.scope import CallScope, current_scope
from tests.gateway.conftest import DifferenceEncoder, SignDecoder, WordReasoner

QUESTION = "new buildings"


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A server that runs in a thread of this process."""

    addresses: Addresses
    server: GatewayServer
    loop: asyncio.AbstractEventLoop

    def in_loop(self, coroutine: Any, timeout_s: float = 60) -> Any:
        """Run a coroutine where the server runs."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout_s)


@contextmanager
def served(model: Model, **settings: Any) -> Iterator[Served]:
    """A server on free ports while the block runs, drained at its end."""
    given = {"grpc_port": 0, "http_port": 0, "look_s": 0.1, "grace_s": 30.0, **settings}
    started: list[Served | BaseException] = []
    begun, end = threading.Event(), threading.Event()

    async def serve() -> None:
        server = GatewayServer(model, ServerSettings(**given))
        try:
            addresses = await server.start()
            started.append(Served(addresses=addresses, server=server, loop=asyncio.get_running_loop()))
            begun.set()
            await asyncio.to_thread(end.wait)
            await server.drain()
        finally:
            await server.close()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            started.append(error)
        finally:
            begun.set()

    thread = threading.Thread(target=run, name="served")
    thread.start()
    begun.wait(30)
    try:
        if isinstance(started[0], BaseException):
            raise started[0]
        yield started[0]
    finally:
        end.set()
        thread.join(60)
        assert not thread.is_alive()


@contextmanager
def channel_to(target: str, **options: Any) -> Iterator[grpc.Channel]:
    """A plain channel that takes large messages."""
    with grpc.insecure_channel(target, options=[*MESSAGE_OPTIONS, *options.items()]) as channel:
        yield channel


def method_of(channel: grpc.Channel, name: str = "Detect", *, streams: bool = False) -> Any:
    """A call of the contract that takes and gives bytes."""
    make: Any = channel.unary_stream if streams else channel.unary_unary
    return make(f"/reasoncd.v1.ChangeDetection/{name}")


class Held:
    """A model that answers when it is let to, and remembers the scopes of its calls."""

    def __init__(self, inner: Model) -> None:
        self._inner = inner
        self.go = threading.Event()
        self.began = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.scopes: list[CallScope] = []

    def describe(self) -> tuple[Description, Description, Description]:
        return self._inner.describe()

    def detect(self, images: NDArray[np.uint8], queries: Sequence[str], **told: Any) -> list[Detection]:
        scope = current_scope()
        self.scopes.append(scope)
        self.began.release()
        try:
            while not self.go.wait(0.01):
                scope.check()
            return self._inner.detect(images, queries, **told)
        finally:
            self.ended.release()


def until(true: Callable[[], object]) -> None:
    """Wait for what another thread brings about."""
    pause = threading.Event()
    for _ in range(3000):
        if true():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come about")


def new_pipeline() -> Pipeline:
    return Pipeline(DifferenceEncoder(), WordReasoner(), SignDecoder())


@pytest.fixture
def held(pipeline: Pipeline) -> Iterator[Held]:
    model = Held(pipeline)
    yield model
    # So that no server waits for it at the end.
    model.go.set()


def png(pixels: NDArray[np.uint8]) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def scene(height: int = 64, width: int = 96, *, seed: int = 0) -> tuple[bytes, bytes]:
    """Two PNG files: textured ground, and one bright box on the later date."""
    ground = np.random.default_rng(seed).integers(60, 70, (height, width, 3), dtype=np.uint8)
    later = ground.copy()
    later[16:32, 24:48] = 200
    return png(ground), png(later)


@pytest.fixture(scope="session")
def images() -> tuple[bytes, bytes]:
    return scene()


def form(images: tuple[bytes, bytes], *queries: str, **fields: str) -> dict[str, Any]:
    """What httpx posts: `files` and `data`."""
    return {
        "files": {"t1": ("t1.png", images[0]), "t2": ("t2.png", images[1])},
        "data": {"query": list(queries or (QUESTION,)), **fields},
    }
