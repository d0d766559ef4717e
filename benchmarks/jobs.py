"""What each command does: read what is asked, load the engines, measure, write the pages."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import typer

from benchmarks.figures.gallery import draw_cases, draw_real
from benchmarks.measuring.accuracy import AccuracyConfig, AccuracyResult, measure
from benchmarks.measuring.correcting import Engines
from benchmarks.measuring.outcomes import LEXICON, NEAREST, REGRESSION, Guess
from benchmarks.measuring.understanding import ask_words, bank_queries
from benchmarks.pages.page import make_page
from benchmarks.queries.development import DEVELOPMENT_FILE, load_development
from benchmarks.queries.held_out import HeldOutSet, load_held_out, log_run
from benchmarks.queries.lexicon import lexicon_target
from benchmarks.queries.nearest import NearestPhrases
from benchmarks.reporting.accuracy import accuracy_report, verdicts_as_json
from benchmarks.reporting.understanding import understanding_report
from benchmarks.seams.probe import SeamConfig, probe_seams, seam_table
from benchmarks.speed.report import speed_report
from benchmarks.speed.rounds import SpeedConfig, measure_speed
from gateway.embedded import default_checkpoint, load_engines
from gateway.pipeline import Pipeline
from reasoncd.errors import InvalidInputError, NotFoundError, OutputError
from training.queries import load_phrases
from training.queries.embedding import SentenceEmbedder, fetch_embedder

HELD_OUT_LOG = Path(__file__).parents[1] / "docs" / "accuracy.held-out-runs.jsonl"
"""Of every run on held-out queries, wherever its report goes; without a repository it lies beside that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What is measured, and on what."""

    checkpoint: Path | None = None
    """Its folder; the default one where None."""
    device: str = "cpu"
    threads: int | None = None

    def engines(self) -> Engines:
        """Load all three; errors as `gateway.embedded.build_pipeline`."""
        return Engines(*load_engines(self.checkpoint, device=self.device, threads=self.threads, progress=say))


@dataclass(frozen=True, kw_only=True, slots=True)
class Reserved:
    """Which queries beside the project's own are asked; one of the three at most."""

    held_out: Path | None = None
    """A file of which every run is counted."""
    development: bool = False
    queries_file: Path | None = None
    """A file laid out like the development queries."""

    def __post_init__(self) -> None:
        given = [self.held_out is not None, self.development, self.queries_file is not None]
        if sum(given) > 1:
            raise InvalidInputError("give only one of --held-out, --development and --queries-file")

    def load(self) -> HeldOutSet | None:
        """Read the file, if there is one to read.

        Held-out queries have few off-topic lines; those of the development file, which training does not see
        either, come along.
        """
        if self.held_out:
            found = load_held_out(self.held_out)
            off_topic = (query for query in load_development().queries if not query.accept)
            return replace(found, queries=(*found.queries, *off_topic))
        path = DEVELOPMENT_FILE if self.development else self.queries_file
        return load_development(path) if path else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """Which pictures are drawn."""

    folder: Path
    real: int
    """Pairs of each real set."""


def run_accuracy(
    out: Path,
    machine: Machine,
    config: AccuracyConfig,
    reserved: Reserved,
    *,
    nearest: bool = True,
    pictures: Pictures | None = None,
) -> int:
    """Measure accuracy and write the report.

    Returns:
        The number of questions that failed.
    """
    queries = reserved.load()
    make_report_folder(out)
    engines = machine.engines()
    pipeline = engines.pipeline()
    guesses = resembling() if nearest else {}
    number = None
    if queries and reserved.held_out:
        # Logged before it runs: a run that is broken off has been a look at them, too.
        log = HELD_OUT_LOG if HELD_OUT_LOG.exists() else out.with_name(HELD_OUT_LOG.name)
        number = log_run(log, queries, fingerprints=dict(pipeline.fingerprints), pairs=config.pairs)
    result = measure(pipeline, config, held_out=queries, guesses=guesses, engines=engines)
    result.held_out_run = number
    for what in result.missing:
        say(f"not measured, since the images are not there: {what}")
    write_report(out, accuracy_report(result), result.as_json() | verdicts_as_json(result))
    if pictures:
        _draw(pipeline, result, pictures)
    write_html(out, pictures.folder if pictures else None)
    return len(result.failures)


