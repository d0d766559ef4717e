"""`reasoncd-train ablate NAME`: arms of one ablation, and the table of what they reach."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.ablations.names import AblationName

if TYPE_CHECKING:
    from training.workshop import Workshop

# What computes is imported where it is used, so that --help stays quick.


OpenWorkshop = Callable[[str, Path | None, int, bool], "Workshop"]
"""Recipe, folder, threads and whether real data is used -> the workshop."""


def ablate_command(
    open_workshop: OpenWorkshop, one_sentence: Callable[[], AbstractContextManager[None]]
) -> Callable[..., None]:
    """The command, for the program that it is part of.

    Args:
        open_workshop: how that program opens working folders.
        one_sentence: how it ends when something given cannot be used.
    """

    def ablate(
        name: Annotated[AblationName, typer.Argument(help="What is compared.")],
        recipe: Annotated[
            str, typer.Option("--recipe", "--preset", help="A recipe's name, or a YAML file of your own.")
        ] = "mini",
        folder: Annotated[
            Path | None,
            typer.Option(help="Working folder with the finished first stages; arms go into its `ablations`."),
        ] = None,
        steps: Annotated[
            int | None,
            typer.Option(min=1, help="Steps of each run; 20 minutes of `mini` if not given."),
        ] = None,
        seeds: Annotated[int, typer.Option(min=1, help="How often each arm is trained.")] = 2,
        pairs: Annotated[int, typer.Option(min=1, help="Pairs of each validation list.")] = 60,
        queries: Annotated[
            Path | None,
            typer.Option(help="YAML file that text arms are asked; the development queries if not given."),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(help="Markdown file to write, and a .json beside it; else in the arms' folder."),
        ] = None,
        threads: Annotated[int, typer.Option(min=1, help="CPU threads of torch.")] = 1,
        real_data: Annotated[
            bool, typer.Option(help="Use real imagery from $REASONCD_DATA; without it only rendered scenes.")
        ] = True,
    ) -> None:
        """Compare two or more ways to train, each from the same weights, over several seeds."""
        with one_sentence():
            workshop = open_workshop(recipe, folder, threads, real_data)
            from training.ablations.arms import ABLATIONS
            from training.ablations.plan import QUERIES, Plan
            from training.ablations.running import run_ablation

            ablation = ABLATIONS[name]
            plan = Plan(
                ablation=ablation,
                workshop=workshop,
                steps=steps or ablation.steps,
                pairs=pairs,
                queries=queries or QUERIES,
            )
            report = run_ablation(plan, seeds=seeds, out=out)
            typer.echo(report.markdown)
            workshop.say(f"wrote {report.path}")

    return ablate
