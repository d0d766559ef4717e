"""Accuracy, free-running through the pipeline that users get, on fixed lists of pairs."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.held_out import HeldOutSet
from benchmarks.outcomes import Failure, Outcome, measure_pair, swap_test
from benchmarks.progress import Progress
from benchmarks.questions import DIRECTED, Question, plan
from benchmarks.real import RealOutcome, measure_real
from gateway.pipeline import Pipeline
from reasoncd.errors import InvalidInputError, NotFoundError
from reasoncd.ontology import TARGETS
from training.data.batches import presence_of_targets
from training.data.fixed_pairs import FixedPairs, MeasuredSplit, PairKind, validation_pairs
from training.data.labels import YES
from training.queries import PhraseBank, load_phrases

KINDS: tuple[PairKind, ...] = ("composite", "scene")


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

    def __post_init__(self) -> None:
        if self.pairs < 1 or self.queries < 1 or self.seed < 0:
            raise InvalidInputError(
                f"pairs is {self.pairs}, queries {self.queries}, seed {self.seed}; give at least 1, 1 and 0"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ListResult:
    """Everything measured on one list of pairs."""

    pairs: FixedPairs
    outcomes: list[Outcome]
    swaps: list[float]
    """IoU of the swap test, one a pair in which something came or went."""


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
    """Which run on these held-out queries this is, by the log."""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The whole result with numbers and texts only."""
        return {
            "fingerprints": self.fingerprints,
            "config": {
                name: getattr(self.config, name)
                for name in ("pairs", "queries", "seed", "split", "swap", "real")
            },
            "lists": [
                {
                    "kind": one.pairs.kind, "split": one.pairs.split, "seed": one.pairs.seed,
                    "generator_version": one.pairs.version, "sha256": one.pairs.sha256,
                    "count": len(one.pairs.pairs), "swap_iou": one.swaps,
                    "outcomes": [outcome.as_json() for outcome in one.outcomes],
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
    root: Path | None = None,
) -> AccuracyResult:
    """Measure a pipeline on every list and on the real pairs; what has no images is named as missing.

    Args:
        pipeline: what is measured.
        config: how much.
        held_out: queries kept back from training.
        phrases: the training's phrase bank; read from its files where None.
        root: the data folder; found by `real_tiles.data_root` where None.
    """
    started = time.perf_counter()
    result = AccuracyResult(config=config, fingerprints=dict(pipeline.fingerprints))
    phrases = phrases or load_phrases()
    for kind in KINDS:
        try:
            pairs = validation_pairs(kind, config.split, config.pairs, config.seed, root=root)
        except NotFoundError:
            result.missing.append(f"{kind} pairs")
            continue
        one, failures = measure_list(pipeline, pairs, config, held_out=held_out, phrases=phrases)
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


def measure_list(
    pipeline: Pipeline,
    pairs: FixedPairs,
    config: AccuracyConfig,
    *,
    phrases: PhraseBank,
    held_out: HeldOutSet | None = None,
) -> tuple[ListResult, list[Failure]]:
    """Measure a pipeline on one list."""
    questions: list[list[Question]] = plan(
        pairs.pairs, phrases, per_level=config.queries, seed=config.seed,
        held_out=held_out.queries if held_out else (),
    )  # fmt: skip
    result = ListResult(pairs=pairs, outcomes=[], swaps=[])
    failures: list[Failure] = []
    progress = Progress(f"{pairs.kind} pairs", len(pairs.pairs))
    for number, (pair, asked) in enumerate(zip(pairs.pairs, questions, strict=True)):
        rng = np.random.default_rng((config.seed, number, 1))
        outcomes, failed = measure_pair(pipeline, pair, asked, rng)
        result.outcomes.extend(outcomes)
        failures += failed
        presence = dict(zip(TARGETS, presence_of_targets(pair), strict=True))
        there = [t for t in DIRECTED if presence[t] == YES]
        if config.swap and there:
            target = there[int(rng.integers(len(there)))]
            found = swap_test(pipeline, pair, target, failures.append)
            # A failed test is reported, and counts as no agreement.
            result.swaps.append(0.0 if found is None else found)
        progress.advance()
    return result, failures
