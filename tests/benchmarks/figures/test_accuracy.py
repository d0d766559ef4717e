"""Figures out of a report's JSON: what is there is drawn, the rest left out, and what is broken named."""

import json
from typing import Any

import pytest

from benchmarks.figures.accuracy import accuracy_figures, pooled_curve
from benchmarks.figures.baselines import baselines_figures
from benchmarks.figures.read_outcomes import read_lists
from benchmarks.measuring.outcomes import Outcome
from benchmarks.measuring.reliability import reliability
from benchmarks.measuring.score_counts import BINS, ScoreCounts
from reasoncd.errors import CorruptDataError
from reasoncd.ontology import TARGET_BY_KEY
from tests.benchmarks.outcome_of import outcome_of
from training.metrics import Confusion

pytestmark = pytest.mark.unit

COUNTS = ScoreCounts(changed=(2, *(0,) * (BINS - 2), 8), unchanged=(90, *(0,) * (BINS - 2), 2))
SCORE = Confusion(tp=8, fp=2, fn=2, tn=90)
POOR = Confusion(tp=1, fp=9, fn=9, tn=81)


def _outcomes() -> list[Outcome]:
    lost = TARGET_BY_KEY["building.loss"]
    return [
        outcome_of(0, "E0", "building.gain", SCORE, controls={"lexicon": POOR}, score_counts=COUNTS),
        outcome_of(
            1, "E0", "road.gain", SCORE, controls={"lexicon": POOR}, score_counts=COUNTS, confidence=0.4
        ),
        outcome_of(1, "I2", "building.gain", SCORE, named=lost, score_counts=COUNTS, confidence=0.9),
        outcome_of(1, "N2", "building.loss", Confusion(tn=100), present=False, confidence=None),
        outcome_of(1, "N3", None, Confusion(tn=100), present=False, confidence=None, named=None),
    ]


def _data(kind: str = "composite", **changes: Any) -> dict[str, Any]:
    rows = [{**o.as_json(), **changes} for o in _outcomes()]
    found: dict[str, Any] = json.loads(json.dumps({"lists": [{"kind": kind, "outcomes": rows}]}))
    return found


def _titles(data: dict[str, Any]) -> list[str]:
    return [figure.title for figure in accuracy_figures(data)]


def test_everything_that_the_numbers_are_there_for_is_drawn() -> None:
    assert _titles(_data()) == [
        "The model and its controls on composites of real tiles",
        "Precision and recall on composites of real tiles",
        "Reliability of the confidence",
        "Reliability of the presence",
        "The class asked and the class named",
        "The direction asked and the direction named",
    ]


def test_what_is_not_there_is_left_out() -> None:
    assert accuracy_figures({}) == []
    assert accuracy_figures({"lists": []}) == []
    assert "Precision and recall on composites of real tiles" not in _titles(_data(score_counts=None))
    assert "Reliability of the confidence" not in _titles(_data(confidence=None))
    assert not any("controls" in title for title in _titles(_data(kind="footprint")))
    bare = {
        "lists": [{"kind": "new", "outcomes": [{"pair": 0, "level": "E9", "present": True, "accept": []}]}]
    }
    assert accuracy_figures(bare) == []


def test_fields_of_later_versions_do_no_harm() -> None:
    data = _data(something_new={"a": 1}) | {"another_section": [1, 2]}
    assert _titles(data) == _titles(_data())
    data["lists"][0]["outcomes"][0]["accept"] = ["ship.gain"]
    assert len(accuracy_figures(data)) == 6


def test_the_compared_figures_are_those_of_the_report() -> None:
    svg = accuracy_figures(_data())[0].svg
    assert "model, E0: 0.800" in svg
    assert "lexicon, E0: 0.100" in svg
    assert "model, I2: 0.800" in svg
    assert "N2" not in svg


def test_the_curve_passes_where_the_thresholds_lie() -> None:
    curve = pooled_curve("E0", COUNTS, SCORE)
    assert curve is not None
    assert curve.mark == (0.8, 0.8)
    assert set(curve.points) == {(0.8, 0.8)}, "from 0.05 on the map is the same, and 0 is left out"
    assert curve.name == f"E0: AP {0.8 * 0.8 + 0.2 * 10 / 102:.2f}"
    assert pooled_curve("E0", ScoreCounts(), Confusion()) is None
    nothing = pooled_curve("E0", COUNTS, Confusion(fn=10, tn=92))
    assert nothing is not None
    assert nothing.mark is None


def test_the_reliability_is_that_of_the_report() -> None:
    error = reliability(_outcomes()).error
    figure = next(f for f in accuracy_figures(_data()) if f.title == "Reliability of the confidence")
    assert f"composites of real tiles: error {error:.3f}" in figure.svg


def test_presence_is_held_against_what_is_there() -> None:
    figure = next(f for f in accuracy_figures(_data()) if f.title == "Reliability of the presence")
    # Four questions about land cover: three at 0.9 are there, one at 0.1 is not; off-topic ones do not count.
    assert "error 0.100" in figure.svg


def test_confusions_count_every_question_about_land_cover() -> None:
    classes, directions = accuracy_figures(_data())[-2:]
    assert ">3<" in classes.svg
    # One gain was taken for a loss.
    assert ">67 %<" in directions.svg
    assert ">33 %<" in directions.svg


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"lists": 3}, "`lists` holds something else"),
        ({"lists": ["a"]}, "`lists` holds something else"),
        ({"lists": [{"outcomes": "many"}]}, "`outcomes` is no list"),
        ({"lists": [{"outcomes": [{"pair": 1}]}]}, "outcome 0 is unreadable"),
        ({"lists": [{"outcomes": ["a"]}]}, "outcome 0 is unreadable"),
        (_data(score_counts=[[1], [2]]), "outcome 0 is unreadable"),
        (_data(scores={"model": [1, 2]}), "outcome 0 is unreadable"),
    ],
)
def test_broken_numbers_are_named(data: dict[str, Any], words: str) -> None:
    with pytest.raises(CorruptDataError, match=words):
        read_lists(data)


def _baselines() -> dict[str, Any]:
    def method(name: str, seed: int | None, tp: int, counts: object) -> dict[str, Any]:
        return {"method": name, "seed": seed, "scores": [[tp, 2, 10 - tp, 88]], "score_counts": counts}

    counts = COUNTS.as_json()
    methods = [method("model", None, 8, counts), method("FC-EF", 0, 4, counts), method("FC-EF", 1, 6, counts)]
    methods.append(method("all positive", None, 10, None))
    return {"report": "baselines", "lists": [{"kind": "real", "methods": methods}]}


def test_baselines_are_the_mean_of_their_trainings() -> None:
    compared, curves = baselines_figures(_baselines())
    mean = (2 * 4 / (8 + 2 + 6) + 2 * 6 / (12 + 2 + 4)) / 2
    assert f"FC-EF, real: {mean:.3f}" in compared.svg
    assert "FC-EF, seed 1: AP" in curves.svg
    assert "all positive" not in curves.svg
    assert curves.title.endswith("on real aerial pairs")
    assert baselines_figures({"report": "baselines"}) == []


@pytest.mark.parametrize("lists", [3, [{"kind": "real"}], [{"kind": "real", "methods": [{"method": "m"}]}]])
def test_broken_baselines_are_named(lists: object) -> None:
    with pytest.raises(CorruptDataError, match="measure the baselines again"):
        baselines_figures({"lists": lists})
