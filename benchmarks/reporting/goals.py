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
from benchmarks.reporting.leads import RIVALS, WITH_ABSENT, counts_of, leads, named_level

_NAN = float("nan")
_NO_INTERVAL = (_NAN, _NAN)
_BOTH = "composites and scenes"
AGAINST_CONTROLS = ("I2", f"I2{WITH_ABSENT}", "I3", f"I3{WITH_ABSENT}", "N2")
"""On what the model must be better than the controls."""


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
        *(_ahead(every, level) for level in AGAINST_CONTROLS),
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
    bare = level.removesuffix(WITH_ABSENT)
    named = level.replace(bare, named_level(outcomes, bare))
    lacking = [name for name in RIVALS if name not in {lead.control for lead in found}] if found else []
    notes = [f"not better than: {', '.join(behind)}"] if behind else []
    notes += [f"not asked: {', '.join(lacking)}"] if lacking else []
    return Goal(
        measure=f"{named}: of the {len(RIVALS)} controls that matter, better than",
        on=_BOTH,
        target=len(RIVALS),
        value=len(found) - len(behind) if found and not lacking else _NAN,
        interval=_NO_INTERVAL,
        is_count=True,
        note="; ".join(notes),
    )  # fmt: skip


def _rejection(outcomes: Sequence[Outcome]) -> list[Goal]:
    off_topic = [o for o in outcomes if not o.question.accept]
    trained, unseen = ([o for o in off_topic if (o.question.level == "N3") == seen] for seen in (True, False))
    absent = [o for o in outcomes if o.question.level in ("N0", "N1", "N2")]
    wrong_way = [o for o in outcomes if o.question.level.endswith("-N2")]
    levels = ("E0", "E0-any", "E1", "E0-held-out", "E1-held-out", "I1", named_level(outcomes, "I2"))
    present = [o for o in outcomes if o.question.level in levels]
    return [
        _rate("correct-empty on N0-N2, in words of training", absent, lambda o: o.correct_empty, 0.95),
        _rate("correct-empty on N2, in words never seen", wrong_way, lambda o: o.correct_empty, 0.95),
        _rate("correct-empty on off-topic lines of training", trained, lambda o: o.correct_empty, 0.95),
        _off_topic_by_line(unseen),
        _rate(f"false rejection on E0-{levels[-1]}", present, lambda o: o.empty, 0.03, at_most=True),
    ]


def _off_topic_by_line(outcomes: Sequence[Outcome]) -> Goal:
    """Each line counts once, however often it was asked; the interval is over lines."""
    by_line: dict[str, list[bool]] = {}
    for o in outcomes:
        by_line.setdefault(o.question.query, []).append(o.correct_empty)
    shares = [float(np.mean(verdicts)) for verdicts in by_line.values()]
    return Goal(
        measure=f"correct-empty on {len(shares)} off-topic lines never seen", on=_BOTH, target=0.95,
        value=float(np.mean(shares)) if shares else _NAN,
        interval=measures.mean_interval(list(enumerate(shares))), in_per_cent=True,
    )  # fmt: skip


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
    asked = [o for o in outcomes if o.question.accept and o.question.level != "T"]
    swaps = [swap.iou for one in main for swap in one.swaps if not swap.empty]
    empty = sum(swap.empty for one in main for swap in one.swaps)
    return [
        _wrong_share("the map, the change being there", [o for o in asked if o.question.present]),
        _wrong_share("all maps, those of absent changes among them", asked),
        Goal(
            measure=f"IoU of the swap test, {empty} pairs of empty maps left out", on=_BOTH, target=0.95,
            value=float(np.mean(swaps)) if swaps else _NAN,
            interval=measures.mean_interval(list(enumerate(swaps))),
        ),
    ]  # fmt: skip


def _wrong_share(of: str, asked: Sequence[Outcome]) -> Goal:
    parts = [(o.question.pair, o.wrong_direction, o.marked) for o in asked]
    marked = sum(o.marked for o in asked)
    return Goal(
        measure=f"wrong-direction share of {of}", on=_BOTH, target=0.01, at_most=True,
        value=sum(o.wrong_direction for o in asked) / marked if marked else _NAN,
        interval=measures.share_interval(parts), in_per_cent=True,
    )  # fmt: skip


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
