"""Whole runs through a pipeline that is right, and through one that is wrong in a known way."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.figures.gallery import draw_cases
from benchmarks.measuring import accuracy, real
from benchmarks.measuring.accuracy import AccuracyConfig, AccuracyResult, ListResult, measure, measure_list
from benchmarks.measuring.correcting import Engines
from benchmarks.measuring.outcomes import (
    CONTROLS,
    LEXICON,
    LEXICON_OR_NOTHING,
    MODEL,
    NEAREST,
    REGRESSION,
    Failure,
    Swap,
    swap_test,
)
from benchmarks.queries.held_out import HeldOutSet
from benchmarks.queries.lexicon import lexicon_target
from benchmarks.queries.questions import opposite
from benchmarks.reporting.accuracy import accuracy_report, summary, verdicts_as_json
from benchmarks.reporting.level_tables import macro_of, of_level
from gateway.pipeline import Pipeline
from reasoncd.errors import InvalidInputError, NotFoundError
from reasoncd.ontology import TARGET_BY_KEY, Target
from training.data.fixed_pairs import FixedPairs, PairKind, pairs_sha256
from training.data.labels import LabelledPair, LandCover
from training.queries import PhraseBank
from training.queries.asked import AskedQuery

pytestmark = pytest.mark.unit

MakePipeline = Callable[..., Pipeline]
MakeEngines = Callable[..., Engines]
CONFIG = AccuracyConfig(pairs=2, queries=3, explain_every=0, paraphrase_every=0, correct_every=0)


def _fixed(*pairs: LabelledPair) -> FixedPairs:
    return FixedPairs(
        kind="scene", split="validation", seed=0, version=1, sha256=pairs_sha256(pairs), pairs=tuple(pairs)
    )


def _measured(pipeline: Pipeline, phrases: PhraseBank, *pairs: LabelledPair, **options: object) -> ListResult:
    one, failures = measure_list(pipeline, _fixed(*pairs), CONFIG, phrases=phrases, **options)  # type: ignore[arg-type]
    assert failures == []
    return one


def _wrong_way(target: Target) -> Target:
    return opposite(target) or target


def test_a_perfect_pipeline_has_perfect_figures(
    make_pipeline: MakePipeline, phrases: PhraseBank, new_house: LabelledPair
) -> None:
    one = _measured(make_pipeline(), phrases, new_house)
    found = summary(one)
    assert set(found) == {
        *(f"f1 {level}" for level in ("E0", "E0-any", "E1", "I1", "T")),
        *(f"correct empty {level}" for level in ("N0", "N1", "N2", "N3")),
    }
    assert set(found.values()) == {1.0}
    assert one.swaps == [Swap(iou=1.0, empty=False)]
    assert all(o.right_words and o.wrong_direction == 0 for o in one.outcomes)
    assert {o.seg_emitted for o in of_level(one.outcomes, "N3")} == {False}


def test_controls_by_hand(make_pipeline: MakePipeline, phrases: PhraseBank, new_house: LabelledPair) -> None:
    # 64 of 1024 pixels change, from grass to building.
    resembling = {NEAREST: lambda query: TARGET_BY_KEY["water.gain"], REGRESSION: lambda query: None}
    one = _measured(make_pipeline(), phrases, new_house, guesses=resembling)
    e0 = of_level(one.outcomes, "E0")
    assert {o.question.accept[0].key for o in e0} == {"building.gain", "vegetation.loss"}
    expected = {
        MODEL: 1,
        "oracle": 1,
        NEAREST: 0,
        REGRESSION: 0,
        "any change": 1,
        "any change, truth": 1,
        "all positive": 128 / (128 + 960),
    }
    for name, f1 in expected.items():
        assert macro_of(e0, name)["f1"] == pytest.approx(f1), name
    assert all(set(o.scores) == {MODEL, *CONTROLS} for o in one.outcomes)
    # A word that no keyword has: the one lexicon marks what changed, the other nothing.
    for o in (*of_level(one.outcomes, "I1"), *of_level(one.outcomes, "N2")):
        if lexicon_target(o.question.query) is None:
            assert o.scores[LEXICON] == o.scores["any change"]
            assert o.scores[LEXICON_OR_NOTHING] == o.scores[REGRESSION]
        else:
            assert o.scores[LEXICON] == o.scores[LEXICON_OR_NOTHING]
    for o in of_level(one.outcomes, "N2"):
        assert (o.scores["any change"].fp, o.scores["oracle"].fp, o.scores[MODEL].fp) == (64, 0, 0)


def test_two_empty_maps_agree_but_say_nothing_of_direction(
    make_pipeline: MakePipeline, new_house: LabelledPair
) -> None:
    failures: list[Failure] = []
    found = swap_test(make_pipeline(), new_house, TARGET_BY_KEY["water.gain"], failures.append)
    assert (found, failures) == (Swap(iou=1.0, empty=True), [])


def test_a_pipeline_that_mixes_up_directions_is_found_out(
    make_pipeline: MakePipeline, phrases: PhraseBank, new_house: LabelledPair
) -> None:
    one = _measured(make_pipeline(twist=_wrong_way), phrases, new_house)
    found = summary(one)
    # Asked for new buildings it looks for lost ones, of which there are none, and the other way round.
    assert found["f1 E0"] == found["f1 I1"] == found["correct empty N2"] == 0
    assert found["correct empty N0"] == found["f1 E0-any"] == 1
    wrong = of_level(one.outcomes, "N2")
    assert all((o.wrong_direction, o.marked, o.empty) == (64, 64, False) for o in wrong)
    assert not any(o.right_words for o in of_level(one.outcomes, "E0"))
    page = accuracy_report(AccuracyResult(config=CONFIG, fingerprints={}, lists=[one]))
    assert "| gain | 0 | " in page


def test_a_failing_question_is_reported_and_counts_as_wrong(
    make_pipeline: MakePipeline,
    phrases: PhraseBank,
    new_house: LabelledPair,
    plain: Callable[[Target], str],
) -> None:
    broken = plain(TARGET_BY_KEY["water.change"])
    one, failures = measure_list(make_pipeline(broken=broken), _fixed(new_house), CONFIG, phrases=phrases)
    assert [(f.query, f.reason) for f in failures] == [(broken, "RuntimeError: the reasoner stumbled")]
    assert summary(one)["f1 E0"] == 1
    asked = next(o.question.query for o in of_level(one.outcomes, "I1"))
    one, failures = measure_list(make_pipeline(broken=asked), _fixed(new_house), CONFIG, phrases=phrases)
    (failed,) = [o for o in one.outcomes if o.failed]
    assert (failed.scores[MODEL].fn, failed.right_words, failed.correct_empty) == (64, False, False)
    page = accuracy_report(AccuracyResult(config=CONFIG, fingerprints={}, lists=[one], failures=failures))
    assert "1 questions failed" in page
    assert "the reasoner stumbled" in page


def test_the_best_of_the_accepted_targets_counts(
    make_pipeline: MakePipeline, phrases: PhraseBank, new_house: LabelledPair
) -> None:
    gain, loss = TARGET_BY_KEY["vegetation.loss"], TARGET_BY_KEY["building.gain"]
    query = phrases.implicit["building.gain"][0].query
    line = AskedQuery(level="I2", query=query, accept=(gain, loss))
    held_out = HeldOutSet(queries=(line,), sha256="00")
    one = _measured(make_pipeline(), phrases, new_house, held_out=held_out)
    (outcome,) = of_level(one.outcomes, "I2")
    assert outcome.named == loss
    assert outcome.right_words
    assert outcome.scores[MODEL].f1 == 1


def test_a_whole_run_from_lists_to_pages(
    make_engines: MakeEngines, new_house: LabelledPair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    land: NDArray[np.uint8] = np.full((64, 48), LandCover.NOT_BUILDING, dtype=np.uint8)
    house = land.copy()
    house[:9, :9] = LandCover.BUILDING
    images = {"image_t1": _colours(land), "image_t2": _colours(house)}
    footprints = LabelledPair(**images, land_t1=land, land_t2=house, origin="fotbcd")
    nothing = np.zeros((64, 48), dtype=np.uint8)
    change_only = LabelledPair(
        **images, land_t1=nothing, land_t2=nothing, origin="fotbcd", building_change=nothing
    )

    def pairs(kind: PairKind, *_: object, **__: object) -> FixedPairs:
        if kind == "composite":
            raise NotFoundError("no tiles")
        return replace(_fixed(new_house), kind=kind)

    monkeypatch.setattr(accuracy, "validation_pairs", pairs)
    monkeypatch.setattr(real, "fotbcd_pairs", lambda *_: (("one", footprints), ("two", change_only)))
    engines = make_engines()
    pipeline = engines.pipeline()
    result = measure(pipeline, AccuracyConfig(pairs=2), engines=engines)
    assert result.missing == ["composite pairs"]
    page = accuracy_report(result)
    assert "the images are not there: composite pairs" in page
    assert pairs_sha256([new_house]) in page
    rows = {(o.pair, o.query): o for o in result.real}
    assert len(rows) == 6
    found = rows["two", "changed buildings"].score
    assert found is not None
    # The images show a new house which this pair's labels deny.
    assert (found.tp, found.fp, found.total) == (0, 81, 64 * 48)
    assert rows["two", "new buildings"].score is None
    restored = json.loads(json.dumps(result.as_json()))
    scenes, plain_words = result.lists
    assert len(restored["lists"][0]["outcomes"]) == len(scenes.outcomes)
    assert len(scenes.explanations) == len(scenes.paraphrases) == len(scenes.corrections) == 1
    # Footprints are asked for buildings in plain words alone, and without controls.
    assert [(o.question.query, o.question.level) for o in plain_words.outcomes] == [
        ("new buildings", "E0"),
        ("lost buildings", "N2"),
    ]
    assert all(set(o.scores) == {MODEL} for o in plain_words.outcomes)
    assert json.dumps(verdicts_as_json(result), allow_nan=False)
    test = measure(pipeline, replace(CONFIG, split="test", real=False))
    assert test.missing == ["composite pairs", "footprint pairs of the test split"]
    # One pair gives one best and one worst picture; nothing is falsely marked.
    assert draw_cases(pipeline, result.lists[0], tmp_path / "pictures") == 2
    assert len(list((tmp_path / "pictures").iterdir())) == 2


def _colours(land: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([20 * land, 255 - 20 * land, 7 * land], axis=-1).astype(np.uint8)


def test_unusable_numbers_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="pairs is 0"):
        AccuracyConfig(pairs=0)
    with pytest.raises(InvalidInputError, match="explain_every is -1"):
        AccuracyConfig(explain_every=-1)


def test_every_table_says_of_which_pairs_it_is(
    make_engines: MakeEngines, phrases: PhraseBank, new_house: LabelledPair
) -> None:
    engines = make_engines()
    config = AccuracyConfig(pairs=1)
    one, _ = measure_list(
        engines.pipeline(), _fixed(new_house), config, phrases=phrases, engines=engines
    )  # fmt: skip
    page = accuracy_report(AccuracyResult(config=config, fingerprints={}, lists=[one]))
    lines = page.split("## How to read it")[0].splitlines()
    for place, line in enumerate(lines):
        if line.startswith("| ") and not lines[place - 1].startswith("|"):
            before = lines[place - 2]
            in_rows = "pairs" in line.split(" | ") or line.startswith("| list |")
            assert in_rows or before.startswith("On 1 rendered scenes (validation)"), line
