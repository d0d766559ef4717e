"""Targets, and what they are where the dates are exchanged."""

import pytest

from reasoncd.ontology import TARGET_BY_KEY, TARGETS

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("key", "exchanged"),
    [
        ("building.gain", "building.loss"),
        ("playground.loss", "playground.gain"),
        ("water.change", "water.change"),
        ("vegetation>road", "road>vegetation"),
    ],
)
def test_exchanged_dates_turn_a_target_around(key: str, exchanged: str) -> None:
    assert TARGET_BY_KEY[key].reversed == TARGET_BY_KEY[exchanged]


def test_every_target_has_its_opposite_among_the_targets() -> None:
    assert {target.reversed for target in TARGETS} == set(TARGETS)
    assert all(target.reversed.reversed == target for target in TARGETS)
