"""`reasoncd-train`: the stages of a recipe, each one command that goes on where it was cut off.

Results go to the standard output, progress and errors to the standard error. Exit status: 0 where the
work is done, 2 where something given cannot be used, 1 where the fault is ours.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reasoncd.base_models import cache_dir
from reasoncd.errors import InvalidInputError, NotFoundError, ReasonCDError

if TYPE_CHECKING:
    from training.workshop import Workshop

# What computes is imported where it is used, so that --help stays quick.

app = typer.Typer(
    name="reasoncd-train",
    help="Train ReasonCD, stage by stage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Preset(StrEnum):
    """Recipes that can be trained."""

    MINI = "mini"
    PAPER_TINY = "paper-tiny"


class Stage(StrEnum):
    """What can be run on its own; `all` runs them in this order."""

    BANK = "bank"
    SAM = "sam"
    CLIP = "clip"
    VISION = "vision"
    REASONER = "reasoner"
    JOINT = "joint"
    ALL = "all"


PresetOption = Annotated[Preset, typer.Option(help="The recipe.")]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        help="Working folder for run state; a folder of the recipe's name in the cache if not given."
    ),
]
ThreadsOption = Annotated[int, typer.Option(min=1, help="CPU threads of torch.")]
RealDataOption = Annotated[
    bool, typer.Option(help="Use real imagery from $REASONCD_DATA; without it only rendered scenes.")
]


@app.command()
def run(
    stage: Annotated[Stage, typer.Argument(help="The stage to run to its end.")],
    preset: PresetOption = Preset.MINI,
    folder: FolderOption = None,
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of this one stage, instead of the recipe's.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="Highest learning rate of this one stage, likewise.")
    ] = None,
) -> None:
    """Run one stage, or all of them, from where it was cut off."""
    with _one_sentence():
        if stage is Stage.ALL and (steps is not None or learning_rate is not None):
            raise InvalidInputError("--steps and --learning-rate are for one stage; name it instead of `all`")
        workshop = _workshop(preset, folder, threads, real_data)
        workshop.recipe = workshop.recipe.with_run(stage.value, steps=steps, learning_rate=learning_rate)
        stages: dict[Stage, Callable[[], object]] = {
            Stage.BANK: workshop.bank,
            Stage.SAM: workshop.sam,
            Stage.CLIP: workshop.clip,
            Stage.VISION: workshop.vision,
            Stage.REASONER: workshop.reasoner,
            Stage.JOINT: workshop.joint,
        }
        for name, step in stages.items():
            if stage in (Stage.ALL, name):
                _say(f"stage {name}")
                step()


@app.command()
def adopt(
    checkpoint: Annotated[Path, typer.Argument(help="The checkpoint to go on from.")],
    preset: PresetOption = Preset.MINI,
    folder: FolderOption = None,
) -> None:
    """Let the stages of an empty working folder begin where a finished checkpoint ends."""
    with _one_sentence():
        workshop = _workshop(preset, folder, 1, True)
        from training.adoption import adopt as begin_from

        if not begin_from(checkpoint, workshop.folder, workshop.recipe):
            _say("the recipe's reasoner is another one; its stage starts anew against the same prompt space")
        _say(f"{workshop.folder} goes on from {checkpoint}")


@app.command()
def probe(
    preset: PresetOption = Preset.MINI,
    folder: FolderOption = None,
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
) -> None:
    """Linear probes of the pretrained small encoders against random weights of the same shape."""
    with _one_sentence():
        for line in _workshop(preset, folder, threads, real_data).probes():
            typer.echo(line)


@app.command("compare-sam")
def compare_sam(
    preset: PresetOption = Preset.MINI,
    folder: FolderOption = None,
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each arm.")] = 60,
) -> None:
    """What freezing the pretrained SAM encoder costs: two arms from the finished vision stage."""
    with _one_sentence():
        workshop = _workshop(preset, folder, threads, real_data)
        from training.comparisons import compare_frozen_sam

        for arm, figures in compare_frozen_sam(workshop, steps=steps).items():
            typer.echo(f"{arm}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="Folder of the checkpoint to write.")],
    model_card: Annotated[Path, typer.Option(help="Markdown file that becomes the checkpoint's README.")],
    preset: PresetOption = Preset.MINI,
    folder: FolderOption = None,
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
) -> None:
    """Choose the thresholds on validation pairs and write the checkpoint."""
    with _one_sentence():
        card = _read_text(model_card)
        found = _workshop(preset, folder, threads, real_data).export(out, card)
        typer.echo(
            f"wrote {out}: presence threshold {found.thresholds.presence}, probability threshold "
            f"{found.thresholds.probability}; on the pairs they were chosen on: macro F1 {found.f1:.3f}, "
            f"{found.empty:.0%} of absent changes empty, {found.kept:.0%} of present ones kept"
        )


def _workshop(preset: Preset, folder: Path | None, threads: int, real_data: bool) -> "Workshop":
    # Both must stand before torch starts its thread pool.
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("DS_BUILD_OPS", "0")
    import torch

    from training.recipes import mini, paper_tiny
    from training.workshop import Workshop

    torch.set_num_threads(threads)
    recipe = mini(real_data=real_data) if preset is Preset.MINI else paper_tiny()
    return Workshop(recipe, folder or cache_dir() / "train" / recipe.preset, _say)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"{path} cannot be read as text; name a Markdown file") from error


def _say(line: str) -> None:
    typer.echo(line, err=True)


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except ReasonCDError as error:
        _say(f"reasoncd-train: {error.message}")
        raise typer.Exit(error.exit_code) from None
