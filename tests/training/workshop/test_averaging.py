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
    first, second, mean = folders
    start = _start(mean, "vision")
    _finish(first, "vision", _moved(start, 0.0))
    _finish(second, "vision", _moved(start, 0.01))
    path = average("vision", [first, second], mean)
    workshop = Workshop(recipes.paper_tiny(), mean, say=lambda line: None)
    assert path == workshop.weights_of("vision")
    found = load_file(path)
    assert found.keys() == start.keys()
    for name, tensor in found.items():
        moved = tensor.is_floating_point() and name != "table.rows"
        torch.testing.assert_close(tensor, start[name] + 0.005 if moved else start[name])
    workshop.export(mean / "checkpoint", "# tiny\n")


def test_what_no_training_moved_keeps_its_bits(folders: list[Path]) -> None:
    first, second, mean = folders
    for one in (first, second):
        _finish(one, "reasoner", _start(one, "reasoner"))
    found = load_file(average("reasoner", [first, second], mean))
    for name, tensor in _start(mean, "reasoner").items():
        assert torch.equal(found[name], tensor), name


def test_heads_of_training_that_one_lacks_are_left_out(folders: list[Path]) -> None:
    first, second, mean = folders
    start = _start(mean, "vision")
    head = {"land_head.weight": torch.ones(2)}
    _finish(first, "vision", start | head)
    _finish(second, "vision", start)
    assert load_file(average("vision", [first, second], mean)).keys() == start.keys()


def test_trainings_of_other_sizes_have_none(folders: list[Path]) -> None:
    first, second, mean = folders
    start = _start(mean, "vision")
    name = next(n for n, t in start.items() if n.startswith("decoder.") and t.ndim == 1)
    wider = start | {name: torch.cat([start[name], start[name]])}
    _finish(first, "vision", start)
    _finish(second, "vision", wider)
    for order in ([first, second], [second, first]):
        with pytest.raises(CheckpointError, match=f"{name} is not the same size"):
            average("vision", order, mean)
    _finish(second, "vision", {n: t for n, t in start.items() if n != name})
    for order in ([first, second], [second, first]):
        with pytest.raises(CheckpointError, match=f"{name} is not the same size"):
            average("vision", order, mean)
    assert not (mean / "vision" / WEIGHTS_FILE).exists()


def test_trainings_against_other_prompts_have_none(folders: list[Path]) -> None:
    first, second, mean = folders
    for one in (first, second):
        _finish(one, "vision", _start(one, "vision"))
    keep_table(second, kept_table(second), "another space")
    with pytest.raises(CheckpointError, match="second was trained against another prompt table"):
        average("vision", [first, second], mean)
    keep_table(second, kept_table(second) + 1, kept_space(first))
    with pytest.raises(CheckpointError, match="second was trained against another prompt table"):
        average("vision", [first, second], mean)


def test_what_was_trained_is_not_written_over(folders: list[Path]) -> None:
    first, second, mean = folders
    # An export would prefer what joint tuning made to a mean.
    for name in (f"vision/{WEIGHTS_FILE}", "vision/latest", f"joint/{WEIGHTS_FILE}"):
        (mean / name).parent.mkdir(exist_ok=True)
        (mean / name).write_bytes(b"mine")
        with pytest.raises(InvalidInputError, match="is there already; name a folder that nothing was"):
            average("vision", [first, second], mean)
        assert (mean / name).read_bytes() == b"mine"
        (mean / name).unlink()


def test_the_command_says_what_it_wrote_or_what_is_missing(folders: list[Path]) -> None:
    first, second, mean = folders

    def said(*of: Path) -> tuple[int, str]:
        given = [argument for folder in of for argument in ("--of", str(folder))]
        run = CliRunner().invoke(app, ["average", "vision", "--folder", str(mean), *given])
        return run.exit_code, run.stderr

    alone = "reasoncd-train: one training is no mean; name two or more different folders with --of\n"
    assert said(first) == said(second, second) == (2, alone)
    # Where a checkpoint was adopted and nothing trained, there is nothing to average.
    weights = first / "vision" / WEIGHTS_FILE
    missing = f"reasoncd-train: {weights} is not there; train vision there to its end first\n"
    assert said(first, second) == (2, missing)
    for folder in (first, second):
        _finish(folder, "vision", _start(folder, "vision"))
    written = mean / "vision" / WEIGHTS_FILE
    assert said(first, second) == (0, f"wrote {written}: the mean of 2 trainings\n")
