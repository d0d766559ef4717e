"""`reasoncd-bench run`: what is asked of accuracy reaches it."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks import jobs
from benchmarks.cli import app

pytestmark = pytest.mark.unit


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `run` hands to accuracy: configuration and reserved queries; nothing is measured."""
    found: list[Any] = []

    def run_accuracy(out: Path, machine: object, config: object, reserved: object, **_: object) -> int:
        found.extend((config, reserved))
        return 0

    monkeypatch.setattr(jobs, "run_speed", lambda *_, **__: None)
    monkeypatch.setattr(jobs, "run_accuracy", run_accuracy)
    return found


def test_the_split_and_the_queries_are_passed_on(asked: list[Any], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["run", "--out", str(tmp_path), "--split", "test", "--development"])
    assert done.exit_code == 0, done.output
    config, reserved = asked
    assert config.split == "test"
    assert reserved == jobs.Reserved(development=True)


def test_unless_told_it_validates_on_the_projects_own_questions(asked: list[Any], tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["run", "--out", str(tmp_path)]).exit_code == 0
    config, reserved = asked
    assert config.split == "validation"
    assert reserved == jobs.Reserved()


def test_two_kinds_of_queries_are_refused(asked: list[Any], tmp_path: Path) -> None:
    options = ["--development", "--held-out", str(tmp_path / "q.json")]
    done = CliRunner().invoke(app, ["run", "--out", str(tmp_path), *options])
    assert done.exit_code == 2 and "only one of" in done.stderr
    assert asked == []
