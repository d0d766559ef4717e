"""What the commands of `reasoncd-train` have in common: options, how folders are opened, how they end."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reasoncd.base_models import cache_dir
from reasoncd.errors import NotFoundError, ReasonCDError

if TYPE_CHECKING:
    from training.recipes import Recipe
    from training.samples.fit import SampleFit
    from training.workshop.workshop import Workshop

# What computes is imported where it is used, so that --help stays quick.

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


def open_workshop(recipe: str, folder: Path | None, threads: int, real_data: bool) -> "Workshop":
    """The workshop of a recipe in its working folder."""
    read, place = _prepare(recipe, folder, threads)
    from training.run.processes import is_first
    from training.run.progress import Silence, standard_report
    from training.workshop.workshop import Workshop

    report = standard_report() if is_first() else Silence()
    return Workshop(read.with_real_data(real_data), place, report.say, report=report)


def open_sample_fit(recipe: str, folder: Path | None, threads: int) -> "SampleFit":
    """Training on sample files, in a recipe's working folder."""
    read, place = _prepare(recipe, folder, threads)
    from training.run.processes import is_first
    from training.run.progress import Silence, standard_report
    from training.samples.fit import SampleFit

    return SampleFit(read, place, standard_report() if is_first() else Silence())


def _prepare(recipe: str, folder: Path | None, threads: int) -> "tuple[Recipe, Path]":
    """The recipe and its working folder, with torch set up and the other processes met."""
    # Both must stand before torch starts its thread pool.
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("DS_BUILD_OPS", "0")
    import torch

    from training.recipes import load_recipe
    from training.run.processes import join

    torch.set_num_threads(threads)
    read = load_recipe(recipe)
    join()
    return read, folder or cache_dir() / "train" / read.name


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        NotFoundError: it cannot be read as text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"{path} cannot be read as text; name a Markdown file") from error


def say(line: str) -> None:
    """Tell the person in front of the terminal."""
    sys.stderr.write(line + "\n")


@contextmanager
def one_sentence() -> Iterator[None]:
    """End with one sentence where something given cannot be used."""
    try:
        yield
    except ReasonCDError as error:
        say(f"reasoncd-train: {error.message}")
        raise typer.Exit(error.exit_code) from None
