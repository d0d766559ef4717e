"""Counted figures, and how far they might lie elsewhere had other pairs or queries been asked.

Every figure is a function of counts that add up over units (pairs or queries), so that resampling units is
a product of matrices. U units, K counts a unit, N draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reasoncd.errors import CorruptDataError

Kind = Literal["share", "balanced", "macro_f1"]
F64 = NDArray[np.float64]
Interval = tuple[float, float]

DRAWS = 2000
"""Resamplings of a bootstrap interval."""
_SEED = 17


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Measure:
    """One figure of one trained arm."""

    name: str
    unit: Literal["pairs", "queries"]
    """What is resampled."""
    kind: Kind
    """`share`: K = 2, hits and asked. `balanced`: K = 4, those of two kinds; the mean of both shares.
    `macro_f1`: K = 3 a target, its tp, fp and fn; the mean over those targets that occur."""
    counts: NDArray[np.int64]
    """(U, K)."""

    def __post_init__(self) -> None:
        k = self.counts.shape[1] if self.counts.ndim == 2 else 0
        fits = {"share": k == 2, "balanced": k == 4, "macro_f1": k > 0 and k % 3 == 0}
        if len(self.counts) == 0 or not fits[self.kind]:
            raise ValueError(f"{self.name}: counts of shape {self.counts.shape} give no {self.kind}")

    @property
    def asked(self) -> int:
        """Units that the figure says something of."""
        of = self.counts if self.kind == "macro_f1" else self.counts[:, 1::2]
        return int(np.count_nonzero(of.any(axis=1)))

    @property
    def value(self) -> float:
        """Over all units; NaN where nothing was asked."""
        return float(self.drawn(np.ones((1, len(self.counts))))[0])

    def drawn(self, weights: F64) -> F64:
        """The figure of each draw: (N, U) times each unit was drawn -> (N,), NaN where nothing is left."""
        sums = weights @ self.counts.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.kind != "macro_f1":
                return np.asarray((sums[:, ::2] / sums[:, 1::2]).mean(axis=1))
            tp, fp, fn = np.moveaxis(sums.reshape(len(sums), -1, 3), -1, 0)
            there = tp + fn > 0
            f1 = np.where(there, 2 * tp / np.maximum(2 * tp + fp + fn, 1), 0.0)
            return np.asarray(f1.sum(axis=1) / there.sum(axis=1))

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"name": self.name, "unit": self.unit, "kind": self.kind, "counts": self.counts.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str) -> "Measure":
        """The inverse of `as_json`.

        Raises:
            CorruptDataError: it is none.
        """
        try:
            counts = np.array(value["counts"], dtype=np.int64)
            return cls(name=value["name"], unit=value["unit"], kind=value["kind"], counts=counts)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptDataError(f"{where} holds no measures: {error}; delete it") from error


def draw_weights(units: int, *, draws: int = DRAWS) -> F64:
    """How often each unit is drawn, with replacement: (N, U), the same for the same number of units."""
    drawn = np.random.default_rng(_SEED).multinomial(units, np.full(units, 1 / units), size=draws)
    return drawn.astype(np.float64)


def interval(draws: F64) -> Interval:
    """The middle 95 % of draws (N,); NaN where none has a value."""
    known = draws[~np.isnan(draws)]
    if len(known) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)
