"""`reasoncd-bench`: accuracy and speed of a checkpoint, as Markdown with every figure as JSON beside it.

Progress goes to the standard error. Exit status: 0 where everything asked was measured, 1 where questions
failed (the report is written all the same), 2 where something given cannot be used.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reasoncd.errors import NotFoundError, OutputError, ReasonCDError

if TYPE_CHECKING:
    from benchmarks.accuracy import AccuracyResult
    from gateway.pipeline import Pipeline

# What is measured is imported where it is used, so that --help stays quick.

app = typer.Typer(
    name="reasoncd-bench",
    help="Measure the accuracy and the speed of a checkpoint.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_CheckpointOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The model; REASONCD_CHECKPOINT or checkpoints/mini if not given."),
]
_DeviceOption = Annotated[str, typer.Option(help="A torch device, such as cpu or cuda:0.")]
_ThreadsOption = Annotated[int | None, typer.Option(help="Threads of torch; its own choice if not given.")]
_PairsOption = Annotated[int, typer.Option(help="Pairs of each list.")]
_QueriesOption = Annotated[int, typer.Option(help="Most questions of one level about one pair.")]
_SeedOption = Annotated[int, typer.Option(help="Of the pairs and of the choice of questions.")]
_HeldOutOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Queries kept back from training; each run on them is logged."),
]
_PicturesOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Draw best, worst and real cases there.")
]
_RealPicturesOption = Annotated[int, typer.Option(help="Drawn pairs of each real set.")]
_SwapOption = Annotated[bool, typer.Option(help="Ask one change a pair with the images exchanged, too.")]
_RoundsOption = Annotated[int, typer.Option(help="Interleaved rounds.")]
_StartsOption = Annotated[int, typer.Option(help="Fresh processes for the start-up time.")]


@app.command()
def accuracy(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The report; the JSON lies beside it.")] = Path(
        "accuracy.md"
    ),
    checkpoint: _CheckpointOption = None,
    pairs: _PairsOption = 60,
    queries: _QueriesOption = 2,
    seed: _SeedOption = 0,
    held_out: _HeldOutOption = None,
    swap: _SwapOption = True,
    pictures: _PicturesOption = None,
    real_pictures: _RealPicturesOption = 4,
    device: _DeviceOption = "cpu",
    threads: _ThreadsOption = None,
) -> None:
    """Measure accuracy through the whole pipeline, with controls."""
    with _one_sentence():
        from benchmarks.accuracy import AccuracyConfig

        config = AccuracyConfig(pairs=pairs, queries=queries, seed=seed, swap=swap)
        failed = _accuracy(
            out, checkpoint, config, held_out, pictures, real_pictures, device=device, threads=threads
        )
    _leave(failed)


@app.command()
def speed(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The report; the JSON lies beside it.")] = Path(
        "speed.md"
    ),
    checkpoint: _CheckpointOption = None,
    rounds: _RoundsOption = 15,
    starts: _StartsOption = 3,
    device: _DeviceOption = "cpu",
    threads: _ThreadsOption = None,
) -> None:
    """Measure speed as medians of interleaved rounds, and as ratios within the run."""
    with _one_sentence():
        _speed(out, checkpoint, rounds, starts, device, threads)


@app.command()
def run(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where both reports go.")] = Path("bench-out"),
    checkpoint: _CheckpointOption = None,
    pairs: _PairsOption = 60,
    queries: _QueriesOption = 2,
    seed: _SeedOption = 0,
    rounds: _RoundsOption = 15,
    starts: _StartsOption = 3,
    device: _DeviceOption = "cpu",
    threads: _ThreadsOption = None,
) -> None:
    """Measure both, and draw pictures."""
    with _one_sentence():
        from benchmarks.accuracy import AccuracyConfig

        config = AccuracyConfig(pairs=pairs, queries=queries, seed=seed)
        _speed(out / "speed.md", checkpoint, rounds, starts, device, threads)
        failed = _accuracy(
            out / "accuracy.md", checkpoint, config, None, out / "pictures", 2, device=device, threads=threads
        )
    _leave(failed)


def _accuracy(
    out: Path,
    checkpoint: Path | None,
    config: Any,
    held_out: Path | None,
    pictures: Path | None,
    real_pictures: int,
    *,
    device: str,
    threads: int | None,
) -> int:
    from benchmarks.accuracy import measure
    from benchmarks.held_out import load_held_out, log_run
    from benchmarks.report import accuracy_report
    from gateway.embedded import build_pipeline

    queries = load_held_out(held_out) if held_out else None
    _make_folder(out)
    pipeline = build_pipeline(checkpoint, device=device, threads=threads, progress=_say)
    # Logged before it runs: a run that is broken off has been a look at them, too.
    number = None
    if queries:
        log = out.with_name(f"{out.stem}.held-out-runs.jsonl")
        number = log_run(log, queries, fingerprints=dict(pipeline.fingerprints), pairs=config.pairs)
    result = measure(pipeline, config, held_out=queries)
    result.held_out_run = number
    for what in result.missing:
        _say(f"not measured, since the images are not there: {what}")
    _write(out, accuracy_report(result), result.as_json())
    if pictures:
        _draw(pipeline, result, pictures, real_pictures)
    return len(result.failures)


def _draw(pipeline: "Pipeline", result: "AccuracyResult", folder: Path, real: int) -> None:
    from benchmarks.gallery import draw_cases, draw_real

    drawn = sum(draw_cases(pipeline, one, folder) for one in result.lists)
    drawn += draw_real(pipeline, folder, count=real)
    _say(f"{drawn} pictures are in {folder}")


def _speed(
    out: Path, checkpoint: Path | None, rounds: int, starts: int, device: str, threads: int | None
) -> None:
    from benchmarks.speed import SpeedConfig, measure_speed
    from benchmarks.speed_report import speed_report
    from gateway.embedded import default_checkpoint

    config = SpeedConfig(rounds=rounds, starts=starts, device=device, threads=threads)
    folder = checkpoint or default_checkpoint()
    if not folder.is_dir():
        raise NotFoundError(f"there is no checkpoint at {folder}; name one with --checkpoint")
    _make_folder(out)
    result = measure_speed(folder, config)
    _write(out, speed_report(result), result.as_json())


def _make_folder(out: Path) -> None:
    """Refuse before the long measurement what could not be written after it."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out.parent} cannot be made; name a folder that can be written") from error
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise OutputError(f"{out} cannot be written; name a file in a folder that can be")


def _write(out: Path, page: str, figures: dict[str, Any]) -> None:
    try:
        out.write_text(page, encoding="utf-8")
        out.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{out} cannot be written; name a file in a folder that can be") from error
    _say(f"written: {out} and {out.with_suffix('.json').name}")


def _say(words: str) -> None:
    typer.echo(words, err=True)


def _leave(failed: int) -> None:
    if failed:
        _say(f"reasoncd-bench: {failed} questions failed; the report names them")
        raise typer.Exit(1)


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except ReasonCDError as error:
        _say(f"reasoncd-bench: {error.message}")
        raise typer.Exit(error.exit_code) from None
