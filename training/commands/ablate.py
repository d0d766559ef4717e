"""`reasoncd-train ablate NAME`: arms of one ablation, and the table of what they reach."""

from pathlib import Path
from typing import Annotated

import typer

from training.ablations.names import AblationName
from training.commands.options import RealDataOption, RecipeOption, ThreadsOption, one_sentence, open_workshop

# What computes is imported where it is used, so that --help stays quick.


def ablate(
    name: Annotated[AblationName, typer.Argument(help="What is compared.")],
    recipe: RecipeOption = "mini",
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
    threads: ThreadsOption = 1,
    real_data: RealDataOption = True,
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
