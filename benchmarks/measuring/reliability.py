"""Whether the confidence of an answer can be believed: predicted against true IoU.

Only answers that mark something have a confidence; the true IoU of a map where nothing changed is 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.measures import Interval, draw_weights, percentiles
from benchmarks.measuring.outcomes import MODEL, Outcome

BINS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class ReliabilityBin:
    """Answers of about the same confidence."""

    count: int
    confidence: float
    """Mean predicted IoU, in [0, 1]."""
    iou: float
    """Mean true IoU, in [0, 1]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reliability:
    """How far predicted and true IoU agree."""

    bins: tuple[ReliabilityBin, ...]
    """Of equal mass, the least confident first; none where no answer marks anything."""
    error: float
    """Expected calibration error: the mean of |predicted - true| over bins, weighted by their mass."""
    interval: Interval
    """Of the error: 95 %, by bootstrap over pairs with the bins held."""

    def as_json(self) -> dict[str, Any]:
        """Numbers only; null where no answer marks anything."""
        error, low, high = (None if math.isnan(v) else v for v in (self.error, *self.interval))
        bins = [[b.count, b.confidence, b.iou] for b in self.bins]
        return {"bins": bins, "error": error, "interval": [low, high]}


def reliability(outcomes: Sequence[Outcome], *, bins: int = BINS) -> Reliability:
    """Bin the answers that mark something by their confidence, and compare.

    Args:
        outcomes: of one list, or of several whose pairs have numbers of their own.
        bins: of equal mass, fewer where there are fewer answers.
    """
    rows = sorted(
        (o.confidence, o.scores[MODEL].iou, o.question.pair)
        for o in outcomes
        if not o.empty and o.confidence is not None
    )
    if not rows:
        return Reliability(bins=(), error=float("nan"), interval=(float("nan"), float("nan")))
    parts = np.array_split(np.arange(len(rows)), min(bins, len(rows)))
    predicted = np.array([row[0] for row in rows], dtype=float)
    true = np.array([row[1] for row in rows], dtype=float)
    found = tuple(
        ReliabilityBin(
            count=len(part), confidence=float(predicted[part].mean()), iou=float(true[part].mean())
        )
        for part in parts
    )
    every = np.ones((1, len(rows)))
    pairs = np.unique([row[2] for row in rows], return_inverse=True)[1]
    weights = draw_weights(int(pairs.max()) + 1)[:, pairs]
    return Reliability(
        bins=found,
        error=float(_error(predicted - true, parts, every)[0]),
        interval=percentiles(_error(predicted - true, parts, weights)),
    )


def _error(
    gaps: NDArray[np.float64], parts: Sequence[NDArray[np.intp]], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gaps (n,), the bins' places and weights (draws, n) -> the error of each draw."""
    # The weighted mean of a bin times its mass is the weighted sum, so no division by an empty bin.
    sums = sum(np.abs(weights[:, part] @ gaps[part]) for part in parts)
    return np.asarray(sums / weights.sum(axis=1))
