"""`reasoncd-train`: prepare data, pretrain, fit, export; what was cut off goes on where it was.

Results go to the standard output, progress and errors to the standard error. Exit status: 0 where the
work is done, 2 where something given cannot be used, 1 where the fault is ours.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reasoncd.base_models import cache_dir
from reasoncd.errors import InvalidInputError, NotFoundError, ReasonCDError
from training.ablations.cli import ablate_command
from training.prepare_cli import app as prepare_app

if TYPE_CHECKING:
    from training.recipes import Recipe
    from training.sample_fit import SampleFit
    from training.workshop import Workshop

# What computes is imported where it is used, so that --help stays quick.

app = typer.Typer(
    name="reasoncd-train",
    help="Train ReasonCD: prepare data, pretrain the small encoders, fit the models, export a checkpoint.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(prepare_app)


class Stage(StrEnum):
    """What can be run on its own; `all` runs them in this order."""

    BANK = "bank"
    SAM = "sam"
    CLIP = "clip"
    VISION = "vision"
    REASONER = "reasoner"
    JOINT = "joint"
    ALL = "all"


_PRETRAINED = (Stage.BANK, Stage.SAM, Stage.CLIP)
_FITTED = (Stage.VISION, Stage.REASONER, Stage.JOINT)

RecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe",
        "--preset",
        help="A recipe's name (mini, paper-bcdd, paper-second, paper-tiny), or a YAML file of your own.",
    ),
]
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
    recipe: RecipeOption = "mini",
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
        workshop = _workshop(recipe, folder, threads, real_data)
        workshop.recipe = workshop.recipe.with_run(stage.value, steps=steps, learning_rate=learning_rate)
        _run_stages(workshop, (*_PRETRAINED, *_FITTED) if stage is Stage.ALL else (stage,))


@app.command()
def pretrain(
    recipe: RecipeOption = "mini",
    folder: FolderOption = None,
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
) -> None:
    """Render the training pairs and pretrain the small SAM and CLIP encoders on them."""
    with _one_sentence():
        _run_stages(_workshop(recipe, folder, threads, real_data), _PRETRAINED)


SamplesOption = Annotated[
    Path | None,
    typer.Option(
        help="Train on samples: a JSON file, split 8:1:1 here, or a folder that `prepare` wrote.",
        show_default=False,
    ),
]
SplitOption = Annotated[
    str, typer.Option(help="Which split of the folder, where it has several: random or spatial.")
]


@app.command()
def fit(
    recipe: RecipeOption = "mini",
    samples: SamplesOption = None,
    split: SplitOption = "",
    sam: Annotated[Path | None, typer.Option(help="Official sam_vit_*.pth.")] = None,
    clip: Annotated[Path | None, typer.Option(help="Official CLIP weights of OpenAI or open_clip.")] = None,
    resnet: Annotated[Path | None, typer.Option(help="ImageNet's resnet34-*.pth.")] = None,
    llama: Annotated[Path | None, typer.Option(help="Folder of LLaMA2 from the Hugging Face hub.")] = None,
    folder: FolderOption = None,
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
) -> None:
    """Train the models: in the recipe's stages, or with --samples on pairs with masks, as the paper does.

    Official weights are given once; later calls find them in the working folder.
    """
    with _one_sentence():
        if samples is None:
            if given := [o for o, v in (("--sam", sam), ("--clip", clip), ("--split", split)) if v]:
                raise InvalidInputError(f"{given[0]} is for training on samples; add --samples")
            _run_stages(_workshop(recipe, folder, threads, real_data), _FITTED)
            return
        fitting = _sample_fit(recipe, folder, threads)
        from training.data.sample_parts import load_parts
        from training.processes import is_first
        from training.sample_start import OfficialFiles

        parts = load_parts(samples, split=split, seed=fitting.training.seed)
        official = OfficialFiles(sam=sam, clip=clip, resnet34=resnet, llama2=llama)
        figures = fitting.fit(parts, official)
        if is_first():
            for name, value in figures.items():
                typer.echo(f"{name} {value:.4f}")


@app.command()
def overhead(
    recipe: RecipeOption = "paper-tiny",
    stage: Annotated[Stage, typer.Option(help="sam, clip or vision.")] = Stage.VISION,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each loop that are counted.")] = 30,
    folder: FolderOption = None,
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
) -> None:
    """What a step costs here against a plain PyTorch loop, both in turns on the same stage."""
    with _one_sentence():
        workshop = _workshop(recipe, folder, threads, real_data)
        from training.overhead import measure_stage

        found = measure_stage(workshop, stage.value, steps=steps)
        typer.echo(f"{recipe} {stage.value}, {found.words}")


@app.command()
def adopt(
    checkpoint: Annotated[Path, typer.Argument(help="The checkpoint to go on from.")],
    recipe: RecipeOption = "mini",
    folder: FolderOption = None,
) -> None:
    """Let the stages of an empty working folder begin where a finished checkpoint ends."""
    with _one_sentence():
        workshop = _workshop(recipe, folder, 1, True)
        from training.adoption import adopt as begin_from

        if not begin_from(checkpoint, workshop.folder, workshop.recipe):
            _say("the recipe's reasoner is another one; its stage starts anew against the same prompt space")
        _say(f"{workshop.folder} goes on from {checkpoint}")


@app.command()
def probe(
    recipe: RecipeOption = "mini",
    folder: FolderOption = None,
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
) -> None:
    """Linear probes of the pretrained small encoders against random weights of the same shape."""
    with _one_sentence():
        for line in _workshop(recipe, folder, threads, real_data).probes():
            typer.echo(line)


@app.command("compare-sam")
def compare_sam(
    recipe: RecipeOption = "mini",
    folder: FolderOption = None,
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each arm.")] = 60,
) -> None:
    """What freezing the pretrained SAM encoder costs: two arms from the finished vision stage."""
    with _one_sentence():
        workshop = _workshop(recipe, folder, threads, real_data)
        from training.comparisons import compare_frozen_sam

        for arm, figures in compare_frozen_sam(workshop, steps=steps).items():
            typer.echo(f"{arm}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="Folder of the checkpoint to write.")],
    model_card: Annotated[Path, typer.Option(help="Markdown file that becomes the checkpoint's README.")],
    recipe: RecipeOption = "mini",
    folder: FolderOption = None,
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
    samples: SamplesOption = None,
    split: SplitOption = "",
) -> None:
    """Choose the thresholds on validation pairs and write the checkpoint.

    With --samples, of what `fit --samples` trained on the same ones.
    """
    with _one_sentence():
        card = _read_text(model_card)
        if samples is not None:
            fitted = _sample_fit(recipe, folder, threads)
            from training.data.sample_parts import load_parts

            parts = load_parts(samples, split=split, seed=fitted.training.seed)
            chosen, f1 = fitted.export(out, parts, card)
            typer.echo(
                f"wrote {out}: presence threshold {chosen.presence}, probability threshold "
                f"{chosen.probability}; F1 {f1:.3f} on the validation part that they were chosen on"
            )
            return
        found = _workshop(recipe, folder, threads, real_data).export(out, card)
        typer.echo(
            f"wrote {out}: presence threshold {found.thresholds.presence}, probability threshold "
            f"{found.thresholds.probability}; on the pairs they were chosen on: macro F1 {found.f1:.3f}, "
            f"{found.empty:.0%} of absent changes empty, {found.kept:.0%} of present ones kept"
        )


def _run_stages(workshop: "Workshop", stages: tuple[Stage, ...]) -> None:
    steps: dict[Stage, Callable[[], object]] = {
        Stage.BANK: workshop.bank,
        Stage.SAM: workshop.sam,
        Stage.CLIP: workshop.clip,
        Stage.VISION: workshop.vision,
        Stage.REASONER: workshop.reasoner,
        Stage.JOINT: workshop.joint,
    }
    for name in stages:
        workshop.say(f"stage {name}")
        steps[name]()


def _workshop(recipe: str, folder: Path | None, threads: int, real_data: bool) -> "Workshop":
    read, place = _prepare(recipe, folder, threads)
    from training.processes import is_first
    from training.progress import Silence, standard_report
    from training.workshop import Workshop

    report = standard_report() if is_first() else Silence()
    return Workshop(read.with_real_data(real_data), place, report.say, report=report)


def _sample_fit(recipe: str, folder: Path | None, threads: int) -> "SampleFit":
    read, place = _prepare(recipe, folder, threads)
    from training.processes import is_first
    from training.progress import Silence, standard_report
    from training.sample_fit import SampleFit

    return SampleFit(read, place, standard_report() if is_first() else Silence())


def _prepare(recipe: str, folder: Path | None, threads: int) -> "tuple[Recipe, Path]":
    """The recipe and its working folder, with torch set up and the other processes met."""
    # Both must stand before torch starts its thread pool.
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("DS_BUILD_OPS", "0")
    import torch

    from training.processes import join
    from training.recipes import load_recipe

    torch.set_num_threads(threads)
    read = load_recipe(recipe)
    join()
    return read, folder or cache_dir() / "train" / read.name


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"{path} cannot be read as text; name a Markdown file") from error


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except ReasonCDError as error:
        _say(f"reasoncd-train: {error.message}")
        raise typer.Exit(error.exit_code) from None


app.command()(ablate_command(_workshop, _one_sentence))
