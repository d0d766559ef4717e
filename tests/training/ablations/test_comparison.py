"""Arms against the first, and the table."""

import json
from collections.abc import Sequence

import numpy as np
import pytest

from reasoncd.errors import CorruptDataError
from training.ablations.arms import ABLATIONS
from training.ablations.comparison import as_json, as_markdown, compare
from training.ablations.measures import Measure
from training.ablations.names import AblationName

pytestmark = pytest.mark.unit

FUSION = ABLATIONS[AblationName.FUSION]


def _hits(hits: Sequence[int], asked: int = 1, name: str = "right") -> Measure:
    counts = np.array([[h, asked] for h in hits], dtype=np.int64)
    return Measure(name=name, unit="queries", kind="share", counts=counts)


def test_means_spread_and_difference() -> None:
    on = {0: [_hits([1, 1, 1, 0])], 1: [_hits([1, 1, 0, 0])]}
    off = {0: [_hits([0, 1, 0, 0])], 1: [_hits([0, 0, 0, 0])]}
    first, second = compare({"on": on, "off": off})
    assert (first.mean, first.spread, first.units) == (0.625, (0.5, 0.75), 4)
    assert first.difference is None
    assert first.difference_interval is None
    assert second.difference == pytest.approx(0.125 - 0.625)
    assert second.difference_interval is not None
    assert second.difference_interval[0] < -0.5 < second.difference_interval[1]


def test_both_arms_are_resampled_together() -> None:
    hits = [i % 3 == 0 for i in range(60)]
    same = {seed: [_hits(hits)] for seed in (0, 1)}
    row = compare({"on": same, "off": same})[1]
    low, high = row.interval
    assert high - low > 0.1
    # What is hard for both is no uncertainty of the difference.
    assert row.difference_interval == (0.0, 0.0)


def test_arms_measured_on_other_units_are_refused() -> None:
    with pytest.raises(CorruptDataError, match=r"arm off .* delete its measured\.json"):
        compare({"on": {0: [_hits([1, 0])]}, "off": {0: [_hits([1, 0, 1])]}})


def test_the_table_has_every_arm_and_what_was_equal() -> None:
    nothing = _hits([0, 0], asked=0, name="never asked")
    rows = compare(
        {"on": {0: [_hits([1, 0]), nothing]}, "off": {0: [_hits([1, 1]), nothing]}},
    )
    text = as_markdown(FUSION, rows, ["one thing"])
    assert "| right | on | 0.500 | one |" in text
    assert "|  | off | 1.000 | one | 1.000 to 1.000 | +0.500 |" in text
    assert "| never asked | on | - | one | - to - |  |  | 0 queries |" in text
    assert "- one thing" in text
    plain = as_json(FUSION, rows, ["one thing"])
    json.dumps(plain, allow_nan=False)
    assert plain["arms"] == ["on", "off"]
    assert [row["mean"] for row in plain["rows"]] == [0.5, 1.0, None, None]
