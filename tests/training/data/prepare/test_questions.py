"""Which questions a labelled pair is asked, and their levels."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError
from training.data.labels import UNKNOWN
from training.data.prepare.label_ontology import LabelOntology, read_ontology
from training.data.prepare.pair import Question
from training.data.prepare.questions import AskConfig, ask_about
from training.queries.bank import load_phrases

pytestmark = pytest.mark.unit

U8 = NDArray[np.uint8]
BUILDING, TREE, WATER, GROUND = range(4)
ALL_ABSENT = AskConfig(absent=99)


@pytest.fixture
def ontology(tmp_path: Path) -> LabelOntology:
    path = tmp_path / "o.yaml"
    path.write_text("labels: {0: building, 1: tree, 2: water, 3: [road, bare_ground]}")
    return read_ontology(path)


@pytest.fixture
def maps() -> tuple[U8, U8]:
    """Water and ground stay; 50 pixels of tree become building, 10 the other way round."""
    before = np.full((20, 20), WATER, np.uint8)
    before[0] = GROUND
    before[5:10, :10] = TREE
    before[12, :10] = BUILDING
    after = before.copy()
    after[5:10, :10] = BUILDING
    after[12, :10] = TREE
    return before, after


def _by_key(questions: tuple[Question, ...]) -> dict[str, Question]:
    return {q.target.key: q for q in questions if q.target and q.level != "I1"}


def test_what_is_there_is_asked_and_slivers_are_not(ontology: LabelOntology, maps: tuple[U8, U8]) -> None:
    found = _by_key(ask_about("a", ontology, *maps, AskConfig(absent=0)))
    assert {key: q.level for key, q in found.items()} == {
        "building.gain": "E0",
        "building.change": "E0",
        "vegetation.loss": "E0",
        "vegetation.change": "E0",
        "tree.loss": "E0",
        "tree.change": "E0",
        "vegetation>building": "T",
    }
    assert found["building.gain"].mask.sum() == 50 and found["building.change"].mask.sum() == 60
    assert (found["building.gain"].words, found["building.gain"].answer) == (
        "New buildings",
        "New buildings: <SEG>",
    )
    more = _by_key(ask_about("a", ontology, *maps, AskConfig(absent=0, smallest=10)))
    assert {"building.loss", "tree.gain", "building>vegetation"} <= more.keys()


def test_levels_of_what_is_not_there(ontology: LabelOntology, maps: tuple[U8, U8]) -> None:
    before, after = maps
    found = _by_key(ask_about("a", ontology, before, after, ALL_ABSENT))
    absent = {key: q.level for key, q in found.items() if not (q.mask == 1).any()}
    # A sliver of building loss is neither there nor absent; of ground nobody knows which kind it is.
    assert absent == {
        "water.gain": "N1",
        "water.loss": "N1",
        "playground.gain": "N0",
        "playground.loss": "N0",
        "low_vegetation.gain": "N0",
        "low_vegetation.loss": "N0",
    }
    after[12, :10] = BUILDING
    found = _by_key(ask_about("a", ontology, before, after, ALL_ABSENT))
    assert found["building.loss"].level == "N2" and found["vegetation.gain"].level == "N2"
    # The wrong directions come first.
    two = ask_about("a", ontology, before, after, AskConfig(absent=2))
    assert [q.level for q in two if not (q.mask == 1).any()] == ["N2", "N2"]


def test_hidden_pixels_count_neither_as_change_nor_as_stillness(
    ontology: LabelOntology, maps: tuple[U8, U8]
) -> None:
    hidden = np.zeros((20, 20), bool)
    hidden[:11] = True
    found = _by_key(ask_about("a", ontology, *maps, AskConfig(absent=99, smallest=5), hidden=hidden))
    assert found["building.loss"].level == "E0"
    # The gain lies where the neighbouring tile has it: not there, yet not absent either.
    assert "building.gain" not in found
    assert all((q.mask[hidden] == UNKNOWN).all() for q in found.values())


def test_main_targets_alone(ontology: LabelOntology, maps: tuple[U8, U8]) -> None:
    found = ask_about("a", ontology, *maps, AskConfig(absent=99, main_only=True))
    assert {q.target.direction for q in found if q.target} == {"gain", "loss"}
    assert "tree.loss" not in _by_key(found)


def test_implicit_phrases_come_from_the_bank_and_follow_name_and_seed(
    ontology: LabelOntology, maps: tuple[U8, U8]
) -> None:
    config = AskConfig(absent=0, implicit=3)
    found = [q for q in ask_about("a", ontology, *maps, config) if q.level == "I1"]
    keys = [q.target.key for q in found if q.target]
    assert keys.count("building.gain") == 3 and "vegetation>building" not in keys
    bank = load_phrases().implicit
    for question in found:
        assert question.target is not None
        assert question.words in {p.query for p in bank[question.target.key]}
        assert question.answer == question.target.short_answer
    words = [q.words for q in found]
    assert words == [q.words for q in ask_about("a", ontology, *maps, config) if q.level == "I1"]
    assert words != [q.words for q in ask_about("b", ontology, *maps, config) if q.level == "I1"]
    assert words != [
        q.words
        for q in ask_about("a", ontology, *maps, AskConfig(absent=0, implicit=3, seed=1))
        if q.level == "I1"
    ]


@pytest.mark.parametrize("name", ["smallest", "absent", "implicit", "seed"])
def test_counts_below_zero_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"{name} is -1; give"):
        AskConfig(**{name: -1})  # type: ignore[arg-type]
