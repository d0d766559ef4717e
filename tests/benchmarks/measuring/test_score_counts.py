"""Twenty bins in the place of a map: the curve they give against thresholds tried one by one."""

import math

import numpy as np
import pytest

from benchmarks.measuring.score_counts import BINS, ScoreCounts
from reasoncd.errors import InvalidInputError
from training.data.labels import UNKNOWN
from training.metrics import Confusion

pytestmark = pytest.mark.unit


def test_the_curve_is_that_of_thresholds_tried_one_by_one() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(np.array([0, 1, UNKNOWN], dtype=np.uint8), (40, 50))
    probability = np.clip(rng.normal(0.3 + 0.4 * (truth == 1), 0.2), 0, 1).astype(np.float32)
    counts = ScoreCounts.of(probability, truth)
    assert sum(counts.changed) + sum(counts.unchanged) == np.count_nonzero(truth != UNKNOWN)
    recall, precision = counts.curve()
    for place in range(BINS):
        score = Confusion.of(probability >= np.float32(place / BINS), truth)
        assert recall[place] == pytest.approx(score.recall), place
        assert precision[place] == pytest.approx(score.precision), place
        assert counts.f1()[place] == pytest.approx(score.f1), place


@pytest.mark.parametrize("place", range(BINS))
def test_a_bin_begins_at_its_edge(place: int) -> None:
    # As the pipeline compares: at or above the threshold, in float32.
    counts = ScoreCounts.of(np.full((1, 1), place / BINS, dtype=np.float32), np.ones((1, 1), dtype=np.uint8))
    assert counts.changed.index(1) == place


def test_both_ends_of_the_range_are_counted() -> None:
    counts = ScoreCounts.of(np.array([[0.0, 1.0]], dtype=np.float32), np.array([[0, 1]], dtype=np.uint8))
    assert counts.unchanged[0] == counts.changed[-1] == 1
    assert counts.average_precision == 1


def test_average_precision_by_hand() -> None:
    # From the top: one right, one wrong, one right, two wrong.
    changed, unchanged = [0] * BINS, [0] * BINS
    changed[19], unchanged[18], changed[17], unchanged[3] = 1, 1, 1, 2
    counts = ScoreCounts(changed=tuple(changed), unchanged=tuple(unchanged))
    assert counts.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_sums_are_those_of_the_pixels_together() -> None:
    rng = np.random.default_rng(1)
    maps = rng.random((2, 8, 8), dtype=np.float32)
    truths = rng.integers(0, 2, (2, 8, 8), dtype=np.uint8)
    one, other = (ScoreCounts.of(m, t) for m, t in zip(maps, truths, strict=True))
    assert one + other == ScoreCounts.of(maps.reshape(16, 8), truths.reshape(16, 8))
    assert ScoreCounts() + one == one
    assert ScoreCounts.from_json(one.as_json()) == one


def test_where_nothing_changed_there_is_no_figure() -> None:
    counts = ScoreCounts.of(np.full((2, 2), 0.7, dtype=np.float32), np.zeros((2, 2), dtype=np.uint8))
    assert math.isnan(counts.average_precision)
    assert np.isnan(counts.curve()[0]).all()


def test_another_number_of_bins_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="have 3 and 20 bins; give 20 of each"):
        ScoreCounts(changed=(1, 2, 3))
