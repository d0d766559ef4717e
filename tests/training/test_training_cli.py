"""The training command line: how it ends, what it prints, and that asking it for help costs nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from training.cli import app
from training.recipes.reading import FOLDER

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
    for name in ("prepare", "pretrain", "fit", "export", "run", "adopt", "probe", "compare-sam", "overhead"):
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


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_a_recipe_is_a_name_or_a_file(tmp_path: Path) -> None:
    assert_refused(invoke("pretrain", "--recipe", "maxi"), "recipe 'maxi' is unknown", "paper-bcdd")
    broken = tmp_path / "own.yaml"
    broken.write_text("sizes: {preset: paper_tiny}\nsamples: {epochs: none}\n")
    assert_refused(invoke("fit", "--recipe", str(broken)), "own.yaml: samples: field `epochs`")
    own = tmp_path / "mine.yaml"
    own.write_text((FOLDER / "paper-tiny.yaml").read_text().replace("count: 16", "count: 8"))
    done = invoke("run", "bank", "--recipe", str(own), "--folder", str(tmp_path / "work"))
    assert done.exit_code == 0, done.output
    assert "rendered 8 of 8 pairs" in done.stderr


def test_a_recipe_for_samples_has_no_stages(tmp_path: Path) -> None:
    assert_refused(
        invoke("pretrain", "--recipe", "paper-bcdd", "--folder", str(tmp_path)),
        "recipe paper-bcdd has no `stages`",
        "fit --samples",
    )


def test_options_for_samples_need_samples(tmp_path: Path) -> None:
    card = tmp_path / "sam.pth"
    assert_refused(
        invoke("fit", "--recipe", "paper-tiny", "--sam", str(card)), "--sam is for training on samples"
    )
    assert_refused(
        invoke("fit", "--samples", str(tmp_path / "gone.json"), "--recipe", "paper-tiny"), "gone.json"
    )


def test_official_weights_are_asked_for_by_name(
    sample_file: Path, tmp_path: Path, quick_recipe: Path
) -> None:
    text = quick_recipe.read_text().replace("official_weights: false", "official_weights: true")
    quick_recipe.write_text(text)
    arguments = (
        "--recipe",
        str(quick_recipe),
        "--samples",
        str(sample_file),
        "--folder",
        str(tmp_path / "w"),
    )
    assert_refused(invoke("fit", *arguments), "recipe quick starts from official weights", "--sam, --clip")


def test_samples_are_fitted_and_exported(sample_file: Path, tmp_path: Path, quick_recipe: Path) -> None:
    arguments = (
        "--recipe",
        str(quick_recipe),
        "--samples",
        str(sample_file),
        "--folder",
        str(tmp_path / "w"),
    )
    done = invoke("fit", *arguments)
    assert done.exit_code == 0, done.output
    figures = dict(line.split() for line in done.stdout.splitlines())
    assert {"f1", "iou", "kappa", "seg_emitted"} < figures.keys()
    assert "step 8/8" in done.stderr
    card, out = tmp_path / "card.md", tmp_path / "checkpoint"
    card.write_text("# Card\n")
    written = invoke("export", str(out), "--model-card", str(card), *arguments)
    assert written.exit_code == 0, written.output
    assert written.stdout.startswith(f"wrote {out}: presence threshold 0.0")
    assert (out / "manifest.json").is_file()


def test_overhead_prints_two_ratios(tmp_path: Path) -> None:
    done = run("overhead", "--stage", "sam", "--steps", "1", "--folder", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("paper-tiny sam, medians of 1 steps in turns: ")
    assert done.stdout.count("ratio") == 2


def test_a_run_in_a_log_file_has_plain_lines(tmp_path: Path) -> None:
    # What training puts into the environment would make the child join this process's group.
    group = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in group}
    command = [sys.executable, "-m", "training", "run", "sam", "--recipe", "paper-tiny"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)],
        env={**environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "step 2/2" in done.stderr
    assert "\x1b" not in done.stderr
