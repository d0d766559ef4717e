"""A short form of tests/soak/test_faults_soak.py: two replicas of a tiny model, each kind of harm once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.serving.applications import APPLICATIONS
from tests import served_faults
from tests.conftest import Rewrite
from tests.served_system import System, mosaic, served

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("served")]

TILES = 12
"""A side of the mosaic: enough that the rest of them takes a while."""


@pytest.fixture(scope="module")
def system(marking_checkpoint: Path) -> Iterator[System]:
    with served(marking_checkpoint, replicas=2) as running:
        yield running


@pytest.mark.parametrize(
    "leave", [served_faults.leave_grpc, served_faults.leave_http, served_faults.leave_http_unary]
)
def test_nothing_begins_after_the_client_left(
    system: System, place: NDArray[np.uint8], leave: served_faults.Leave
) -> None:
    served_faults.cancel_while_reasoning(system, place, leave=leave)


def test_no_further_tile_is_encoded_after_the_client_left(system: System, place: NDArray[np.uint8]) -> None:
    served_faults.cancel_while_encoding(system, mosaic(place, TILES), tiles=TILES**2)


def test_a_service_that_hangs_ends_in_the_deadline(system: System, place: NDArray[np.uint8]) -> None:
    served_faults.stop_service(system, "mask-decoder", place)


def test_the_reasoner_is_replaced_under_load(
    system: System, marking_checkpoint: Path, place: NDArray[np.uint8], tmp_path: Path, rewrite: Rewrite
) -> None:
    other = rewrite(marking_checkpoint, tmp_path / "other", embedding_scale=0.5)
    served_faults.replace_reasoner(system, other, place, clients=2)


def test_replicas_are_killed_under_load(system: System, place: NDArray[np.uint8]) -> None:
    calls = served_faults.kill_replicas(system, place, clients=3, rounds=1)
    assert len(calls) > len(APPLICATIONS)
