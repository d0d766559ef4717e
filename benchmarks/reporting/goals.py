"""What the model should reach, beside what it reached: the first table of the report.

Each figure is that of the lists that its row names, free-running through the pipeline. A figure that could
not be measured is neither met nor missed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.measuring import measures
from benchmarks.measuring.accuracy import AccuracyResult, ListResult
from benchmarks.measuring.measures import Interval
from benchmarks.measuring.outcomes import MODEL, Outcome
from benchmarks.measuring.pooling import pooled, pooled_outcomes
from benchmarks.measuring.real import pooled_f1
from benchmarks.measuring.reliability import reliability
from benchmarks.reporting.leads import RIVALS, counts_of, leads, named_level

_NAN = float("nan")
_NO_INTERVAL = (_NAN, _NAN)
_BOTH = "composites and scenes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """One measure with its target."""

    measure: str
    on: str
    """The list of pairs."""
    target: float
    value: float
    """NaN where it was not measured."""
    interval: Interval
    """95 %, by bootstrap over pairs."""
    at_most: bool = False
    """Whether small values are good."""
    in_per_cent: bool = False
    is_count: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the value reaches the target, whatever the interval; None where it was not measured."""
        if math.isnan(self.value):
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target

    def as_json(self) -> dict[str, Any]:
        """Numbers and texts only; what was not measured is null."""
        low, high = (None if math.isnan(end) else end for end in self.interval)
        return {
            "measure": self.measure, "on": self.on, "target": self.target, "at_most": self.at_most,
            "value": None if math.isnan(self.value) else self.value, "interval": [low, high],
            "met": self.met, "note": self.note,
        }  # fmt: skip


def goals(result: AccuracyResult) -> list[Goal]:
    """Every target of the protocol with what this run reached, in the order of the table."""
    main = [one for one in result.lists if one.pairs.kind != "footprint"]
    every = pooled_outcomes(main)
    composites, footprints = (_of_kind(result, kind) for kind in ("composite", "footprint"))
    return [
        _f1("E0: macro F1 over class and direction", "composites", composites, "E0", 0.78),
        *(_retention(every, level, target) for level, target in (("I1", 0.97), ("I2", 0.88), ("I3", 0.78))),
        *(_ahead(every, level) for level in ("I2", "I3", "N2")),
        *_rejection(every),
        *_direction(main, every),
        _emission(every),
        _fotbcd(result),
        _f1("new and lost buildings: macro F1", "footprint composites", footprints, "E0", 0.72),
        *_scores(every),
        _explained(main),
        _clicks(main),
    ]  # fmt: skip


def _of_kind(result: AccuracyResult, kind: str) -> list[Outcome]:
    return [o for one in result.lists if one.pairs.kind == kind for o in one.outcomes]


def _f1(measure: str, on: str, outcomes: Sequence[Outcome], level: str, target: float) -> Goal:
    asked = [o for o in outcomes if o.question.level == level]
    counts = counts_of(asked, MODEL, sorted({o.question.pair for o in asked}))
    value = measures.macro(counts.sum(axis=0))["f1"] if asked else _NAN
    interval = measures.macro_f1_interval(counts) if asked else _NO_INTERVAL
    return Goal(measure=measure, on=on, target=target, value=value, interval=interval)


def _retention(outcomes: Sequence[Outcome], level: str, target: float) -> Goal:
    level = named_level(outcomes, level)
    asked, plain = ([o for o in outcomes if o.question.level == name] for name in (level, "E0"))
    value, interval = _NAN, _NO_INTERVAL
    if asked and plain:
        pairs = sorted({o.question.pair for o in (*asked, *plain)})
        above, below = counts_of(asked, MODEL, pairs), counts_of(plain, MODEL, pairs)
        base = measures.macro(below.sum(axis=0))["f1"]
        if base > 0:
            value = measures.macro(above.sum(axis=0))["f1"] / base
            interval = measures.macro_f1_ratio_interval(above, below)
    return Goal(measure=f"F1({level}) / F1(E0)", on=_BOTH, target=target, value=value, interval=interval)


def _ahead(outcomes: Sequence[Outcome], level: str) -> Goal:
    """How many of the controls the model is better than."""
    found = leads(outcomes, level)
    behind = [lead.control for lead in found if not lead.ahead]
    named = named_level(outcomes, level)
    return Goal(
        measure=f"{named}: of the {len(RIVALS)} controls that matter, better than",
        on=_BOTH,
        target=len(RIVALS),
        value=len(found) - len(behind) if found else _NAN,
        interval=_NO_INTERVAL,
        is_count=True,
        note=f"not better than: {', '.join(behind)}" if behind else "",
    )  # fmt: skip


