"""One server with all four applications, and models that call it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.remote import RemoteConfig, RemoteModel
from tests.gateway.remote.wire import Replica, Wire, serving


@pytest.fixture
def wire(encoder: Any, reasoner: Any, decoder: Any) -> Iterator[Wire]:
    wire = Wire(
        replicas={
            "clip": [Replica(encoder)],
            "sam-fpn-fusion": [Replica(encoder)],
            "reasoner": [Replica(reasoner)],
            "mask-decoder": [Replica(decoder)],
        }
    )
    server = serving(wire)
    wire.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield wire
    server.stop(0).wait()


@pytest.fixture
def make_model(wire: Wire) -> Iterator[Callable[..., RemoteModel]]:
    """Makes models on the wire that have described the services already."""
    made: list[RemoteModel] = []

    def make(**settings: Any) -> RemoteModel:
        model = RemoteModel(RemoteConfig(target=wire.target, **settings))
        made.append(model)
        model.describe()
        return model

    yield make
    for model in made:
        model.close()


@pytest.fixture
def model(make_model: Callable[..., RemoteModel]) -> RemoteModel:
    return make_model(concurrent=False)
