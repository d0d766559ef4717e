"""The model that ships, two replicas of each service, and what may happen to them while many ask."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.serving.applications import APPLICATIONS
from tests import served_faults
from tests.conftest import Rewrite
from tests.served_system import MINI, System, drawn, mosaic, served

pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("served")]

TILE = 256
TILES = 8
CLIENTS = 6
ROUNDS = 4


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with served(MINI, replicas=2) as running:
        yield running


@pytest.fixture(scope="module")
def pair() -> NDArray[np.uint8]:
    return drawn(TILE)


@pytest.mark.parametrize("again", range(3))
@pytest.mark.parametrize(
    "leave", [served_faults.leave_grpc, served_faults.leave_http, served_faults.leave_http_unary]
)
def test_nothing_begins_after_the_client_left(
    system: System, pair: NDArray[np.uint8], leave: served_faults.Leave, again: int
) -> None:
    served_faults.cancel_while_reasoning(system, pair, leave=leave)


def test_no_further_tile_is_encoded_after_the_client_left(system: System, pair: NDArray[np.uint8]) -> None:
    served_faults.cancel_while_encoding(system, mosaic(pair, TILES), tiles=TILES**2)


@pytest.mark.parametrize("name", list(APPLICATIONS))
def test_a_service_that_hangs_ends_in_the_deadline(
    system: System, pair: NDArray[np.uint8], name: str
) -> None:
    served_faults.stop_service(system, name, pair)


def test_the_reasoner_is_replaced_under_load_and_put_back(
    system: System, pair: NDArray[np.uint8], tmp_path: Path, rewrite: Rewrite
) -> None:
    other = rewrite(MINI, tmp_path / "other", embedding_scale=0.5)
    served_faults.replace_reasoner(system, other, pair, clients=CLIENTS)
    served_faults.replace_reasoner(system, MINI, pair, clients=CLIENTS)


def test_replicas_are_killed_again_and_again_under_load(system: System, pair: NDArray[np.uint8]) -> None:
    calls = served_faults.kill_replicas(system, pair, clients=CLIENTS, rounds=ROUNDS)
    assert len(calls) > CLIENTS * ROUNDS * len(APPLICATIONS)
