"""The measures against figures worked out by hand or in another way."""

import math

import numpy as np
import pytest

from benchmarks.measuring import measures
from training.metrics import Confusion

pytestmark = pytest.mark.unit


def test_macro_sums_pixels_per_target_and_averages_over_those_present() -> None:
    rows = [
        (0, "a", Confusion(tp=6, fp=2, fn=2, tn=90)),
        (3, "a", Confusion(tp=0, fp=0, fn=4, tn=96)),
        (3, "b", Confusion(tp=1, fp=1, fn=0, tn=98)),
        (3, "absent", Confusion(tp=0, fp=50, fn=0, tn=50)),
    ]
    counts, keys = measures.pixel_counts(rows)
    assert counts.shape == (2, 3, 3)
    assert keys == ("a", "absent", "b")
    found = measures.macro(counts.sum(axis=0))
    # a: tp 6, fp 2, fn 6; b: tp 1, fp 1, fn 0; "absent" is in no truth.
    assert found["f1"] == pytest.approx((12 / 20 + 2 / 3) / 2)
    assert found["iou"] == pytest.approx((6 / 14 + 1 / 2) / 2)
    assert found["precision"] == pytest.approx((6 / 8 + 1 / 2) / 2)
    assert found["recall"] == pytest.approx((6 / 12 + 1) / 2)


def test_counts_agree_with_maps_counted_pixel_by_pixel() -> None:
    rng = np.random.default_rng(0)
    change_map = rng.random((17, 23)) < 0.4
    truth = rng.choice(np.array([0, 1, 255], dtype=np.uint8), (17, 23))
    tp = fp = fn = 0
    for marked, true in zip(change_map.ravel().tolist(), truth.ravel().tolist(), strict=True):
        tp += marked and true == 1
        fp += marked and true == 0
        fn += (not marked) and true == 1
    counts, _ = measures.pixel_counts([(0, "a", Confusion.of(change_map, truth))])
    assert counts[0, 0].tolist() == [tp, fp, fn]
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    assert measures.macro(counts[0])["f1"] == pytest.approx(2 * precision * recall / (precision + recall))


def test_auroc_is_the_share_of_ordered_pairs() -> None:
    rng = np.random.default_rng(1)
    high, low = rng.integers(2, 9, 31).tolist(), rng.integers(0, 7, 17).tolist()
    pairs = [(a > b) + 0.5 * (a == b) for a in high for b in low]
    assert measures.auroc(high, low) == pytest.approx(sum(pairs) / len(pairs))
    assert measures.auroc([0.9, 0.8], [0.1]) == 1
    assert measures.auroc([0.5], [0.5, 0.5]) == 0.5
    assert math.isnan(measures.auroc([], [0.1]))


def test_giou_counts_empty_on_empty_as_right() -> None:
    right, wrong = Confusion(tn=10), Confusion(fp=1, tn=9)
    assert measures.giou([right, wrong, Confusion(tp=1, fn=1, fp=2)]) == pytest.approx((1 + 0 + 0.25) / 3)


def test_overlap() -> None:
    a, b = np.array([[1, 1, 0]], dtype=bool), np.array([[0, 1, 1]], dtype=bool)
    assert measures.overlap(a, b) == pytest.approx(1 / 3)
    assert measures.overlap(a & b & ~a, a & ~a) == 1


def test_the_interval_of_a_rate_resamples_pairs_not_questions() -> None:
    # 40 pairs with ten equal verdicts each: the spread is that of 40 draws, sqrt(0.25 / 40) = 0.079.
    verdicts = [(pair, pair % 2 == 0) for pair in range(40) for _ in range(10)]
    low, high = measures.rate_interval(verdicts)
    assert measures.rate(verdicts) == 0.5
    assert low == pytest.approx(0.5 - 1.96 * 0.079, abs=0.03)
    assert high == pytest.approx(0.5 + 1.96 * 0.079, abs=0.03)


def test_the_interval_of_f1_agrees_with_a_plain_loop() -> None:
    rng = np.random.default_rng(2)
    counts = rng.integers(0, 50, (12, 3, 3))
    low, high = measures.macro_f1_interval(counts, draws=400)
    found = [
        measures.macro(counts[np.random.default_rng(seed).integers(0, 12, 12)].sum(axis=0))["f1"]
        for seed in range(400)
    ]
    assert (low, high) == pytest.approx(np.percentile(found, (2.5, 97.5)).tolist(), abs=0.02)
    assert low < measures.macro(counts.sum(axis=0))["f1"] < high


def test_the_interval_of_a_ratio_resamples_both_together() -> None:
    rng = np.random.default_rng(4)
    below = rng.integers(1, 50, (15, 2, 3))
    # What is as hard for one as for the other is no uncertainty of their ratio or difference.
    assert measures.macro_f1_ratio_interval(below, below) == (1.0, 1.0)
    assert measures.macro_f1_difference_interval(below, below) == (0.0, 0.0)
    above = below.copy()
    above[:, :, 0] *= 2
    low, high = measures.macro_f1_ratio_interval(above, below, draws=400)
    draws = [np.random.default_rng(seed).integers(0, 15, 15) for seed in range(400)]
    found = [
        measures.macro(above[rows].sum(axis=0))["f1"] / measures.macro(below[rows].sum(axis=0))["f1"]
        for rows in draws
    ]
    assert (low, high) == pytest.approx(np.percentile(found, (2.5, 97.5)).tolist(), abs=0.02)


def test_counts_line_up_among_given_pairs() -> None:
    counts, _ = measures.pixel_counts([(7, "a", Confusion(tp=1))], among=[3, 7, 9])
    assert counts[:, 0, 0].tolist() == [0, 1, 0]


def test_the_interval_of_a_share_weighs_by_its_whole() -> None:
    # One pair has nearly all pixels: the share is its share, whoever else is drawn.
    parts = [(0, 500.0, 1000.0), *((pair, 0.0, 1.0) for pair in range(1, 4))]
    low, high = measures.share_interval(parts)
    assert high == pytest.approx(0.5, abs=0.01)
    assert low == 0.0  # the draws without it


def test_the_interval_of_auroc_agrees_with_a_plain_loop() -> None:
    rng = np.random.default_rng(5)
    present = [(pair, float(score)) for pair, score in enumerate(rng.integers(2, 9, 20))]
    absent = [(pair, float(score)) for pair, score in enumerate(rng.integers(0, 7, 20))]
    low, high = measures.auroc_interval(present, absent, draws=400)
    found = []
    for seed in range(400):
        rows = np.random.default_rng(seed).integers(0, 20, 20)
        found.append(measures.auroc([present[i][1] for i in rows], [absent[i][1] for i in rows]))
    assert (low, high) == pytest.approx(np.percentile(found, (2.5, 97.5)).tolist(), abs=0.03)
    assert low < measures.auroc([s for _, s in present], [s for _, s in absent]) < high


def test_nothing_measured_gives_no_figure() -> None:
    assert all(math.isnan(v) for v in measures.macro(np.zeros((2, 3), dtype=np.int64)).values())
    assert math.isnan(measures.rate([]))
    assert all(math.isnan(v) for v in measures.rate_interval([]))
