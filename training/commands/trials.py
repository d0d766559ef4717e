"""`reasoncd-train overhead`, `probe` and `compare-sam`: small measurements that decide something."""

from typing import Annotated

import typer

from training.commands.options import (
    FolderOption,
    RealDataOption,
    RecipeOption,
    ThreadsOption,
    one_sentence,
    open_workshop,
)
from training.commands.stages import Stage


def overhead(
    recipe: RecipeOption = "paper-tiny",
    stage: Annotated[Stage, typer.Option(help="sam, clip or vision.")] = Stage.VISION,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each loop that are counted.")] = 30,
    folder: FolderOption = None,
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
) -> None:
    """What a step costs here against a plain PyTorch loop, both in turns on the same stage."""
    with one_sentence():
        workshop = open_workshop(recipe, folder, threads, real_data)
        from training.workshop.overhead import measure_stage

        found = measure_stage(workshop, stage.value, steps=steps)
        typer.echo(f"{recipe} {stage.value}, {found.words}")


def probe(
    recipe: RecipeOption = "mini",
    folder: FolderOption = None,
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
) -> None:
    """Linear probes of the pretrained small encoders against random weights of the same shape."""
    with one_sentence():
        workshop = open_workshop(recipe, folder, threads, real_data)
        from training.workshop.probing import probes

        for line in probes(workshop):
            typer.echo(line)


def compare_sam(
    recipe: RecipeOption = "mini",
    folder: FolderOption = None,
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each arm.")] = 60,
) -> None:
    """What freezing the pretrained SAM encoder costs: two arms from the finished vision stage."""
    with one_sentence():
        workshop = open_workshop(recipe, folder, threads, real_data)
        from training.workshop.comparisons import compare_frozen_sam

        for arm, figures in compare_frozen_sam(workshop, steps=steps).items():
            typer.echo(f"{arm}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
