"""Counted figures and their intervals."""

import numpy as np
import pytest

from reasoncd.errors import CorruptDataError
from training.ablations.measures import Measure, draw_weights, interval

pytestmark = pytest.mark.unit


def _share(*counts: tuple[int, int]) -> Measure:
    return Measure(name="share", unit="queries", kind="share", counts=np.array(counts, dtype=np.int64))


def test_a_share_pools_its_units_and_knows_who_was_asked() -> None:
    measure = _share((1, 1), (0, 1), (0, 0), (1, 2))
    assert measure.value == 0.5
    assert measure.asked == 3
    assert np.isnan(_share((0, 0)).value)


def test_macro_f1_is_the_mean_over_the_targets_that_occur() -> None:
    # Two pairs; the third target occurs in none and is marked in one.
    counts = np.array([[3, 1, 0, 0, 0, 2, 0, 5, 0], [1, 0, 2, 2, 0, 0, 0, 0, 0]])
    measure = Measure(name="f1", unit="pairs", kind="macro_f1", counts=counts)
    assert measure.value == pytest.approx((2 * 4 / (2 * 4 + 1 + 2) + 2 * 2 / (2 * 2 + 2)) / 2)


def test_two_kinds_count_alike_however_often_they_were_asked() -> None:
    # Of the first kind 9 of 12, of the second 1 of 4; the last unit was asked nothing.
    counts = np.array([[6, 8, 1, 1], [3, 4, 0, 3], [0, 0, 0, 0]])
    measure = Measure(name="told", unit="pairs", kind="balanced", counts=counts)
    assert measure.value == pytest.approx((9 / 12 + 1 / 4) / 2)
    assert measure.asked == 2
    # Where one kind lacks there is no mean.
    assert np.isnan(measure.drawn(np.array([[0.0, 0.0, 1.0]]))[0])
    with pytest.raises(ValueError, match="give no balanced"):
        Measure(name="told", unit="pairs", kind="balanced", counts=counts[:, :2])


def test_drawing_every_unit_once_is_the_figure_itself() -> None:
    measure = _share((1, 3), (2, 3), (0, 1))
    weights = np.array([[1.0, 1.0, 1.0], [0.0, 3.0, 0.0]])
    assert measure.drawn(weights) == pytest.approx([3 / 7, 2 / 3])


def test_draws_repeat_and_each_has_as_many_units() -> None:
    weights = draw_weights(7, draws=50)
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert np.array_equal(weights, draw_weights(7, draws=50))


def test_the_interval_holds_the_middle_and_narrows_with_more_units() -> None:
    few, many = _share(*[(i % 2, 1) for i in range(20)]), _share(*[(i % 2, 1) for i in range(2000)])
    widths = []
    for measure in (few, many):
        low, high = interval(measure.drawn(draw_weights(len(measure.counts))))
        assert low < 0.5 < high
        widths.append(high - low)
    # Of a binomial share: 2 * 1.96 * sqrt(0.25 / n).
    assert widths == pytest.approx([0.44, 0.044], rel=0.15)
    assert all(np.isnan(interval(np.full(5, np.nan))))


def test_measures_come_back_from_json() -> None:
    measure = _share((1, 2), (0, 1))
    again = Measure.from_json(measure.as_json(), "here")
    assert (again.name, again.unit, again.kind) == (measure.name, measure.unit, measure.kind)
    assert np.array_equal(again.counts, measure.counts)
    for broken in ({}, {**measure.as_json(), "counts": [[1, 2, 3]]}, {**measure.as_json(), "counts": "x"}):
        with pytest.raises(CorruptDataError, match=r"here holds no measures.*delete it"):
            Measure.from_json(broken, "here")
