"""`reasoncd-bench`: accuracy and speed of a checkpoint, as Markdown and HTML with every figure as JSON.

Progress goes to the standard error. Exit status: 0 where everything asked was measured, 1 where questions
failed (the report is written all the same), 2 where something given cannot be used.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reasoncd.errors import ReasonCDError

# What is measured is imported where it is used, so that --help stays quick.

app = typer.Typer(
    name="reasoncd-bench",
    help="Measure the accuracy and the speed of a checkpoint.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class _Split(StrEnum):
    VALIDATION = "validation"
    TEST = "test"


_CheckpointOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The model; REASONCD_CHECKPOINT or checkpoints/mini if not given."),
]
_DeviceOption = Annotated[str, typer.Option(help="A torch device, such as cpu or cuda:0.")]
_ThreadsOption = Annotated[int | None, typer.Option(help="Threads of torch; its own choice if not given.")]
_PairsOption = Annotated[int, typer.Option(help="Pairs of each list.")]
_QueriesOption = Annotated[int, typer.Option(help="Most questions of one level about one pair.")]
_SeedOption = Annotated[int, typer.Option(help="Of the pairs and of the choice of questions.")]
_SplitOption = Annotated[_Split, typer.Option(help="Which tiles and scenes; test only for the last word.")]
_HeldOutOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Queries kept back from training; each run on them is logged."),
]
_DevelopmentOption = Annotated[
    bool, typer.Option("--development", help="Ask the development queries, too: make choices on these.")
]
_QueriesFileOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A YAML file laid out like the development queries.")
]
_NearestOption = Annotated[
    bool, typer.Option(help="Compare with sentence embeddings, whose model is fetched once.")
]
_PicturesOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Draw best, worst and real cases there.")
]
_RealPicturesOption = Annotated[int, typer.Option(help="Drawn pairs of each real set.")]
_SwapOption = Annotated[bool, typer.Option(help="Ask one change a pair with the images exchanged, too.")]
_ExplainOption = Annotated[int, typer.Option(metavar="N", help="Ask each N-th pair for a reason; 0: none.")]
_ParaphraseOption = Annotated[
    int, typer.Option(metavar="N", help="Ask each N-th pair in many words; 0: none.")
]
_CorrectOption = Annotated[int, typer.Option(metavar="N", help="Correct each N-th pair by clicks; 0: none.")]
_RoundsOption = Annotated[int, typer.Option(help="Interleaved rounds.")]
_StartsOption = Annotated[int, typer.Option(help="Fresh processes for the start-up time.")]
_AccuracyOutOption = Annotated[
    Path, typer.Option(metavar="FILE", help="The report; the JSON lies beside it.")
]


@app.command()
def accuracy(
    out: _AccuracyOutOption = Path("accuracy.md"),
    checkpoint: _CheckpointOption = None,
    pairs: _PairsOption = 60,
    queries: _QueriesOption = 2,
    seed: _SeedOption = 0,
    split: _SplitOption = _Split.VALIDATION,
    held_out: _HeldOutOption = None,
    development: _DevelopmentOption = False,
    queries_file: _QueriesFileOption = None,
    nearest: _NearestOption = True,
    swap: _SwapOption = True,
    explain_every: _ExplainOption = 2,
    paraphrase_every: _ParaphraseOption = 3,
    correct_every: _CorrectOption = 2,
    pictures: _PicturesOption = None,
    real_pictures: _RealPicturesOption = 4,
    device: _DeviceOption = "cpu",
    threads: _ThreadsOption = None,
) -> None:
    """Measure accuracy through the whole pipeline, with controls."""
    with _one_sentence():
        from benchmarks.jobs import Machine, Pictures, Reserved, run_accuracy
        from benchmarks.measuring.accuracy import AccuracyConfig

        config = AccuracyConfig(
            pairs=pairs, queries=queries, seed=seed, split=split.value, swap=swap,
            explain_every=explain_every, paraphrase_every=paraphrase_every, correct_every=correct_every,
        )  # fmt: skip
        failed = run_accuracy(
            out,
            Machine(checkpoint=checkpoint, device=device, threads=threads),
            config,
            Reserved(held_out=held_out, development=development, queries_file=queries_file),
            nearest=nearest,
            pictures=Pictures(folder=pictures, real=real_pictures) if pictures else None,
        )
    _leave(failed)


@app.command()
def words(
    checkpoint: _CheckpointOption = None,
    development: _DevelopmentOption = False,
    queries_file: _QueriesFileOption = None,
    per_target: Annotated[
        int, typer.Option(help="Without queries of a file: how many of a level and target out of the bank.")
    ] = 5,
    nearest: _NearestOption = True,
    misread: Annotated[int, typer.Option(help="Most misread queries to print.")] = 30,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every answer there, as JSON.")
    ] = None,
    device: _DeviceOption = "cpu",
    threads: _ThreadsOption = None,
) -> None:
    """Measure what the reasoner understands by its words alone, without maps: a few minutes.

    Without --development or --queries-file it is asked some of what training has seen.
    """
    with _one_sentence():
        from benchmarks.jobs import Machine, Reserved, run_words

        machine = Machine(checkpoint=checkpoint, device=device, threads=threads)
        reserved = Reserved(development=development, queries_file=queries_file)
        typer.echo(
            run_words(machine, reserved, per_target=per_target, nearest=nearest, misread=misread, out=out)
        )


@app.command()
def seams(
    train_pairs: Annotated[int, typer.Option(help="Composites that the probes learn from.")] = 300,
    test_pairs: Annotated[int, typer.Option(help="Composites that they are tested on.")] = 150,
    seed: Annotated[int, typer.Option(help="Of composites and probes.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the figures there, as JSON.")
    ] = None,
) -> None:
    """Probe whether a paste's seam gives a composite away: no checkpoint is needed, two minutes."""
    with _one_sentence():
        from benchmarks.jobs import run_seams
        from benchmarks.seams.probe import SeamConfig

        config = SeamConfig(train_pairs=train_pairs, test_pairs=test_pairs, seed=seed)
        typer.echo(run_seams(config, out=out))


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
        from benchmarks.jobs import Machine, run_speed

        machine = Machine(checkpoint=checkpoint, device=device, threads=threads)
        run_speed(out, machine, rounds=rounds, starts=starts)


