"""Clients, load and overload against a gateway in this process, whose model is slow on purpose."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.serving.clients import Clients
from benchmarks.serving.load import EXCESS, measure_overload, measure_throughput
from benchmarks.serving.overhead import Overhead, measure_overhead
from benchmarks.serving.system import Gateway
from gateway.detection import Detection
from gateway.embedded import build_pipeline
from gateway.pipeline import Pipeline
from reasoncd.client.messages import detect_request
from reasoncd.errors import ReasonCDError
from reasoncd.observability import logs
from tests.gateway.conftest import DifferenceEncoder, SignDecoder, WordReasoner
from tests.gateway.server.conftest import served

pytestmark = pytest.mark.unit

WORK_S = 0.05
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
REQUESTS = [detect_request(IMAGES[0], IMAGES[1], query) for query in ("new", "lost")]


class Slow(Pipeline):
    def detect(self, *arguments: Any, **options: Any) -> list[Detection]:
        time.sleep(WORK_S)
        return super().detect(*arguments, **options)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """Two in work, one waiting."""
    log = tmp_path / "log"
    with log.open("w") as stream:
        undo = logs.configure("gateway", stream=stream)
        model = Slow(DifferenceEncoder(), WordReasoner(), SignDecoder())
        with served(model, running=2, waiting=1) as running:
            yield Gateway(pid=0, grpc=running.addresses.grpc, http=running.addresses.http, log=log)
        undo()


def test_each_request_is_asked_by_one_client(gateway: Gateway) -> None:
    with Clients(gateway.grpc, REQUESTS, count=2) as load:
        while len(load.calls) < 6:
            time.sleep(0.01)
    assert all(call.ok and call.seconds >= WORK_S for call in load.calls)
    assert all(call.detections[0].query == ("new", "lost")[call.request] for call in load.calls)
    asked = [call.request for call in load.calls]
    assert abs(asked.count(0) - asked.count(1)) <= 2


def test_a_failure_is_noted_and_the_client_goes_on() -> None:
    with Clients("127.0.0.1:1", REQUESTS, count=1) as load:
        while len(load.calls) < 2:
            time.sleep(0.01)
    assert {call.code for call in load.calls} == {"UNAVAILABLE"}


def test_throughput_counts_answers_and_refuses_to_pass_over_failures(gateway: Gateway) -> None:
    found = measure_throughput({"a": gateway, "b": gateway}, REQUESTS, clients=2, seconds=0.6, slices=2)
    for throughput in found.values():
        assert len(throughput.per_second) == 2
        assert 0 < throughput.median <= 2 / WORK_S
    with pytest.raises(ReasonCDError, match="RESOURCE_EXHAUSTED"):
        measure_throughput({"a": gateway}, REQUESTS, clients=6, seconds=0.6, slices=1)


def test_overload_is_refused_and_both_clocks_are_read(gateway: Gateway) -> None:
    found = measure_overload(gateway, REQUESTS, clients=2, seconds=2.0, slices=2)
    assert found.offered == [EXCESS * each for each in found.good.per_second]
    assert found.refused > len(found.loaded.seconds)
    assert found.failed == 0
    assert len(found.refusal_s) == len(found.refusal_client_s) == found.refused
    assert found.kept > 0


def test_overhead_compares_equal_answers(
    marking_checkpoint: Path, place: NDArray[np.uint8], tmp_path: Path
) -> None:
    def measure(model: Pipeline, rounds: int) -> Overhead:
        with served(model) as running:
            addresses = running.addresses
            gateway = Gateway(pid=0, grpc=addresses.grpc, http=addresses.http, log=tmp_path / "log")
            return measure_overhead(gateway, marking_checkpoint, place, rounds=rounds, threads=1)

    found = measure(build_pipeline(marking_checkpoint), 2)
    assert {len(getattr(found, name)) for name in Overhead.__slots__} == {2}
    assert found.cold_ratio > 0
    # It is no use to time other answers.
    with pytest.raises(ReasonCDError, match="differs"):
        measure(Slow(DifferenceEncoder(), WordReasoner(), SignDecoder()), 1)
