"""Which questions are asked, and what they are held to."""

import numpy as np
import pytest

from benchmarks.queries.questions import DIRECTED, Question, opposite, plan, plan_plain
from reasoncd.ontology import TARGET_BY_KEY
from tests.benchmarks.conftest import pair_of
from training.data.batches import presence_of_targets
from training.data.labels import LabelledPair, LandCover
from training.queries import PhraseBank, explicit_queries
from training.queries.asked import AskedQuery

pytestmark = pytest.mark.unit


def _asked(pair: LabelledPair, phrases: PhraseBank, **options: object) -> dict[str, list[Question]]:
    found: dict[str, list[Question]] = {}
    for question in plan([pair], phrases, per_level=20, seed=0, **options)[0]:  # type: ignore[arg-type]
        found.setdefault(question.level, []).append(question)
    return found


def _keys(questions: list[Question]) -> set[str]:
    return {q.accept[0].key for q in questions}


def test_each_level_asks_what_it_says(new_house: LabelledPair, phrases: PhraseBank) -> None:
    asked = _asked(new_house, phrases)
    there = {"building.gain", "vegetation.loss"}
    assert _keys(asked["E0"]) == _keys(asked["E1"]) == _keys(asked["I1"]) == there
    assert _keys(asked["E0-any"]) == {"building.change", "vegetation.change"}
    assert _keys(asked["T"]) == {"vegetation>building"}
    assert _keys(asked["N0"]) == {f"{c}.{d}" for c in ("road", "bare_ground") for d in ("gain", "loss")}
    assert _keys(asked["N1"]) == {"water.gain", "water.loss"}
    assert _keys(asked["N2"]) == {"building.loss", "vegetation.gain"}
    assert {q.query for q in asked["N3"]} <= {p.query for p in phrases.off_topic}
    assert all(q.present == (not q.level.startswith("N")) for qs in asked.values() for q in qs)


def test_wordings_come_from_where_they_belong(new_house: LabelledPair, phrases: PhraseBank) -> None:
    for questions in _asked(new_house, phrases).values():
        for question in (q for q in questions if q.accept):
            target = question.accept[0]
            lines = {
                "E1": phrases.synonyms.get(target.key, ()),
                "I1": [p.query for p in phrases.implicit.get(target.key, ())],
            }.get(question.wording, explicit_queries(target))
            assert question.query in lines


def test_what_nobody_knows_is_not_asked(phrases: PhraseBank, new_house: LabelledPair) -> None:
    land = np.full((32, 32), LandCover.NOT_BUILDING, dtype=np.uint8)
    after = land.copy()
    after[:8, :8] = LandCover.BUILDING
    pair = LabelledPair(
        image_t1=new_house.image_t1, image_t2=new_house.image_t2, land_t1=land, land_t2=after, origin="fotbcd"
    )
    asked = _asked(pair, phrases)
    found = {key for questions in asked.values() for q in questions for key in _keys([q] if q.accept else [])}
    assert found == {"building.gain", "building.change", "building.loss"}
    assert presence_of_targets(pair).max() == 255


def test_the_choice_is_fixed_by_the_seed_and_the_pair(new_house: LabelledPair, phrases: PhraseBank) -> None:
    def texts(seed: int, count: int) -> list[str]:
        return [q.query for q in plan([new_house] * count, phrases, per_level=1, seed=seed)[0]]

    assert texts(0, 1) == texts(0, 3)
    assert texts(0, 1) != texts(1, 1)


def test_held_out_queries_get_levels_of_their_own(new_house: LabelledPair, phrases: PhraseBank) -> None:
    gain, loss = TARGET_BY_KEY["building.gain"], TARGET_BY_KEY["building.loss"]
    road = TARGET_BY_KEY["road.gain"]
    lines = (
        AskedQuery(level="I2", query="more beds", accept=(gain, road)),
        AskedQuery(level="I2", query="fewer beds", accept=(loss,)),
        AskedQuery(level="I2", query="fewer beds, or more", accept=(loss, gain)),
        AskedQuery(level="N3", query="a joke, please", accept=()),
    )
    asked = _asked(new_house, phrases, held_out=lines)
    assert [(q.query, q.accept) for q in asked["I2"]] == [("more beds", (gain, road))]
    assert [q.query for q in asked["I2-N2"]] == ["fewer beds"]
    assert [(q.query, q.present) for q in asked["N3-held-out"]] == [("a joke, please", False)]


def test_off_topic_lines_are_asked_in_turn(new_house: LabelledPair, phrases: PhraseBank) -> None:
    lines = tuple(AskedQuery(level="DN3", query=f"line {number}", accept=()) for number in range(7))
    planned = plan([new_house] * 3, phrases, per_level=2, seed=0, held_out=lines)
    asked = [[q.query for q in questions if q.level == "DN3"] for questions in planned]
    assert asked == [["line 0", "line 1"], ["line 2", "line 3"], ["line 4", "line 5"]]
    # The next list of pairs goes on from there.
    (first,) = plan([new_house], phrases, per_level=2, seed=0, held_out=lines, lines_from=6)
    assert [q.query for q in first if q.level == "DN3"] == ["line 6", "line 0"]
    (few,) = plan([new_house], phrases, per_level=20, seed=0, held_out=lines)
    assert len([q for q in few if q.level == "DN3"]) == 7


def test_levels_differ_by_their_words_and_not_by_their_targets(phrases: PhraseBank) -> None:
    rng = np.random.default_rng(6)
    codes = np.array([LandCover.BUILDING, LandCover.ROAD, LandCover.WATER, LandCover.BARE_GROUND], np.uint8)
    lands = [np.kron(rng.choice(codes, (4, 4)), np.ones((8, 8), np.uint8)) for _ in range(2)]
    pair = pair_of(*lands)
    held_out = tuple(
        AskedQuery(level="I2", query=f"{t.key} {number}", accept=(t,))
        for t in DIRECTED
        for number in range(3)
        if t.cls != "water"
    )
    for seed in range(8):
        asked: dict[str, list[Question]] = {}
        for q in plan([pair], phrases, per_level=2, seed=seed, held_out=held_out)[0]:
            asked.setdefault(q.level, []).append(q)
        targets = _keys(asked["E0"])
        assert len(targets) == 2
        assert _keys(asked["E1"]) == _keys(asked["I1"]) == targets
        # As far as there are lines for them; others fill up.
        assert len(asked["I2"]) == 2
        assert _keys(asked["I2"]) >= {key for key in targets if not key.startswith("water")}


def test_plain_questions_know_where_nothing_is(new_house: LabelledPair) -> None:
    targets = [TARGET_BY_KEY[key] for key in ("building.gain", "building.loss", "road.gain", "water.loss")]
    (found,) = plan_plain([new_house], targets)
    assert [(q.query, q.level, q.present, q.wording) for q in found] == [
        ("new buildings", "E0", True, "E0"),
        ("lost buildings", "N2", False, "E0"),
        ("new roads", "N0", False, "E0"),
        ("lost water", "N1", False, "E0"),
    ]


def test_opposites() -> None:
    assert opposite(TARGET_BY_KEY["road.gain"]) == TARGET_BY_KEY["road.loss"]
    assert opposite(TARGET_BY_KEY["road.loss"]) == TARGET_BY_KEY["road.gain"]
    assert opposite(TARGET_BY_KEY["road.change"]) is None
