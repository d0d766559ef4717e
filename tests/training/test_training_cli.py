"""The training command line: how it ends, what it prints, and that asking it for help costs nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from training.cli import app

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--preset", "paper-tiny"])


def assert_refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    said = result.stderr.splitlines()[-1]
    assert said.startswith("reasoncd-train: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in said


def test_help_starts_without_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from training.cli import app\ntry: app()\nfinally: assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("run", "probe", "export"):
        assert name in done.stdout


@pytest.mark.parametrize("stage", ["vision", "reasoner", "joint"])
def test_a_stage_before_its_time_is_refused(tmp_path: Path, stage: str) -> None:
    assert_refused(run("run", stage, "--folder", str(tmp_path)), "run `reasoncd-train run", "first")


def test_an_export_of_nothing_is_refused(tmp_path: Path) -> None:
    card, out = tmp_path / "card.md", tmp_path / "out"
    assert_refused(run("export", str(out), "--model-card", str(card), "--folder", str(tmp_path)), "card.md")
    card.write_text("# Card\n")
    assert_refused(
        run("export", str(out), "--model-card", str(card), "--folder", str(tmp_path)), "is not there yet"
    )
    assert not out.exists()


def test_the_bank_is_rendered_once(tmp_path: Path) -> None:
    first = run("run", "bank", "--folder", str(tmp_path))
    assert first.exit_code == 0, first.output
    assert "rendered 16 of 16 pairs" in first.stderr
    again = run("run", "bank", "--folder", str(tmp_path))
    assert again.exit_code == 0
    assert "rendered" not in again.stderr


def test_an_unknown_stage_is_refused() -> None:
    assert run("run", "dance").exit_code == 2
