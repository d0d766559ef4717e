"""The page about the served system out of given times, and what the command refuses."""

import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.serving.load import Overload, Throughput
from benchmarks.serving.overhead import Overhead
from benchmarks.serving.report import ServingResult, Setting, serving_report
from benchmarks.serving.system import _Process
from reasoncd.errors import UnavailableError

pytestmark = pytest.mark.unit

RESULT = ServingResult(
    setting=Setting(
        fingerprints={"reasoner": "ab" * 32},
        cores=2,
        threads=2,
        load=0.1,
        clients=8,
        seconds=60,
        places=16,
    ),
    overhead=Overhead(
        cold_here=[0.2, 0.2, 0.4],
        cold_served=[0.21, 0.22, 0.43],
        repeated_here=[0.1, 0.1, 0.3],
        repeated_served=[0.12, 0.13, 0.35],
    ),
    batched=Throughput(per_second=[8.0, 9.0, 4.0], seconds=[0.9, 1.0, 1.1]),
    single=Throughput(per_second=[4.0, 4.0, 2.0], seconds=[1.9, 2.0, 2.1]),
    overload=Overload(
        offered=[80.0, 90.0],
        good=Throughput(per_second=[8.0, 9.0], seconds=[1.0]),
        loaded=Throughput(per_second=[7.6, 8.1], seconds=[2.0]),
        refused=1500,
        failed=0,
        refusal_s=[0.01, 0.06],
        refusal_client_s=[0.02, 0.2],
    ),
)


def test_figures_stand_beside_their_targets() -> None:
    page = serving_report(RESULT)
    assert "| cold query, served / in one process | 1.07 | at most 1.10 | yes |" in page
    assert "| repeated query, served - in one process | 30.0 ms | at most 30 ms | yes |" in page
    assert "| p95 of a refusal at 10 times overload | 57.5 ms | at most 50 ms | no |" in page
    assert "| answers kept at that overload | 92.5 % | at least 90 % | yes |" in page
    assert "Batching gives 2.00 times the answers" in page


def test_a_busy_machine_is_told() -> None:
    assert "The machine was busy" not in serving_report(RESULT)
    busy = replace(RESULT, setting=replace(RESULT.setting, load=2.0))
    assert "The machine was busy" in serving_report(busy)


def test_the_record_holds_every_measurement() -> None:
    assert RESULT.as_json()["overhead"]["cold_served"] == [0.21, 0.22, 0.43]


def test_what_cannot_be_measured_is_refused_at_once() -> None:
    result = CliRunner().invoke(app, ["serving", "--rounds", "0"])
    assert result.exit_code == 2
    assert "rounds is 0" in result.output


def test_a_process_that_does_not_start_says_why() -> None:
    command = [sys.executable, "-c", "import sys; print('hello'); sys.exit('no such thing')"]
    with _Process(command) as process, pytest.raises(UnavailableError, match="no such thing"):
        process.first_line_with("ready")
