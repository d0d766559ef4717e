"""The six metrics against figures worked out by hand."""

import numpy as np
import pytest

from training.metrics import Confusion

pytestmark = pytest.mark.unit

COUNTS = Confusion(tp=6, fp=2, tn=9, fn=3)


def test_each_metric_by_hand() -> None:
    assert COUNTS.total == 20
    assert COUNTS.precision == pytest.approx(6 / 8)
    assert COUNTS.recall == pytest.approx(6 / 9)
    assert COUNTS.f1 == pytest.approx(2 * (6 / 8) * (6 / 9) / (6 / 8 + 6 / 9))
    assert COUNTS.accuracy == pytest.approx(15 / 20)
    assert COUNTS.iou == pytest.approx(6 / 11)
    chance = (8 * 9 + 12 * 11) / 400
    assert COUNTS.kappa == pytest.approx((0.75 - chance) / (1 - chance))
    assert COUNTS.kappa == pytest.approx(0.4897959, abs=1e-6)


def test_kappa_is_nothing_for_chance_and_one_for_agreement() -> None:
    assert Confusion(tp=1, fp=3, tn=9, fn=3).kappa == pytest.approx(0.0)
    assert Confusion(tp=4, tn=5).kappa == 1.0
    assert Confusion(fp=4, fn=4).kappa == pytest.approx(-1.0)


def test_counts_leave_unknown_pixels_out() -> None:
    truth = np.array([[1, 1, 0], [0, 255, 255]], np.uint8)
    shown = np.array([[True, False, True], [False, True, False]])
    assert Confusion.of(shown, truth) == Confusion(tp=1, fp=1, tn=1, fn=1)


def test_counts_add_up_over_images() -> None:
    assert Confusion(tp=1, fp=2, tn=3, fn=4) + Confusion(tp=5, fp=0, tn=6, fn=-1) == COUNTS


@pytest.mark.parametrize("name", ["precision", "recall", "f1", "iou", "accuracy", "kappa"])
def test_no_pixels_give_zero_and_no_error(name: str) -> None:
    assert getattr(Confusion(), name) == 0.0
    assert getattr(Confusion(tn=5), name) == (1.0 if name == "accuracy" else 0.0)
