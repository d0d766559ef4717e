"""How probable the pixels of a map were, counted apart for changed and unchanged ground.

Twenty bins of equal width over [0, 1] take the place of the map: enough to draw precision against recall,
few enough to be kept for every question. K is the number of bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError
from training.data.labels import UNKNOWN, YES

BINS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreCounts:
    """Pixels of known truth by their probability, the lowest bin first."""

    changed: tuple[int, ...] = (0,) * BINS
    unchanged: tuple[int, ...] = (0,) * BINS

    def __post_init__(self) -> None:
        if len(self.changed) != BINS or len(self.unchanged) != BINS:
            raise InvalidInputError(
                f"score counts have {len(self.changed)} and {len(self.unchanged)} bins; give {BINS} of each"
            )

    def __add__(self, other: "ScoreCounts") -> "ScoreCounts":
        return ScoreCounts(
            changed=tuple(a + b for a, b in zip(self.changed, other.changed, strict=True)),
            unchanged=tuple(a + b for a, b in zip(self.unchanged, other.unchanged, strict=True)),
        )

    @classmethod
    def of(cls, probability: NDArray[np.floating], truth: NDArray[np.uint8]) -> "ScoreCounts":
        """Count a map.

        Args:
            probability: (H, W), in [0, 1].
            truth: uint8 (H, W): 0 no, 1 yes, 255 unknown, which is left out.
        """
        # A little more than the value, since 0.35 * 20 is 6.999...: a bin starts at its lower edge.
        places = np.minimum((probability.astype(np.float64) + 1e-7) * BINS, BINS - 1).astype(np.intp)
        changed = np.bincount(places[truth == YES], minlength=BINS)
        unchanged = np.bincount(places[(truth != YES) & (truth != UNKNOWN)], minlength=BINS)
        return cls(changed=tuple(changed.tolist()), unchanged=tuple(unchanged.tolist()))

    def as_json(self) -> list[list[int]]:
        """Changed, then unchanged."""
        return [list(self.changed), list(self.unchanged)]

    @classmethod
    def from_json(cls, counts: Sequence[Sequence[int]]) -> "ScoreCounts":
        """The reverse of `as_json`."""
        changed, unchanged = counts
        return cls(changed=tuple(changed), unchanged=tuple(unchanged))

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Recall and precision when pixels from each bin on are marked: two arrays (K,), all bins first.

        A threshold that marks nothing has no precision: NaN. Recall is NaN where nothing changed.
        """
        hits = np.cumsum(self.changed[::-1])[::-1].astype(float)
        false = np.cumsum(self.unchanged[::-1])[::-1].astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            return hits / hits[0], hits / (hits + false)

    def f1(self) -> NDArray[np.float64]:
        """F1 at the lower edge of each bin: (K,), NaN where nothing changed."""
        recall, precision = self.curve()
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(2 * precision * recall / (precision + recall))

    @property
    def average_precision(self) -> float:
        """Area under the curve in steps: precision weighted by the recall that each bin adds."""
        recall, precision = self.curve()
        gained = -np.diff(recall, append=0.0)
        return float(np.nansum(gained * np.nan_to_num(precision))) if recall[0] > 0 else float("nan")
