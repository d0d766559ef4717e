"""The paper's six metrics of a binary change map, from pixel counts (paper, section on metrics)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.labels import UNKNOWN


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """Pixel counts of the class "changed"; unknown pixels are in none of them."""

    tp: int = 0
    fp: int = 0
    tn: int = 0
    fn: int = 0

    def __add__(self, other: "Confusion") -> "Confusion":
        return Confusion(
            tp=self.tp + other.tp, fp=self.fp + other.fp, tn=self.tn + other.tn, fn=self.fn + other.fn
        )

    @classmethod
    def of(cls, change_map: NDArray[np.bool_], truth: NDArray[np.uint8]) -> "Confusion":
        """Count a boolean map (H, W) against a truth (H, W) of 0, 1 and 255 unknown."""
        known, yes = truth != UNKNOWN, truth == 1
        return cls(
            tp=int(np.count_nonzero(change_map & yes)),
            fp=int(np.count_nonzero(change_map & known & ~yes)),
            tn=int(np.count_nonzero(~change_map & known & ~yes)),
            fn=int(np.count_nonzero(~change_map & yes)),
        )

    @property
    def precision(self) -> float:
        """TP / (TP + FP); 0 where nothing was marked."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); 0 where nothing changed."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """2 P R / (P + R), as 2 TP / (2 TP + FP + FN)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN)."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def accuracy(self) -> float:
        """Overall accuracy (TP + TN) / all."""
        return _ratio(self.tp + self.tn, self.total)

    @property
    def kappa(self) -> float:
        """Cohen's kappa: agreement beyond what the marginals give by chance."""
        if self.total == 0:
            return 0.0
        changed = (self.tp + self.fp) * (self.tp + self.fn)
        unchanged = (self.fn + self.tn) * (self.fp + self.tn)
        chance = (changed + unchanged) / self.total**2
        return _ratio(self.accuracy - chance, 1.0 - chance)

    @property
    def total(self) -> int:
        """All known pixels."""
        return self.tp + self.fp + self.tn + self.fn


def _ratio(a: float, b: float) -> float:
    return a / b if b else 0.0
