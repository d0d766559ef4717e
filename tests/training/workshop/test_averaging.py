"""The mean of trainings: what it holds, and which trainings have none."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from reasoncd.errors import CheckpointError, InvalidInputError
from training import recipes
from training.cli import app
from training.prompt_table import keep_table, kept_space, kept_table
from training.run.loop import WEIGHTS_FILE
from training.workshop.adoption import START_FILE, adopt
from training.workshop.averaging import average
from training.workshop.workshop import Workshop

pytestmark = pytest.mark.contract

State = dict[str, Tensor]


def _quiet(folder: Path) -> Workshop:
    return Workshop(recipes.paper_tiny(), folder, say=lambda line: None)


@pytest.fixture
def folders(paper_tiny: Path, tmp_path: Path) -> list[Path]:
    """Three folders of one checkpoint: two for trainings, one for their mean."""
    made = [tmp_path / name for name in ("first", "second", "mean")]
    for folder in made:
        adopt(paper_tiny, folder, recipes.paper_tiny())
    return made


def _start(folder: Path, stage: str) -> State:
    return load_file(folder / stage / START_FILE)


def _finish(folder: Path, stage: str, state: State) -> None:
    save_file(state, folder / stage / WEIGHTS_FILE)


def _moved(state: State, by: float) -> State:
    return {n: t + by if t.is_floating_point() and n != "table.rows" else t for n, t in state.items()}


def test_it_lies_between_and_is_exported(folders: list[Path]) -> None:
    first, second, mean = map(_quiet, folders)
    start = _start(mean.folder, "vision")
    _finish(first.folder, "vision", _moved(start, 0.0))
    _finish(second.folder, "vision", _moved(start, 0.01))
    path = average("vision", [first, second], mean)
    assert path == mean.weights_of("vision")
    found = load_file(path)
    assert found.keys() == start.keys()
    for name, tensor in found.items():
        moved = tensor.is_floating_point() and name != "table.rows"
        torch.testing.assert_close(tensor, start[name] + 0.005 if moved else start[name])
    mean.export(mean.folder / "checkpoint", "# tiny\n")


def test_what_no_training_moved_keeps_its_bits(folders: list[Path]) -> None:
    first, second, mean = map(_quiet, folders)
    for one in (first, second):
        _finish(one.folder, "reasoner", _start(one.folder, "reasoner"))
    found = load_file(average("reasoner", [first, second, first], mean))
    for name, tensor in _start(mean.folder, "reasoner").items():
        assert torch.equal(found[name], tensor), name


def test_heads_of_training_that_one_lacks_are_left_out(folders: list[Path]) -> None:
    first, second, mean = map(_quiet, folders)
    start = _start(mean.folder, "vision")
    head = {"land_head.weight": torch.ones(2)}
    _finish(first.folder, "vision", start | head)
    _finish(second.folder, "vision", start)
    assert load_file(average("vision", [first, second], mean)).keys() == start.keys()


def test_trainings_of_other_sizes_have_none(folders: list[Path]) -> None:
    first, second, mean = map(_quiet, folders)
    start = _start(mean.folder, "vision")
    name = next(n for n, t in start.items() if n.startswith("decoder.") and t.ndim == 1)
    wider = start | {name: torch.cat([start[name], start[name]])}
    _finish(first.folder, "vision", start)
    _finish(second.folder, "vision", wider)
    for order in ([first, second], [second, first]):
        with pytest.raises(CheckpointError, match=f"{name} is not the same size"):
            average("vision", order, mean)
    _finish(second.folder, "vision", {n: t for n, t in start.items() if n != name})
    for order in ([first, second], [second, first]):
        with pytest.raises(CheckpointError, match=f"{name} is not the same size"):
            average("vision", order, mean)
    assert not (mean.folder / "vision" / WEIGHTS_FILE).exists()


def test_trainings_against_other_prompts_have_none(folders: list[Path]) -> None:
    first, second, mean = map(_quiet, folders)
    for one in (first, second):
        _finish(one.folder, "vision", _start(one.folder, "vision"))
    keep_table(second.folder, kept_table(second.folder), "another space")
    with pytest.raises(CheckpointError, match="second was trained against another prompt table"):
        average("vision", [first, second], mean)
    keep_table(second.folder, kept_table(second.folder) + 1, kept_space(first.folder))
    with pytest.raises(CheckpointError, match="second was trained against another prompt table"):
        average("vision", [first, second], mean)


def test_what_was_trained_is_not_written_over(folders: list[Path]) -> None:
    first, second, mean = map(_quiet, folders)
    for name in (WEIGHTS_FILE, "latest"):
        (mean.folder / "vision" / name).write_bytes(b"mine")
        with pytest.raises(InvalidInputError, match=f"{name} is there already"):
            average("vision", [first, second], mean)
        assert (mean.folder / "vision" / name).read_bytes() == b"mine"
        (mean.folder / "vision" / name).unlink()


def test_the_command_says_what_it_wrote_or_what_is_missing(folders: list[Path]) -> None:
    first, second, mean = folders
    base = ["average", "vision", "--recipe", "paper-tiny", "--folder", str(mean)]
    run = CliRunner().invoke(app, [*base, "--of", str(first)])
    assert (run.exit_code, run.stderr) == (
        2,
        "reasoncd-train: one training is no mean; name two or more with --of\n",
    )
    (first / "vision" / "latest").write_text("step3")
    run = CliRunner().invoke(app, [*base, "--of", str(first), "--of", str(second)])
    assert (run.exit_code, "run vision" in run.stderr) == (2, True)
    (first / "vision" / "latest").unlink()
    run = CliRunner().invoke(app, [*base, "--of", str(first), "--of", str(second)])
    assert (run.exit_code, run.stderr) == (
        0,
        f"wrote {mean / 'vision' / WEIGHTS_FILE}: the mean of 2 trainings\n",
    )
