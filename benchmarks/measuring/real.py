"""Real aerial pairs with known building change: the validation pairs of `fotbcd_512` at their own size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring.measures import Interval, macro, macro_f1_interval, pixel_counts
from benchmarks.measuring.outcomes import Failure, ask, stacked
from benchmarks.progress import Progress
from gateway.detection import Detection
from gateway.pipeline import Pipeline
from reasoncd.ontology import TARGET_BY_KEY, Target
from training.data.labels import UNKNOWN, LabelledPair, target_mask
from training.data.real_tiles import fotbcd_pairs
from training.metrics import Confusion

QUERIES: tuple[tuple[str, Target], ...] = (
    ("new buildings", TARGET_BY_KEY["building.gain"]),
    ("demolished buildings", TARGET_BY_KEY["building.loss"]),
    ("changed buildings", TARGET_BY_KEY["building.change"]),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RealOutcome:
    """One question about one real pair."""

    pair: str
    query: str
    score: Confusion | None
    """None where the labels do not know the asked change."""
    marked: float
    """Marked share of the image; of the known pixels where there are any."""
    presence: float
    answer: str
    failed: bool = False

    def as_json(self) -> dict[str, Any]:
        """Numbers and texts only."""
        c = self.score
        return {
            "pair": self.pair, "query": self.query, "marked": self.marked, "presence": self.presence,
            "answer": self.answer, "failed": self.failed,
            "score": None if c is None else [c.tp, c.fp, c.fn, c.tn],
        }  # fmt: skip


def measure_real(
    pipeline: Pipeline, *, root: Path | None = None, count: int | None = None
) -> tuple[list[RealOutcome], list[Failure]]:
    """Ask about new, demolished and changed buildings on the validation pairs.

    Args:
        pipeline: what is measured.
        root: the data folder; found by `real_tiles.data_root` where None.
        count: only the first pairs; all where None.

    Raises:
        NotFoundError: the set is not there.
        CorruptDataError: one of its files is unreadable.
    """
    pairs = fotbcd_pairs("validation", root)[:count]
    outcomes: list[RealOutcome] = []
    failures: list[Failure] = []
    progress = Progress("real pairs", len(pairs))
    for name, pair in pairs:
        answers = ask(pipeline, stacked(pair), [query for query, _ in QUERIES])
        failures += [a for a in answers.values() if isinstance(a, Failure)]
        outcomes += [_scored(name, pair, query, target, answers[query]) for query, target in QUERIES]
        progress.advance()
    return outcomes, failures


def pooled_f1(outcomes: Sequence[RealOutcome], query: str) -> tuple[float, Interval]:
    """F1 of one query over the pixels of all pairs, with its 95 % bootstrap interval over pairs.

    Pairs in which nothing changed count with what is falsely marked in them. NaN where nothing is known.
    """
    scores = [o.score for o in outcomes if o.query == query and o.score is not None]
    if not any(c.tp + c.fn for c in scores):
        return float("nan"), (float("nan"), float("nan"))
    counts, _ = pixel_counts([(number, query, c) for number, c in enumerate(scores)])
    return macro(counts.sum(axis=0))["f1"], macro_f1_interval(counts)


def _scored(
    name: str, pair: LabelledPair, query: str, target: Target, answer: Detection | Failure
) -> RealOutcome:
    truth = target_mask(pair, target)
    known = truth != UNKNOWN
    failed = isinstance(answer, Failure)
    change_map = np.zeros(truth.shape, dtype=bool) if isinstance(answer, Failure) else answer.change_map
    return RealOutcome(
        pair=name,
        query=query,
        score=Confusion.of(change_map, truth) if known.any() else None,
        marked=float(change_map[known].mean() if known.any() else change_map.mean()),
        presence=0.0 if isinstance(answer, Failure) else answer.presence,
        answer="" if isinstance(answer, Failure) else answer.answer,
        failed=failed,
    )
