"""`reasoncd-train run`, `pretrain`, `fit`, `adopt`, `average`, `export`: what leads to a checkpoint."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reasoncd.errors import InvalidInputError
from training.commands.options import (
    FolderOption,
    RealDataOption,
    RecipeOption,
    SamplesOption,
    SplitOption,
    ThreadsOption,
    one_sentence,
    open_sample_fit,
    open_workshop,
    read_text,
    say,
)

if TYPE_CHECKING:
    from training.workshop.workshop import Workshop


class Stage(StrEnum):
    """What can be run on its own; `all` runs them in this order."""

    BANK = "bank"
    SAM = "sam"
    CLIP = "clip"
    VISION = "vision"
    REASONER = "reasoner"
    JOINT = "joint"
    ALL = "all"


class Averaged(StrEnum):
    """What `average` takes."""

    VISION = "vision"
    REASONER = "reasoner"


_PRETRAINED = (Stage.BANK, Stage.SAM, Stage.CLIP)
_FITTED = (Stage.VISION, Stage.REASONER, Stage.JOINT)


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
    with one_sentence():
        if stage is Stage.ALL and (steps is not None or learning_rate is not None):
            raise InvalidInputError("--steps and --learning-rate are for one stage; name it instead of `all`")
        workshop = open_workshop(recipe, folder, threads, real_data)
        workshop.recipe = workshop.recipe.with_run(stage.value, steps=steps, learning_rate=learning_rate)
        _run_stages(workshop, (*_PRETRAINED, *_FITTED) if stage is Stage.ALL else (stage,))


def pretrain(
    recipe: RecipeOption = "mini",
    folder: FolderOption = None,
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
) -> None:
    """Render the training pairs and pretrain the small SAM and CLIP encoders on them."""
    with one_sentence():
        _run_stages(open_workshop(recipe, folder, threads, real_data), _PRETRAINED)


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
    with one_sentence():
        if samples is None:
            files = (("--sam", sam), ("--clip", clip), ("--resnet", resnet), ("--llama", llama))
            if given := [option for option, value in (*files, ("--split", split)) if value]:
                raise InvalidInputError(f"{given[0]} is for training on samples; add --samples")
            _run_stages(open_workshop(recipe, folder, threads, real_data), _FITTED)
            return
        fitting = open_sample_fit(recipe, folder, threads)
        from training.data.sample_parts import load_parts
        from training.run.processes import is_first
        from training.samples.start import OfficialFiles

        parts = load_parts(samples, split=split, seed=fitting.training.seed)
        official = OfficialFiles(sam=sam, clip=clip, resnet34=resnet, llama2=llama)
        figures = fitting.fit(parts, official)
        if is_first():
            for name, value in figures.items():
                typer.echo(f"{name} {value:.4f}")


def adopt(
    checkpoint: Annotated[Path, typer.Argument(help="The checkpoint to go on from.")],
    recipe: RecipeOption = "mini",
    folder: FolderOption = None,
) -> None:
    """Let the stages of an empty working folder begin where a finished checkpoint ends."""
    with one_sentence():
        workshop = open_workshop(recipe, folder, 1, True)
        from training.workshop.adoption import adopt as begin_from

        if not begin_from(checkpoint, workshop.folder, workshop.recipe):
            say("the recipe's reasoner is another one; its stage starts anew against the same prompt space")
        say(f"{workshop.folder} goes on from {checkpoint}")


def average(
    stage: Annotated[Averaged, typer.Argument(help="The stage whose finished weights are averaged.")],
    of: Annotated[
        list[Path],
        typer.Option(help="Working folder of one training; give it twice or more.", show_default=False),
    ],
    folder: Annotated[
        Path,
        typer.Option(help="Working folder of the mean: it adopted the same checkpoint, and trained nothing."),
    ],
) -> None:
    """Make the mean of several trainings of one stage what another working folder has finished."""
    with one_sentence():
        from training.workshop.averaging import average as mean

        path = mean(stage.value, of, folder)
        say(f"wrote {path}: the mean of {len(of)} trainings")


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
    with one_sentence():
        card = read_text(model_card)
        if samples is not None:
            fitted = open_sample_fit(recipe, folder, threads)
            from training.data.sample_parts import load_parts

            parts = load_parts(samples, split=split, seed=fitted.training.seed)
            chosen, f1 = fitted.export(out, parts, card)
            typer.echo(
                f"wrote {out}: presence threshold {chosen.presence}, probability threshold "
                f"{chosen.probability}; F1 {f1:.3f} on the validation part that they were chosen on"
            )
            return
        if split:
            raise InvalidInputError("--split is for what was trained on samples; add --samples")
        exported = open_workshop(recipe, folder, threads, real_data).export(out, card)
        chosen, found = exported.thresholds, exported.calibration
        how = (
            f"on the pairs they were chosen on: macro F1 {found.f1:.3f}, {found.empty:.0%} of absent changes "
            f"empty, {found.kept:.0%} of present ones kept"
            if found
            else "those of the adopted checkpoint, as are its answers without corrections"
        )
        typer.echo(
            f"wrote {out}: presence threshold {chosen.presence}, probability threshold {chosen.probability}; "
            f"{how}"
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
