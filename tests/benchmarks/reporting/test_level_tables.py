"""Tables of levels and targets, from made-up outcomes."""

import pytest

from benchmarks.reporting.level_tables import target_table
from tests.benchmarks.outcome_of import outcome_of
from training.metrics import Confusion

pytestmark = pytest.mark.unit


def test_each_target_has_its_f1_and_iou_at_each_level() -> None:
    found = [
        outcome_of(0, "E0", "road.gain", Confusion(tp=30, fn=20, tn=50)),
        outcome_of(1, "E0", "road.gain", Confusion(tp=20, fp=10, tn=70)),
        outcome_of(0, "I1", "road.gain", Confusion(fn=50, tn=50)),
        outcome_of(1, "I1", "water.loss", Confusion(tp=50, tn=50)),
    ]
    # Pixels of both pairs together: tp 50, fp 10, fn 20.
    assert target_table(found).splitlines()[2:] == [
        "| New roads | 0.769 / 0.625 (n=2) | 0.000 / 0.000 (n=1) |",
        "| Lost water | - | 1.000 / 1.000 (n=1) |",
    ]
