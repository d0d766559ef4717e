"""Accuracy, free-running through the pipeline that users get, on fixed lists of pairs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring.correcting import Correction, Engines, correction_test
from benchmarks.measuring.explanations import Explanation, explanation_test
from benchmarks.measuring.outcomes import Failure, Guess, Outcome, Swap, measure_pair, swap_test
from benchmarks.measuring.paraphrases import Paraphrase, paraphrase_test
from benchmarks.measuring.real import RealOutcome, measure_real
from benchmarks.progress import Progress
from benchmarks.queries.held_out import HeldOutSet
from benchmarks.queries.questions import DIRECTED, Question, plan, plan_plain
from gateway.pipeline import Pipeline
from reasoncd.errors import InvalidInputError, NotFoundError
from reasoncd.ontology import TARGETS
from training.data.batches import presence_of_targets
from training.data.fixed_pairs import FixedPairs, MeasuredSplit, PairKind, validation_pairs
from training.data.labels import YES
from training.queries import PhraseBank, load_phrases

KINDS: tuple[PairKind, ...] = ("composite", "scene", "footprint")
_BUILDINGS = tuple(t for t in DIRECTED if t.cls == "building")
_EXPLAINED_LEVELS = ("I1", "I2", "D2", "I3", "D3")
"""Of these levels, by turns, one question is asked for a reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AccuracyConfig:
    """What is measured."""

    pairs: int = 60
    """Of each list."""
    queries: int = 2
    """Most questions of one level about one pair."""
    seed: int = 0
    """Of the pairs and of the choice of questions."""
    split: MeasuredSplit = "validation"
    swap: bool = True
    """Whether one change a pair is asked again with the images exchanged."""
    real: bool = True
    """Whether the real aerial pairs are measured too."""
    footprints: bool = True
    """Whether the composites on the held-out tile with footprints are measured too."""
    explain_every: int = 2
    """One question about each so-many-th pair is asked for a reason; 0 leaves it out."""
    paraphrase_every: int = 3
    """One change of each so-many-th pair is asked for in many words; 0 leaves it out."""
    correct_every: int = 2
    """One map of each so-many-th pair is corrected; 0 leaves it out."""

    def __post_init__(self) -> None:
        if self.pairs < 1 or self.queries < 1 or self.seed < 0:
            raise InvalidInputError(
                f"pairs is {self.pairs}, queries {self.queries}, seed {self.seed}; give at least 1, 1 and 0"
            )
        for name in ("explain_every", "paraphrase_every", "correct_every"):
            if getattr(self, name) < 0:
                raise InvalidInputError(f"{name} is {getattr(self, name)}; give 0 to leave it out, or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListResult:
    """Everything measured on one list of pairs."""

    pairs: FixedPairs
    outcomes: list[Outcome] = field(default_factory=list)
    swaps: list[Swap] = field(default_factory=list)
    """One a pair in which something came or went."""
    paraphrases: list[Paraphrase] = field(default_factory=list)
    explanations: list[Explanation] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class AccuracyResult:
    """Everything measured in one run."""

    config: AccuracyConfig
    fingerprints: dict[str, str]
    lists: list[ListResult] = field(default_factory=list)
    real: list[RealOutcome] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What could not be measured because its images are not there."""
    held_out_sha256: str | None = None
    held_out_run: int | None = None
    """Which run on these held-out queries this is, by the log; None for queries that are not counted."""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The whole result with numbers and texts only."""
        return {
            "fingerprints": self.fingerprints,
            "config": {
                name: getattr(self.config, name)
                for name in (
                    "pairs", "queries", "seed", "split", "swap", "real", "footprints",
                    "explain_every", "paraphrase_every", "correct_every",
                )
            },
            "lists": [
                {
                    "kind": one.pairs.kind, "split": one.pairs.split, "seed": one.pairs.seed,
                    "generator_version": one.pairs.version, "sha256": one.pairs.sha256,
                    "count": len(one.pairs.pairs), "swaps": [[swap.iou, swap.empty] for swap in one.swaps],
                    "outcomes": [outcome.as_json() for outcome in one.outcomes],
                    "paraphrases": [p.as_json() for p in one.paraphrases],
                    "explanations": [e.as_json() for e in one.explanations],
                    "corrections": [c.as_json() for c in one.corrections],
                }
                for one in self.lists
            ],
            "real": [outcome.as_json() for outcome in self.real],
            "failures": [{"query": f.query, "reason": f.reason} for f in self.failures],
            "missing": self.missing,
            "held_out": {"sha256": self.held_out_sha256, "run": self.held_out_run},
            "seconds": round(self.seconds, 1),
        }  # fmt: skip


def measure(
    pipeline: Pipeline,
    config: AccuracyConfig,
    *,
    held_out: HeldOutSet | None = None,
    phrases: PhraseBank | None = None,
    guesses: Mapping[str, Guess] | None = None,
    engines: Engines | None = None,
    root: Path | None = None,
) -> AccuracyResult:
    """Measure a pipeline on every list and on the real pairs; what has no images is named as missing.

    Args:
        pipeline: what is measured.
        config: how much.
        held_out: queries kept back from training.
        phrases: the training's phrase bank; read from its files where None.
        guesses: controls beside those that are always there, by name.
        engines: of the pipeline, for corrections, which it does not offer; left out where None.
        root: the data folder; found by `real_tiles.data_root` where None.
    """
    started = time.perf_counter()
    result = AccuracyResult(config=config, fingerprints=dict(pipeline.fingerprints))
    phrases = phrases or load_phrases()
    for kind in KINDS:
        if kind == "footprint" and not config.footprints:
            continue
        if kind == "footprint" and config.split != "validation":
            result.missing.append(f"footprint pairs of the {config.split} split")
            continue
        try:
            pairs = validation_pairs(kind, config.split, config.pairs, config.seed, root=root)
        except NotFoundError:
            result.missing.append(f"{kind} pairs")
            continue
        if kind == "footprint":
            one, failures = measure_plain(pipeline, pairs)
        else:
            one, failures = measure_list(
                pipeline, pairs, config,
                held_out=held_out, phrases=phrases, guesses=guesses, engines=engines,
            )  # fmt: skip
        result.lists.append(one)
        result.failures += failures
    if config.real:
        try:
            result.real, failures = measure_real(pipeline, root=root, count=config.pairs)
            result.failures += failures
        except NotFoundError:
            result.missing.append("real aerial pairs")
    result.held_out_sha256 = held_out.sha256 if held_out else None
    result.seconds = time.perf_counter() - started
    return result


def measure_plain(pipeline: Pipeline, pairs: FixedPairs) -> tuple[ListResult, list[Failure]]:
    """Ask for new and lost buildings in plain words, without controls: footprints tell nothing else."""
    result = ListResult(pairs=pairs)
    failures: list[Failure] = []
    progress = Progress(f"{pairs.kind} pairs", len(pairs.pairs))
    for pair, asked in zip(pairs.pairs, plan_plain(pairs.pairs, _BUILDINGS), strict=True):
        outcomes, failed = measure_pair(pipeline, pair, asked, np.random.default_rng(0), controls=False)
        result.outcomes.extend(outcomes)
        failures += failed
        progress.advance()
    return result, failures


def measure_list(
    pipeline: Pipeline,
    pairs: FixedPairs,
    config: AccuracyConfig,
    *,
    phrases: PhraseBank,
    held_out: HeldOutSet | None = None,
    guesses: Mapping[str, Guess] | None = None,
    engines: Engines | None = None,
) -> tuple[ListResult, list[Failure]]:
    """Measure a pipeline on one list; arguments as of `measure`."""
    reserved = held_out.queries if held_out else ()
    questions = plan(
        pairs.pairs, phrases, per_level=config.queries, seed=config.seed, held_out=reserved,
        lines_from=KINDS.index(pairs.kind) * config.pairs * config.queries,
    )  # fmt: skip
    result = ListResult(pairs=pairs)
    failures: list[Failure] = []
    progress = Progress(f"{pairs.kind} pairs", len(pairs.pairs))
    for number, (pair, asked) in enumerate(zip(pairs.pairs, questions, strict=True)):
        rng = np.random.default_rng((config.seed, number, 1))
        outcomes, failed = measure_pair(pipeline, pair, asked, rng, guesses=guesses)
        result.outcomes.extend(outcomes)
        failures += failed
        presence = dict(zip(TARGETS, presence_of_targets(pair), strict=True))
        there = [t for t in DIRECTED if presence[t] == YES]
        if there:
            target = there[int(rng.integers(len(there)))]
            if config.swap:
                result.swaps.append(swap_test(pipeline, pair, target, failures.append))
            if _due(number, config.paraphrase_every):
                many, failed = paraphrase_test(pipeline, pair, number, target, phrases, reserved, rng)
                result.paraphrases.extend(many)
                failures += failed
            if engines and _due(number, config.correct_every):
                correction, failed = correction_test(engines, pair, number, target)
                result.corrections.append(correction)
                failures += failed
        if _due(number, config.explain_every):
            question = _implicit_question(asked, number // config.explain_every)
            if question:
                explanation, failed = explanation_test(pipeline, pair, question)
                result.explanations.append(explanation)
                failures += failed
        progress.advance()
    return result, failures


def _due(number: int, every: int) -> bool:
    return every > 0 and number % every == 0


def _implicit_question(asked: Sequence[Question], turn: int) -> Question | None:
    """The question of a pair that is asked for a reason."""
    levels = [level for level in _EXPLAINED_LEVELS if any(q.level == level and q.present for q in asked)]
    if not levels:
        return None
    level = levels[turn % len(levels)]
    return next(q for q in asked if q.level == level and q.present)
