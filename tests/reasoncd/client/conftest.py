"""A scripted gateway on a real server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from reasoncd.rpc.channel import MESSAGE_OPTIONS
from reasoncd.v1.gateway_pb2_grpc import add_ChangeDetectionServicer_to_server
from tests.reasoncd.client.scripted_gateway import HEIGHT, WIDTH, ScriptedGateway


@pytest.fixture
def gateway() -> ScriptedGateway:
    return ScriptedGateway()


@pytest.fixture
def target(gateway: ScriptedGateway) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4), options=MESSAGE_OPTIONS)
    add_ChangeDetectionServicer_to_server(gateway, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    gateway.ended.set()
    server.stop(None).wait()


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
