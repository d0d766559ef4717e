"""The model against the controls that would expose it, on the same questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import measures
from benchmarks.measuring.measures import Interval
from benchmarks.measuring.outcomes import (
    ANY_CHANGE,
    LEXICON,
    LEXICON_OR_NOTHING,
    MODEL,
    NEAREST,
    REGRESSION,
    SHUFFLED,
    Outcome,
)

READERS = (LEXICON, LEXICON_OR_NOTHING, NEAREST, REGRESSION)
"""Controls that read the words without the model. One that is level with the model shows that it does not
reason, so it must be better outside of the interval."""
RIVALS = (ANY_CHANGE, *READERS, SHUFFLED)
"""The controls that the model must be better than."""
WITH_ABSENT = " with its N2"
"""Of a level's name: its questions where only the opposite happened belong to it, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lead:
    """How far the model's figure lies above that of a control, on the same questions."""

    level: str
    control: str
    model: float
    other: float
    interval: Interval
    """Of the difference: 95 %, by bootstrap over pairs, both resampled together."""

    @property
    def ahead(self) -> bool:
        """Better, and than the readers outside the interval."""
        return self.interval[0] > 0 if self.control in READERS else self.model > self.other

    def as_json(self) -> dict[str, Any]:
        """Numbers and texts only."""
        return {
            "level": self.level, "control": self.control, "model": self.model, "other": self.other,
            "interval": list(self.interval), "ahead": self.ahead,
        }  # fmt: skip


def leads(outcomes: Sequence[Outcome], level: str) -> list[Lead]:
    """The model against each control that it must be better than, on one level.

    Args:
        outcomes: of one list, or pooled.
        level: a present level, compared by macro F1; the same `with its N2`, questions of the level's kind
            of words where only the opposite happened, on which every marked pixel is a false alarm; or `N2`,
            the wrong direction in all words, compared by the share of empty maps.
    """
    bare = level.removesuffix(WITH_ABSENT)
    name = named_level(outcomes, bare)
    if level != bare:
        asked = [o for o in outcomes if o.question.level in (name, f"{name}-N2")]
        # Without both it is another comparison.
        asked = asked if len({o.question.level for o in asked}) == 2 else []
        name += WITH_ABSENT
    elif level == "N2":
        asked = [o for o in outcomes if o.question.level == "N2" or o.question.level.endswith("-N2")]
    else:
        asked = [o for o in outcomes if o.question.level == name]
    there = [r for r in RIVALS if asked and all(r in o.scores for o in asked)]
    return [(_empty_lead if level == "N2" else _f1_lead)(asked, name, rival) for rival in there]


def named_level(outcomes: Sequence[Outcome], level: str) -> str:
    """The level itself, or that of the development queries (D2 for I2) where only those were asked."""
    instead = f"D{level[1:]}"
    asked = {o.question.level for o in outcomes}
    return instead if level.startswith("I") and level not in asked and instead in asked else level


def _f1_lead(asked: Sequence[Outcome], level: str, rival: str) -> Lead:
    pairs = sorted({o.question.pair for o in asked})
    own, other = (counts_of(asked, name, pairs) for name in (MODEL, rival))
    return Lead(
        level=level,
        control=rival,
        model=measures.macro(own.sum(axis=0))["f1"],
        other=measures.macro(other.sum(axis=0))["f1"],
        interval=measures.macro_f1_difference_interval(own, other),
    )


def _empty_lead(asked: Sequence[Outcome], level: str, rival: str) -> Lead:
    def empty(o: Outcome, name: str) -> float:
        return float(o.scores[name].tp + o.scores[name].fp == 0)

    return Lead(
        level=level,
        control=rival,
        model=float(np.mean([empty(o, MODEL) for o in asked])),
        other=float(np.mean([empty(o, rival) for o in asked])),
        interval=measures.mean_interval(
            [(o.question.pair, empty(o, MODEL) - empty(o, rival)) for o in asked]
        ),
    )


def counts_of(asked: Sequence[Outcome], name: str, pairs: Sequence[int]) -> NDArray[np.int64]:
    """Pixel counts (P, Q, 3) of the model's or a control's maps, for the given pairs in order."""
    rows = [(o.question.pair, o.question.accept[0].key, o.scores[name]) for o in asked]
    return measures.pixel_counts(rows, pairs)[0]
