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


def pixel_counts(
    rows: Sequence[tuple[int, str, Confusion]], among: Sequence[int] | None = None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Sum confusions by pair and target.

    Args:
        rows: pair, target key and confusion of each question.
        among: the pairs that have a row each, so that counts of several levels line up; those in `rows`
            where None.

    Returns:
        int64 (P, Q, 3) of tp, fp, fn, and the Q target keys in order.
    """
    known = {pair for pair, _, _ in rows} if among is None else set(among)
    pairs = {pair: i for i, pair in enumerate(sorted(known))}
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
    return percentiles(_macro_f1_draws(counts, draw_weights(len(counts), seed, draws)))


def macro_f1_ratio_interval(
    above: NDArray[np.int64], below: NDArray[np.int64], *, seed: int = 0, draws: int = DRAWS
) -> Interval:
    """The 95 % bootstrap interval over pairs of one macro F1 over another, of the same P pairs."""
    weights = draw_weights(len(above), seed, draws)
    over, under = _macro_f1_draws(above, weights), _macro_f1_draws(below, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        return percentiles(np.where(under > 0, over / under, np.nan))


def macro_f1_difference_interval(
    one: NDArray[np.int64], other: NDArray[np.int64], *, seed: int = 0, draws: int = DRAWS
) -> Interval:
    """The 95 % bootstrap interval over pairs of a macro F1 less another, of the same P pairs.

    Both are resampled together, so that what is hard for both is no uncertainty of the difference.
    """
    weights = draw_weights(len(one), seed, draws)
    return percentiles(_macro_f1_draws(one, weights) - _macro_f1_draws(other, weights))


def _macro_f1_draws(counts: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P, Q, 3) and (draws, P) -> macro F1 of each draw, NaN where no target is present."""
    sums = np.einsum("dp,pqc->dqc", weights, counts.astype(float))
    tp, fp, fn = sums[..., 0], sums[..., 1], sums[..., 2]
    there = tp + fn > 0
    f1 = np.where(there, 2 * tp / np.maximum(2 * tp + fp + fn, 1), 0)
    with np.errstate(invalid="ignore"):
        return np.asarray(f1.sum(axis=1) / there.sum(axis=1))


def rate(verdicts: Sequence[tuple[int, bool]]) -> float:
    """The share of true verdicts; NaN where there are none."""
    return float(np.mean([verdict for _, verdict in verdicts])) if verdicts else float("nan")


def rate_interval(verdicts: Sequence[tuple[int, bool]], *, seed: int = 0, draws: int = DRAWS) -> Interval:
    """The 95 % bootstrap interval over pairs of a share of true verdicts, each given with its pair."""
    return mean_interval([(pair, float(verdict)) for pair, verdict in verdicts], seed=seed, draws=draws)


def mean_interval(values: Sequence[tuple[int, float]], *, seed: int = 0, draws: int = DRAWS) -> Interval:
    """The 95 % bootstrap interval over pairs of a mean, each value given with its pair."""
    return share_interval([(pair, value, 1.0) for pair, value in values], seed=seed, draws=draws)


def share_interval(
    parts: Sequence[tuple[int, float, float]], *, seed: int = 0, draws: int = DRAWS
) -> Interval:
    """The 95 % bootstrap interval over pairs of sum(part) / sum(whole).

    Args:
        parts: pair, part and whole of each question.
        seed: of the draws.
        draws: number of resamplings.
    """
    pairs = {pair: i for i, pair in enumerate(sorted({pair for pair, _, _ in parts}))}
    sums, totals = np.zeros(len(pairs)), np.zeros(len(pairs))
    for pair, part, whole in parts:
        sums[pairs[pair]] += part
        totals[pairs[pair]] += whole
    weights = draw_weights(len(pairs), seed, draws)
    with np.errstate(invalid="ignore"):
        return percentiles((weights @ sums) / (weights @ totals))


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


def auroc_interval(
    present: Sequence[tuple[int, float]],
    absent: Sequence[tuple[int, float]],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Interval:
    """The 95 % bootstrap interval over pairs of `auroc`; each score is given with its pair."""
    rows = [*((*row, 1.0) for row in present), *((*row, 0.0) for row in absent)]
    pairs = {pair: i for i, pair in enumerate(sorted({pair for pair, _, _ in rows}))}
    rows.sort(key=lambda row: row[1])
    places = np.array([pairs[pair] for pair, _, _ in rows], dtype=int)
    scores = np.array([score for _, score, _ in rows])
    high = np.array([is_present for _, _, is_present in rows])
    # Equal scores are one group: within it the absent ones count half.
    group = np.unique(scores, return_inverse=True)[1] if len(rows) else np.zeros(0, dtype=int)
    found = []
    for weight in draw_weights(len(pairs), seed, draws):
        up = np.bincount(group, weights=weight[places] * high)
        down = np.bincount(group, weights=weight[places] * (1 - high))
        below = np.cumsum(down) - down / 2
        total = up.sum() * down.sum()
        found.append(float(up @ below / total) if total else float("nan"))
    return percentiles(np.array(found))


def overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """IoU of two maps; 1 where both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def draw_weights(pairs: int, seed: int = 0, draws: int = DRAWS) -> NDArray[np.float64]:
    """How often each pair occurs in each resampling: (draws, P)."""
    if pairs == 0:
        return np.zeros((draws, 0))
    counts = np.random.default_rng(seed).multinomial(pairs, np.full(pairs, 1 / pairs), size=draws)
    return counts.astype(float)


def percentiles(values: NDArray[np.float64]) -> Interval:
    """The middle 95 % of the draws' values; draws that have none (NaN) are left out."""
    valid = values[~np.isnan(values)]
    if valid.size == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(valid, (2.5, 97.5))
    return float(low), float(high)
