"""The speed page out of given times, the start-up probe, and what the command refuses."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.speed.report import speed_report
from benchmarks.speed.rounds import GEMM_SIDE, SpeedConfig, SpeedResult
from benchmarks.speed.startup import peak_mib
from reasoncd.errors import InvalidInputError

pytestmark = pytest.mark.unit


def _result(starts: int) -> SpeedResult:
    return SpeedResult(
        config=SpeedConfig(rounds=3, starts=starts),
        fingerprints={"reasoner": "ab" * 32},
        checkpoint_mib=20e6 / 2**20,
        threads=2,
        cores=2,
        load=0.5,
        times={
            f"fp32 product of side {GEMM_SIDE}": [0.04, 0.05, 0.06],
            "cold query": [0.2, 0.3, 2.0],
            "repeated query": [0.1, 0.1, 0.2],
            "short answer, prefix cached": [0.1, 0.1, 0.1],
            "short answer, prefix computed": [0.2, 0.3, 0.4],
            "short answer, plain greedy, prefix cached": [0.2, 0.2, 0.2],
            "explained answer, prefix cached": [0.1, 0.1, 0.1],
            "explained answer, plain greedy, prefix cached": [0.4, 0.4, 0.4],
            "import torch in a fresh process": [2.0] * starts,
        },
        starts=[{"ready": 5.0, "answered": 6.0, "built_mib": 700.0, "peak_mib": 768.0}] * starts,
        explained_rates=[50.0, 40.0, 60.0],
        explained_tokens=[30, 30, 30],
        passes={
            "short answer, plain greedy": [4, 4, 4],
            "short answer, with guesses": [2, 2, 2],
            "explained answer, plain greedy": [15, 15, 15],
            "explained answer, with guesses": [5, 5, 5],
        },
        same_tokens=3,
    )


def test_medians_and_ratios() -> None:
    page = speed_report(_result(starts=2))
    for row in (
        "| cold query | 300.0 ms | 0.6 s | 0.50 | 3 |",
        "| explained answers | 50.0 tokens/s | 25 tokens/s | 0.50 | 3 |",
        "| peak memory with one query | 768 MiB | 1536 MiB | 0.50 | 2 |",
        "| checkpoint | 20.0 MB | 40 MB | 0.50 | 1 |",
        "| cold / repeated query | 3.00 |",
        "| short answer, prefix computed / cached | 3.00 |",
        "| short answer, plain greedy / with guesses | 2.00 |",
        "| explained answer, plain greedy / with guesses | 4.00 |",
        "| passes of the language model, explained answer, plain greedy / with guesses | 3.00 |",
        "| start / `import torch` | 2.50 |",
    ):
        assert row in page
    assert "| cold query | 300.0 ms | 250.0 | 1150.0 | 6.00 | 3 |" in page


def test_without_fresh_processes_there_is_no_row_for_them() -> None:
    result = _result(starts=0)
    del result.times["import torch in a fresh process"]
    assert "start" not in speed_report(result).replace("started", "")


def test_peak_memory_is_that_of_this_process() -> None:
    before = peak_mib()
    block = b"x" * (512 * 2**20)
    assert peak_mib() >= len(block) / 2**20 > 0
    assert before > 10


@pytest.mark.parametrize("settings", [{"rounds": 0}, {"starts": -1}, {"threads": 0}])
def test_unusable_numbers_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError, match="give at least"):
        SpeedConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("command", ["accuracy", "speed"])
def test_a_missing_checkpoint_is_one_sentence(command: str, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    words = [command, "--checkpoint", gone, "--out", str(tmp_path / "page.md")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert f"reasoncd-bench: there is no checkpoint at {gone}" in done.output
    assert not (tmp_path / "page.md").exists()