def _draw(pipeline: Pipeline, result: AccuracyResult, pictures: Pictures) -> None:
    drawn = sum(draw_cases(pipeline, one, pictures.folder) for one in result.lists)
    drawn += draw_real(pipeline, pictures.folder, count=pictures.real)
    say(f"{drawn} pictures are in {pictures.folder}")


def run_words(
    machine: Machine,
    reserved: Reserved,
    *,
    per_target: int,
    nearest: bool = True,
    misread: int = 0,
    out: Path | None = None,
) -> str:
    """Ask the reasoner alone, and give back the page; every answer goes to `out` as JSON."""
    queries = reserved.load()
    if out:
        make_folder(out)
    asked = queries.queries if queries else bank_queries(load_phrases(), per_target=per_target)
    engines = machine.engines()
    guesses = {LEXICON: lexicon_target, **(resembling() if nearest else {})}
    answers = ask_words(engines.vision, engines.reasoner, asked, guesses=guesses)
    if out:
        parts = (engines.vision.describe(), engines.reasoner.describe())
        record = {
            "fingerprints": {part.component: part.fingerprint for part in parts},
            "queries_sha256": queries.sha256 if queries else None,
            "answers": [answer.as_json() for answer in answers],
        }
        _write(out, json.dumps(record, indent=1) + "\n")
    return understanding_report(answers, misread=misread)


def run_speed(out: Path, machine: Machine, *, rounds: int, starts: int) -> None:
    """Measure speed and write the report."""
    config = SpeedConfig(rounds=rounds, starts=starts, device=machine.device, threads=machine.threads)
    folder = machine.checkpoint or default_checkpoint()
    if not folder.is_dir():
        raise NotFoundError(f"there is no checkpoint at {folder}; name one with --checkpoint")
    make_report_folder(out)
    result = measure_speed(folder, config)
    write_report(out, speed_report(result), result.as_json())


def run_seams(config: SeamConfig, *, out: Path | None = None) -> str:
    """Probe the composites' seams, and give back the table; it goes to `out` as JSON, too."""
    if out:
        make_folder(out)
    found = probe_seams(config)
    if out:
        record = {"config": asdict(config), "probes": [result.as_json() for result in found]}
        _write(out, json.dumps(record, indent=1) + "\n")
    where = f"On edges in {config.test_pairs} composites of validation tiles; probes trained on"
    return f"{where} {config.train_pairs} of training tiles, seed {config.seed}.\n\n{seam_table(found)}"


def run_page(out: Path, reports: Sequence[Path], *, pictures: Path | None = None) -> None:
    """Write one HTML page out of reports that were written before."""
    if out in reports:
        raise InvalidInputError(f"{out} is one of the reports; name another file with --out")
    make_folder(out)
    _write(out, make_page(reports, pictures))


def resembling() -> Mapping[str, Guess]:
    """The controls that know what texts resemble; their model is fetched the first time.

    Raises:
        NotFoundError, CorruptDataError, OutputError: as `fetch_embedder`.
    """
    say("embedding the training's phrases")
    found = NearestPhrases(SentenceEmbedder(fetch_embedder(progress=say)), load_phrases())
    return {NEAREST: found.vote, REGRESSION: found.classify}


def say(words: str) -> None:
    """Tell the person in front of the terminal."""
    typer.echo(words, err=True)


def make_folder(out: Path) -> None:
    """Refuse before the long measurement what could not be written after it."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out.parent} cannot be made; name a folder that can be written") from error
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise OutputError(f"{out} cannot be written; name a file in a folder that can be")


def make_report_folder(out: Path) -> None:
    """The same for a report, whose name must leave those of the JSON and the HTML beside it free."""
    if out.suffix in (".json", ".html"):
        raise InvalidInputError(f"{out} is a name for what lies beside the report; end it in .md")
    make_folder(out)


def write_report(out: Path, page: str, figures: dict[str, Any]) -> None:
    """Write a page, and its figures as JSON beside it."""
    _write(out, page)
    _write(out.with_suffix(".json"), json.dumps(figures, indent=1) + "\n")


def write_html(out: Path, pictures: Path | None = None) -> None:
    """Write a report's HTML page beside it, with the pictures of a folder if there are any."""
    drawn = pictures if pictures and any(pictures.glob("*.png")) else None
    _write(out.with_suffix(".html"), make_page([out], drawn))


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{out} cannot be written; name a file in a folder that can be") from error
    say(f"written: {out}")