@app.command()
def serving(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The report; the JSON lies beside it.")] = Path(
        "serving-speed.md"
    ),
    checkpoint: _CheckpointOption = None,
    rounds: _RoundsOption = 15,
    clients: Annotated[int, typer.Option(help="Who ask at once.")] = 8,
    seconds: Annotated[float, typer.Option(help="Of each side of a load.")] = 60.0,
    slices: Annotated[int, typer.Option(help="Turns in which these are spent.")] = 6,
    threads: Annotated[
        int | None, typer.Option(help="Of torch in each process; half the cores if not given.")
    ] = None,
) -> None:
    """Measure the served system: what it costs one caller, what many get, and what overload does."""
    with _one_sentence():
        from benchmarks.serving.job import ServingConfig, run_serving

        config = ServingConfig(
            rounds=rounds, clients=clients, seconds=seconds, slices=slices, threads=threads
        )
        run_serving(out, checkpoint, config)


@app.command()
def scenes(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The report; the JSON lies beside it.")] = Path(
        "scenes.md"
    ),
    checkpoint: _CheckpointOption = None,
    side: Annotated[
        list[int] | None,
        typer.Option(metavar="PIXELS", help="Of a scene, the smallest first; 8192 and 16384 if not given."),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Of each run over the smallest scene.")] = 2,
    pieces: Annotated[int, typer.Option(help="Different drawn pairs in a scene.")] = 48,
    seed: _SeedOption = 0,
    threads: _ThreadsOption = None,
) -> None:
    """Measure whole scenes: accuracy, pace, memory, seams, and reasoning once against per tile."""
    with _one_sentence():
        from benchmarks.scenes.job import ScenesConfig, run_scenes

        config = ScenesConfig(
            sides=tuple(side) if side else (8192, 16384),
            repeats=repeats,
            pieces=pieces,
            seed=seed,
            threads=threads,
        )
        run_scenes(out, checkpoint, config)


@app.command()
def baselines(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The report; the JSON lies beside it.")] = Path(
        "baselines.md"
    ),
    checkpoint: _CheckpointOption = None,
    minutes: Annotated[float, typer.Option(help="Of one thread, for each network and training.")] = 20.0,
    seeds: Annotated[int, typer.Option(help="Trainings of each network.")] = 2,
    pairs: _PairsOption = 60,
    seed: Annotated[int, typer.Option(help="Of the pairs.")] = 0,
    device: _DeviceOption = "cpu",
    threads: _ThreadsOption = None,
) -> None:
    """Train FC-EF, FC-Siam-conc and FC-Siam-diff on building change, and compare them with the model.

    What has been trained is kept in the cache: a run that is cut off goes on, and a finished one is only
    measured again.
    """
    with _one_sentence():
        from benchmarks.baselines.job import BaselinesConfig, run_baselines
        from benchmarks.jobs import Machine

        config = BaselinesConfig(minutes=minutes, seeds=seeds, pairs=pairs, seed=seed)
        machine = Machine(checkpoint=checkpoint, device=device, threads=threads)
        failed = run_baselines(out, machine, config)
    _leave(failed)


@app.command()
def page(
    reports: Annotated[list[Path], typer.Argument(metavar="REPORT", help="Markdown reports, in order.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page.")] = Path("report.html"),
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Drawn pictures to put into the page.")
    ] = None,
) -> None:
    """Make one HTML page out of reports, the figures in the JSON beside them, and pictures."""
    with _one_sentence():
        from benchmarks.jobs import run_page

        run_page(out, reports, pictures=pictures)


@app.command()
def run(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where both reports go.")] = Path("bench-out"),
    checkpoint: _CheckpointOption = None,
    pairs: _PairsOption = 60,
    queries: _QueriesOption = 2,
    seed: _SeedOption = 0,
    split: _SplitOption = _Split.VALIDATION,
    held_out: _HeldOutOption = None,
    development: _DevelopmentOption = False,
    queries_file: _QueriesFileOption = None,
    rounds: _RoundsOption = 15,
    starts: _StartsOption = 3,
    device: _DeviceOption = "cpu",
    threads: _ThreadsOption = None,
) -> None:
    """Measure both, and draw pictures."""
    with _one_sentence():
        from benchmarks.jobs import Machine, Pictures, Reserved, run_accuracy, run_speed
        from benchmarks.measuring.accuracy import AccuracyConfig

        config = AccuracyConfig(pairs=pairs, queries=queries, seed=seed, split=split.value)
        reserved = Reserved(held_out=held_out, development=development, queries_file=queries_file)
        machine = Machine(checkpoint=checkpoint, device=device, threads=threads)
        run_speed(out / "speed.md", machine, rounds=rounds, starts=starts)
        pictures = Pictures(folder=out / "pictures", real=2)
        failed = run_accuracy(out / "accuracy.md", machine, config, reserved, pictures=pictures)
    _leave(failed)


def _leave(failed: int) -> None:
    if failed:
        typer.echo(f"reasoncd-bench: {failed} questions failed; the report names them", err=True)
        raise typer.Exit(1)


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except ReasonCDError as error:
        typer.echo(f"reasoncd-bench: {error.message}", err=True)
        raise typer.Exit(error.exit_code) from None
