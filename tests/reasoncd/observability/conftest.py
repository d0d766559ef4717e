"""A servicer behind the guard on a real server, and the spans that it makes."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from reasoncd.observability.metrics import REGISTRY
from reasoncd.v1 import reasoner_pb2_grpc
from tests.reasoncd.observability.tried_out import Guarded


@pytest.fixture
def servicer() -> Guarded:
    return Guarded()


@pytest.fixture
def stub(servicer: Guarded) -> Iterator[reasoner_pb2_grpc.ReasonerStub]:
    """Calls the servicer on a `grpc.aio` server with an event loop of its own."""
    loop = asyncio.new_event_loop()

    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server()
        reasoner_pb2_grpc.add_ReasonerServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(loop.run_forever)
        server, port = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield reasoner_pb2_grpc.ReasonerStub(channel)
        asyncio.run_coroutine_threadsafe(server.stop(None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        running.result(30)
    loop.close()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Gets every span that ends."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # The public way to set it works once in a process.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


@pytest.fixture
def value() -> Callable[..., float]:
    """A metric's value now, by its name and labels; 0 where it has none."""

    def read(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    return read
