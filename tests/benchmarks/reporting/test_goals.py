"""Targets met and missed, and the model against its controls, from made-up outcomes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.measuring.accuracy import AccuracyConfig, AccuracyResult, ListResult
from benchmarks.measuring.correcting import Correction
from benchmarks.measuring.explanations import Explanation, ReasonKind
from benchmarks.measuring.outcomes import LEXICON, MODEL, NEAREST, SHUFFLED, Outcome, Swap
from benchmarks.measuring.pooling import pooled_outcomes
from benchmarks.measuring.real import RealOutcome
from benchmarks.reporting.goal_tables import goal_table, lead_table
from benchmarks.reporting.goals import Goal, goals
from benchmarks.reporting.leads import READERS, RIVALS, WITH_ABSENT, leads
from reasoncd.ontology import TARGET_BY_KEY
from tests.benchmarks.outcome_of import outcome_of
from training.data.fixed_pairs import FixedPairs, PairKind
from training.metrics import Confusion

pytestmark = pytest.mark.unit

RIGHT, HALF, WRONG = Confusion(tp=50, tn=50), Confusion(tp=25, fn=25, tn=50), Confusion(fn=50, tn=50)


def _list(kind: PairKind, outcomes: list[Outcome], **parts: object) -> ListResult:
    pairs = FixedPairs(kind=kind, split="validation", seed=0, version=1, sha256="00", pairs=())
    return ListResult(pairs=pairs, outcomes=outcomes, **parts)  # type: ignore[arg-type]


def _present(level: str, score: Confusion, **controls: Confusion) -> list[Outcome]:
    everywhere = dict.fromkeys(RIVALS, WRONG) | controls
    return [
        outcome_of(i, level, key, score, controls=everywhere)
        for i, key in enumerate(["road.gain", "water.loss"] * 4)
    ]


def _found(*lists: ListResult, real: list[RealOutcome] | None = None) -> dict[str, Goal]:
    result = AccuracyResult(config=AccuracyConfig(), fingerprints={}, lists=list(lists), real=real or [])
    return {goal.measure: goal for goal in goals(result)}


def test_retention_is_a_ratio_over_both_lists_with_an_interval() -> None:
    composites = _list("composite", _present("E0", RIGHT) + _present("I2", HALF))
    scenes = _list("scene", _present("E0", RIGHT) + _present("I2", RIGHT))
    goal = _found(composites, scenes)["F1(I2) / F1(E0)"]
    # 16 pairs, half of them with 25 of 50 pixels: tp 600, fn 200 -> F1 6/7.
    assert goal.value == pytest.approx(6 / 7)
    assert goal.met is False
    assert goal.interval[0] < goal.value < goal.interval[1] < 1
    assert _found(scenes)["F1(I2) / F1(E0)"].met is True


def test_what_was_not_asked_is_neither_met_nor_missed() -> None:
    found = _found(_list("composite", _present("E0", RIGHT)))
    assert found["E0: macro F1 over class and direction"].met is True
    assert found["F1(I3) / F1(E0)"].met is None
    assert found["building change, pixels pooled: F1"].met is None
    page = goal_table(list(found.values()))
    assert page.count("not measured") > 5
    assert json.dumps([goal.as_json() for goal in found.values()], allow_nan=False)


def test_development_levels_stand_in_for_held_out_ones_under_their_own_name() -> None:
    found = _found(_list("composite", _present("E0", RIGHT) + _present("D2", HALF)))
    assert found["F1(D2) / F1(E0)"].value == pytest.approx(2 / 3)
    both = _found(_list("composite", _present("E0", RIGHT) + _present("D2", HALF) + _present("I2", RIGHT)))
    assert both["F1(I2) / F1(E0)"].value == 1


def test_the_model_must_be_better_than_every_control_and_clear_of_the_lexicon() -> None:
    outcomes = _present("I2", HALF, **{SHUFFLED: HALF})
    # Better than the lexicon by one pair in eight only: within the interval.
    first = replace(outcomes[0], scores=outcomes[0].scores | {LEXICON: WRONG})
    near = [first, *(replace(o, scores=o.scores | {LEXICON: HALF}) for o in outcomes[1:])]
    by_name = {lead.control: lead for lead in leads(near, "I2")}
    assert by_name[LEXICON].model > by_name[LEXICON].other
    assert not by_name[LEXICON].ahead
    assert not by_name[SHUFFLED].ahead
    assert by_name["any change"].ahead
    goal = _found(_list("composite", near))["I2: of the 6 controls that matter, better than"]
    assert (goal.value, goal.met) == (4, False)
    assert goal.note == "not better than: lexicon, shuffled"
    assert "not better" in lead_table(list(by_name.values()))


def test_on_the_wrong_direction_empty_maps_are_compared() -> None:
    alarm, empty = Confusion(fp=9, tn=91), Confusion(tn=100)
    asked = [
        outcome_of(i, level, "road.gain", empty, controls=dict.fromkeys(RIVALS, alarm), present=False)
        for i, level in enumerate(["N2", "I2-N2"])
    ]
    found = leads(asked, "N2")
    assert [(lead.model, lead.other, lead.ahead) for lead in found] == [(1.0, 0.0, True)] * 6


def test_who_marks_nothing_wins_no_level_with_its_n2() -> None:
    alarm, empty = Confusion(fp=50, tn=50), Confusion(tn=100)
    present = _present("I2", HALF, **{SHUFFLED: WRONG})
    silent = [replace(o, scores=o.scores | {MODEL: WRONG}) for o in present]
    absent = [
        outcome_of(i, "I2-N2", "road.gain", empty, controls=dict.fromkeys(RIVALS, alarm), present=False)
        for i in range(8)
    ]
    level = f"I2{WITH_ABSENT}"
    assert all(lead.ahead for lead in leads(absent, "N2"))
    assert not any(lead.ahead for lead in leads([*silent, *absent], level))
    found = leads([*present, *absent], level)
    assert all(lead.ahead for lead in found)
    # Roads and lakes: F1 of 2/3 each; the alarms are the controls' alone.
    assert all(lead.model == pytest.approx(2 / 3) for lead in found)
    # One without the other is another comparison.
    assert leads(present, level) == leads(absent, level) == []


def test_every_reader_of_words_must_be_beaten_outside_the_interval() -> None:
    outcomes = _present("I2", HALF)
    for reader in READERS:
        first = replace(outcomes[0], scores=outcomes[0].scores | {reader: WRONG})
        near = [first, *(replace(o, scores=o.scores | {reader: HALF}) for o in outcomes[1:])]
        by_name = {lead.control: lead.ahead for lead in leads(near, "I2")}
        assert by_name.pop(reader) is False
        assert all(by_name.values())


def test_a_control_that_was_not_asked_is_not_beaten() -> None:
    some = [
        replace(o, scores={name: c for name, c in o.scores.items() if name != NEAREST})
        for o in _present("I2", RIGHT)
    ]
    goal = _found(_list("composite", some))["I2: of the 6 controls that matter, better than"]
    assert (goal.met, goal.note) == (None, "not asked: nearest phrases")


def test_rejection_directions_and_scores() -> None:
    no_alarm = [
        outcome_of(i, level, "road.gain", Confusion(tn=9), present=False, presence=0.2)
        for i, level in enumerate(["N0", "N1", "N2"])
    ]
    alarm = outcome_of(3, "N2", "road.gain", Confusion(fp=9), present=False, presence=0.95)
    unseen = [
        outcome_of(i, "I2-N2", "road.gain", Confusion(fp=n, tn=9), present=False, marked=n, wrong_direction=n)
        for i, n in ((5, 0), (6, 100))
    ]
    off_topic = outcome_of(4, "N3", None, Confusion(tn=9), present=False, presence=0.0)
    # One line that is refused each of three times, one that is not.
    lines = [
        outcome_of(i, level, None, Confusion(fp=fp, tn=9), present=False, query=query)
        for i, (level, query, fp) in enumerate([("DN3", "a", 0)] * 3 + [("N3-held-out", "b", 9)])
    ]
    present = _present("E0", RIGHT)
    marked = replace(present[0], wrong_direction=5)
    rejected = outcome_of(9, "I1", "road.gain", WRONG, presence=0.3, confidence=None)
    other_words = outcome_of(10, "E1-held-out", "road.gain", WRONG, presence=0.3, confidence=None)
    found = _found(
        _list(
            "composite",
            [*no_alarm, alarm, *unseen, off_topic, *lines, marked, *present[1:], rejected, other_words],
            swaps=[Swap(iou=1.0, empty=True), Swap(iou=0.8, empty=False)],
        )
    )
    assert found["correct-empty on N0-N2, in words of training"].value == pytest.approx(3 / 4)
    assert found["correct-empty on N2, in words never seen"].value == pytest.approx(1 / 2)
    assert found["correct-empty on off-topic lines of training"].value == 1
    assert found["correct-empty on 2 off-topic lines never seen"].value == pytest.approx(1 / 2)
    assert found["false rejection on E0-I2"].value == pytest.approx(2 / 10)
    there = found["wrong-direction share of the map, the change being there"]
    assert there.value == pytest.approx(5 / 400)
    assert there.met is False
    everywhere = found["wrong-direction share of all maps, those of absent changes among them"]
    assert everywhere.value == pytest.approx((5 + 100) / (400 + 9 + 100))
    assert found["IoU of the swap test, 1 pairs of empty maps left out"].value == pytest.approx(0.8)
    assert found["`<SEG>` emitted on E0-I3 and N0-N2"].value == 1
    # 10 present against the 6 of N0-N2 and I2-N2; off-topic questions, which are refused, make it no easier.
    assert found["AUROC of `presence`"].value == pytest.approx((8 * 5 + 2 * 5) / 60)


def test_reasons_clicks_and_real_pairs() -> None:
    target = TARGET_BY_KEY["road.gain"]
    corrections = [
        Correction(pair=i, target=target, iou=(0.4, 0.5, 0.4 + gain, 0.7), boxed=0.5, clicks=5, followed=4)
        for i, gain in enumerate((0.1, 0.3))
    ]
    explanations = [
        Explanation(
            pair=i, level="I1", query="q", answer="", named=target,
            asked_named=asked, map_named=shown, agreement=1.0, empty=False, reason=ReasonKind.NONE,
        )
        for i, (asked, shown) in enumerate([(True, True), (True, False), (False, True), (True, True)])
    ]  # fmt: skip
    real = [
        RealOutcome(pair=str(i), query="changed buildings", score=score, marked=0, presence=1, answer="")
        for i, score in enumerate([RIGHT, HALF, Confusion(fp=10, tn=90)])
    ]
    found = _found(_list("scene", [], corrections=corrections, explanations=explanations), real=real)
    assert found["IoU gained by three clicks"].value == pytest.approx(0.2)
    assert found["explained answers: named right, and what the map shows"].value == 0.5
    # A pair without change counts with its false alarms: tp 75, fp 10, fn 25.
    assert found["building change, pixels pooled: F1"].value == pytest.approx(150 / 185)


def test_pooled_pairs_of_two_lists_stay_apart() -> None:
    lists = [_list(kind, _present("E0", RIGHT)) for kind in ("composite", "scene")]
    assert len({o.question.pair for o in pooled_outcomes(lists)}) == 16
    assert np.unique([o.question.level for o in pooled_outcomes(lists)]).tolist() == ["E0"]
