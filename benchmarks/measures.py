"""The measures, from pixel counts and verdicts to figures; it knows no pipeline and no report.

P pairs, Q targets; counts are (tp, fp, fn) of the class "changed" over known pixels.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.metrics import Confusion

DRAWS = 1000
"""Resamplings of a bootstrap interval."""

Interval = tuple[float, float]


def pixel_counts(rows: Sequence[tuple[int, str, Confusion]]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Sum confusions by pair and target.

    Args:
        rows: pair, target key and confusion of each question.

    Returns:
        int64 (P, Q, 3) of tp, fp, fn, and the Q target keys in order.
    """
    pairs = {pair: i for i, pair in enumerate(sorted({pair for pair, _, _ in rows}))}
    keys = tuple(sorted({key for _, key, _ in rows}))
    columns = {key: i for i, key in enumerate(keys)}
    counts = np.zeros((len(pairs), len(keys), 3), dtype=np.int64)
    for pair, key, c in rows:
        counts[pairs[pair], columns[key]] += (c.tp, c.fp, c.fn)
    return counts, keys


def macro(counts: NDArray[np.int64]) -> dict[str, float]:
    """Means over the targets that are present in the truth.

    Args:
        counts: (..., Q, 3), summed over pairs.

    Returns:
        f1, iou, precision, recall in [0, 1]; NaN where no target is present.
    """
    tp, fp, fn = (counts[counts[:, 0] + counts[:, 2] > 0, i].astype(float) for i in range(3))
    if tp.size == 0:
        return dict.fromkeys(("f1", "iou", "precision", "recall"), float("nan"))
    return {
        "f1": float(np.mean(2 * tp / (2 * tp + fp + fn))),
        "iou": float(np.mean(tp / (tp + fp + fn))),
        # Nothing marked: precision 0, as in `Confusion`.
        "precision": float(np.mean(tp / np.maximum(tp + fp, 1))),
        "recall": float(np.mean(tp / (tp + fn))),
    }


def macro_f1_interval(counts: NDArray[np.int64], *, seed: int = 0, draws: int = DRAWS) -> Interval:
    """The 95 % bootstrap interval over pairs of the macro F1.

    A draw in which a target does not occur takes the mean over the others.

    Args:
        counts: (P, Q, 3).
        seed: of the draws.
        draws: number of resamplings.
    """
    weights = _weights(len(counts), seed, draws)
    sums = np.einsum("dp,pqc->dqc", weights, counts.astype(float))
    tp, fp, fn = sums[..., 0], sums[..., 1], sums[..., 2]
    there = tp + fn > 0
    f1 = np.where(there, 2 * tp / np.maximum(2 * tp + fp + fn, 1), 0)
    return _percentiles(f1.sum(axis=1), there.sum(axis=1))


def rate(verdicts: Sequence[tuple[int, bool]]) -> float:
    """The share of true verdicts; NaN where there are none."""
    return float(np.mean([verdict for _, verdict in verdicts])) if verdicts else float("nan")


def rate_interval(verdicts: Sequence[tuple[int, bool]], *, seed: int = 0, draws: int = DRAWS) -> Interval:
    """The 95 % bootstrap interval over pairs of a share of true verdicts, each given with its pair."""
    pairs = {pair: i for i, pair in enumerate(sorted({pair for pair, _ in verdicts}))}
    hits, totals = np.zeros(len(pairs)), np.zeros(len(pairs))
    for pair, verdict in verdicts:
        hits[pairs[pair]] += verdict
        totals[pairs[pair]] += 1
    weights = _weights(len(pairs), seed, draws)
    return _percentiles(weights @ hits, weights @ totals)


def giou(confusions: Sequence[Confusion]) -> float:
    """Mean IoU over questions; an empty map on an empty truth counts 1, NaN without questions."""
    if not confusions:
        return float("nan")
    return float(np.mean([c.iou if c.tp + c.fp + c.fn else 1.0 for c in confusions]))


def auroc(present: Sequence[float], absent: Sequence[float]) -> float:
    """Chance that a present change scores above an absent one, ties counting half; NaN without either."""
    if not present or not absent:
        return float("nan")
    high, low = np.asarray(present, dtype=float), np.sort(np.asarray(absent, dtype=float))
    below = np.searchsorted(low, high, side="left")
    not_above = np.searchsorted(low, high, side="right")
    return float((below + not_above).mean() / (2 * len(low)))


def overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """IoU of two maps; 1 where both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def _weights(pairs: int, seed: int, draws: int) -> NDArray[np.float64]:
    """How often each pair occurs in each resampling: (draws, P)."""
    if pairs == 0:
        return np.zeros((draws, 0))
    counts = np.random.default_rng(seed).multinomial(pairs, np.full(pairs, 1 / pairs), size=draws)
    return counts.astype(float)


def _percentiles(parts: NDArray[np.float64], totals: NDArray[np.generic]) -> Interval:
    valid = np.asarray(totals) > 0
    if not valid.any():
        return float("nan"), float("nan")
    low, high = np.percentile(parts[valid] / np.asarray(totals)[valid], (2.5, 97.5))
    return float(low), float(high)