def _rejection(outcomes: Sequence[Outcome]) -> list[Goal]:
    off_topic = [o for o in outcomes if not o.question.accept]
    absent = [o for o in outcomes if o.question.level in ("N0", "N1", "N2")]
    levels = ("E0", "E0-any", "E1", "I1", named_level(outcomes, "I2"))
    present = [o for o in outcomes if o.question.level in levels]
    return [
        _rate("correct-empty on N0-N2", absent, lambda o: o.correct_empty, 0.95),
        _rate("correct-empty on off-topic questions", off_topic, lambda o: o.correct_empty, 0.95),
        _rate(f"false rejection on E0-{levels[-1]}", present, lambda o: o.empty, 0.03, at_most=True),
    ]


def _rate(
    measure: str,
    outcomes: Sequence[Outcome],
    verdict: Callable[[Outcome], bool],
    target: float,
    *,
    at_most: bool = False,
) -> Goal:
    verdicts = [(o.question.pair, verdict(o)) for o in outcomes]
    return Goal(
        measure=measure, on=_BOTH, target=target, value=measures.rate(verdicts),
        interval=measures.rate_interval(verdicts), at_most=at_most, in_per_cent=True,
    )  # fmt: skip


def _direction(main: Sequence[ListResult], outcomes: Sequence[Outcome]) -> list[Goal]:
    asked = [o for o in outcomes if o.question.present and o.question.accept and o.question.level != "T"]
    parts = [(o.question.pair, o.wrong_direction, o.marked) for o in asked]
    marked = sum(o.marked for o in asked)
    swaps = [iou for one in main for iou in one.swaps]
    return [
        Goal(
            measure="wrong-direction share of the map", on=_BOTH, target=0.01, at_most=True,
            value=sum(o.wrong_direction for o in asked) / marked if marked else _NAN,
            interval=measures.share_interval(parts), in_per_cent=True,
        ),
        Goal(
            measure="IoU of the swap test", on=_BOTH, target=0.95,
            value=float(np.mean(swaps)) if swaps else _NAN,
            interval=measures.mean_interval(list(enumerate(swaps))),
        ),
    ]  # fmt: skip


def _emission(outcomes: Sequence[Outcome]) -> Goal:
    due = [o for o in outcomes if o.question.accept and o.question.level != "T"]
    return _rate("`<SEG>` emitted on E0-I3 and N0-N2", due, lambda o: o.seg_emitted, 0.99)


def _fotbcd(result: AccuracyResult) -> Goal:
    value, interval = pooled_f1(result.real, "changed buildings")
    return Goal(
        measure="building change, pixels pooled: F1", on="real aerial pairs", target=0.68,
        value=value, interval=interval,
    )  # fmt: skip


def _scores(outcomes: Sequence[Outcome]) -> list[Goal]:
    found = reliability(outcomes)
    present = [(o.question.pair, o.presence) for o in outcomes if o.question.present]
    absent = [(o.question.pair, o.presence) for o in outcomes if not o.question.present and o.question.accept]
    return [
        Goal(
            measure="calibration error of the confidence", on=_BOTH, target=0.05, at_most=True,
            value=found.error, interval=found.interval,
        ),
        Goal(
            measure="AUROC of `presence`", on=_BOTH, target=0.98,
            value=measures.auroc([s for _, s in present], [s for _, s in absent]),
            interval=measures.auroc_interval(present, absent),
        ),
    ]  # fmt: skip


def _explained(main: Sequence[ListResult]) -> Goal:
    found = pooled([one.explanations for one in main])
    verdicts = [(e.pair, e.right) for e in found]
    return Goal(
        measure="explained answers: named right, and what the map shows", on=_BOTH, target=0.9,
        value=measures.rate(verdicts), interval=measures.rate_interval(verdicts), in_per_cent=True,
    )  # fmt: skip


def _clicks(main: Sequence[ListResult]) -> Goal:
    gains = [(c.pair, c.gain) for c in pooled([one.corrections for one in main])]
    return Goal(
        measure="IoU gained by three clicks", on=_BOTH, target=0.1,
        value=float(np.mean([gain for _, gain in gains])) if gains else _NAN,
        interval=measures.mean_interval(gains),
    )  # fmt: skip
