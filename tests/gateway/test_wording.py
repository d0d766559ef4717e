"""Answers in words: completed by what the map holds, or withdrawn."""

import pytest

from gateway import wording
from reasoncd.ontology import REFUSAL, TARGETS, Target

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.key)
def test_every_target_is_named_in_every_outcome(target: Target) -> None:
    text = f"{target.words}: "
    assert wording.changed(text, places=3, fraction=0.042) == f"{target.words}: 3 places, 4.2 % of the area."
    assert wording.nothing(text) == f"{target.words}: no such change is seen."
    assert wording.split_answer(text) == ("", target)


def test_a_reason_is_kept_with_a_change_and_withdrawn_without() -> None:
    text = "Roofs stand on what were fields.  New buildings: <SEG>"
    assert wording.changed(text, places=1, fraction=0.5) == (
        "Roofs stand on what were fields. New buildings: 1 place, 50 % of the area."
    )
    assert wording.nothing(text) == "New buildings: no such change is seen."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's ", "Change: 2 places, 10 % of the area."),
        ("", "Change: 2 places, 10 % of the area."),
        ("Homes were put up.", "Homes were put up. Change: 2 places, 10 % of the area."),
    ],
)
def test_an_answer_that_names_no_target_gets_a_general_claim(text: str, expected: str) -> None:
    assert wording.changed(text, places=2, fraction=0.1) == expected
    assert wording.nothing(text) == "No such change is seen."


def test_a_refusal_stays_as_it_is_unless_it_claims_a_change() -> None:
    assert wording.refused(REFUSAL) == REFUSAL
    assert wording.refused("This is about cooking ") == "This is about cooking."
    assert wording.refused("") == wording.NO_ANSWER
    assert wording.refused("Fields are gone. New buildings: ") == "New buildings: no such change is seen."


def test_the_longest_target_wins() -> None:
    _, target = wording.split_answer("Vegetation to bare ground:")
    assert target is not None
    assert target.key == "vegetation>bare_ground"
    _, target = wording.split_answer("New low vegetation:")
    assert target is not None
    assert target.key == "low_vegetation.gain"


@pytest.mark.parametrize(
    ("fraction", "words"),
    [
        (1e-7, "under 0.1 %"),
        (0.001, "0.1 %"),
        (0.0416, "4.2 %"),
        (0.0999, "10.0 %"),
        (0.5, "50 %"),
        (0.9999, "99 %"),
        (1, "100 %"),
    ],
)
def test_percent(fraction: float, words: str) -> None:
    assert wording.percent(fraction) == words
