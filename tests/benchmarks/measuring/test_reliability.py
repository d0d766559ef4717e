"""Predicted against true IoU, by hand."""

import json
import math

import numpy as np
import pytest

from benchmarks.measuring.reliability import reliability
from tests.benchmarks.outcome_of import outcome_of
from training.metrics import Confusion

pytestmark = pytest.mark.unit


def _answer(pair: int, confidence: float, iou: float, *, present: bool = True) -> object:
    score = Confusion(tp=round(100 * iou), fp=100 - round(100 * iou))
    return outcome_of(pair, "E0", "road.gain", score, confidence=confidence, present=present)


def test_the_error_is_the_mean_gap_of_bins_of_equal_mass() -> None:
    answers = [_answer(i, c, t) for i, (c, t) in enumerate([(0.2, 0.1), (0.8, 0.9), (0.4, 0.5), (0.9, 0.6)])]
    found = reliability(answers, bins=2)  # type: ignore[arg-type]
    assert [b.count for b in found.bins] == [2, 2]
    assert [b.confidence for b in found.bins] == pytest.approx([0.3, 0.85])
    assert [b.iou for b in found.bins] == pytest.approx([0.3, 0.75])
    # Within a bin too low and too high cancel, between bins they do not.
    assert found.error == pytest.approx((0 + 0.1) / 2)
    assert found.interval[0] <= found.error <= found.interval[1]


def test_ten_bins_whose_confidence_is_right_have_no_error() -> None:
    rng = np.random.default_rng(0)
    answers = [_answer(i, float(c), float(c)) for i, c in enumerate(rng.integers(0, 100, 200) / 100)]
    found = reliability(answers)  # type: ignore[arg-type]
    assert [b.count for b in found.bins] == [20] * 10
    assert found.error == pytest.approx(0, abs=1e-9)


def test_false_alarms_count_with_iou_0_and_empty_maps_do_not_count() -> None:
    alarm = outcome_of(0, "N0", "road.gain", Confusion(fp=5, tn=5), confidence=0.7, present=False)
    empty = outcome_of(1, "N0", "road.gain", Confusion(tn=10), confidence=None, present=False)
    found = reliability([alarm, empty])
    assert [(b.count, b.confidence, b.iou) for b in found.bins] == [(1, 0.7, 0.0)]
    assert found.error == pytest.approx(0.7)
    nothing = reliability([empty])
    assert math.isnan(nothing.error)
    assert json.loads(json.dumps(nothing.as_json(), allow_nan=False))["error"] is None
