"""Wording, reasons and corrections through engines whose faults are known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.measuring.accuracy import ListResult
from benchmarks.measuring.correcting import ROUNDS, Engines, correction_test
from benchmarks.measuring.explanations import ReasonKind, explanation_test, reason_kind
from benchmarks.measuring.outcomes import Failure
from benchmarks.measuring.paraphrases import PHRASES, SEEN, UNSEEN, paraphrase_test
from benchmarks.queries.questions import Question, canonical_query, opposite
from benchmarks.reporting.behaviour_tables import (
    correction_table,
    explanation_table,
    paraphrase_table,
    reliability_table,
)
from gateway.pipeline import Pipeline
from reasoncd.ontology import TARGET_BY_KEY, Target
from reasoncd.ports import Clicks, DecodedMasks, Description
from reasoncd.tensors import Tensor
from tests.benchmarks.conftest import SIDE, RuleDecoder
from training.data.fixed_pairs import FixedPairs
from training.data.labels import LabelledPair
from training.queries import PhraseBank
from training.queries.asked import AskedQuery

pytestmark = pytest.mark.unit

MakePipeline = Callable[..., Pipeline]
MakeEngines = Callable[..., Engines]
BUILT = TARGET_BY_KEY["building.gain"]
HOUSES = FixedPairs(kind="scene", split="validation", seed=0, version=1, sha256="00", pairs=())


def _asked(query: str, *accept: Target) -> Question:
    return Question(pair=0, level="I1", wording="I1", query=query, accept=accept or (BUILT,), present=True)


def _many(
    pipeline: Pipeline, pair: LabelledPair, phrases: PhraseBank, held_out: tuple[AskedQuery, ...] = ()
) -> tuple[list[Any], list[Failure]]:
    return paraphrase_test(pipeline, pair, 0, BUILT, phrases, held_out, np.random.default_rng(0))


def test_equal_maps_for_all_words(
    make_pipeline: MakePipeline, new_house: LabelledPair, phrases: PhraseBank
) -> None:
    (found,), failures = _many(make_pipeline(), new_house, phrases)
    assert (found.kind, found.worst, found.agreement, failures) == (SEEN, 1.0, 1.0, [])
    assert len(found.f1) == 1 + PHRASES


def test_the_worst_phrase_and_the_maps_that_differ_show(
    make_pipeline: MakePipeline, new_house: LabelledPair, phrases: PhraseBank
) -> None:
    known = phrases.implicit["building.gain"][0].query
    lines = [("more beds", (BUILT,)), (known, (BUILT,)), ("either", (BUILT, TARGET_BY_KEY["road.gain"]))]
    held_out = tuple(AskedQuery(level="I2", query=query, accept=accept) for query, accept in lines)
    # A synonym is no implicit phrase.
    held_out = (*held_out, AskedQuery(level="E1", query="new dwellings", accept=(BUILT,)))
    found, _ = _many(make_pipeline(), new_house, phrases, held_out)
    unseen = next(p for p in found if p.kind == UNSEEN)
    # The plain words, a phrase that the reasoner knows and one that it refuses; not what accepts more.
    assert sorted(unseen.f1) == [0.0, 1.0, 1.0]
    assert unseen.worst == 0
    assert unseen.agreement == pytest.approx(1 / 3)


def test_a_failing_phrase_counts_as_an_empty_map(
    make_pipeline: MakePipeline, new_house: LabelledPair, phrases: PhraseBank
) -> None:
    broken = canonical_query(BUILT)
    (found,), failures = _many(make_pipeline(broken=broken), new_house, phrases)
    assert [f.query for f in failures] == [broken]
    assert found.f1[0] == 0


def test_empty_maps_have_no_agreement(
    make_pipeline: MakePipeline, new_house: LabelledPair, phrases: PhraseBank
) -> None:
    (found,), _ = _many(make_pipeline(twist=lambda t: opposite(t) or t), new_house, phrases)
    assert (found.worst, found.agreement) == (0, None)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("Homes were built where the meadow was. New buildings: 3 places.", ReasonKind.ASKED),
        ("Houses stand there. New buildings: 3 places.", ReasonKind.ASKED),
        ("The houses were torn down. New buildings: 3 places.", ReasonKind.OTHER_DIRECTION),
        ("A lane was paved. New buildings: 3 places.", ReasonKind.OTHER_CLASS),
        ("People live there. New buildings: 3 places.", ReasonKind.NONE),
        ("New buildings: 3 places.", ReasonKind.NONE),
    ],
)
def test_a_reason_is_judged_apart_from_the_claim(answer: str, kind: ReasonKind) -> None:
    assert reason_kind(answer, (BUILT,)) == kind


def test_an_explained_answer_that_is_right(make_pipeline: MakePipeline, new_house: LabelledPair) -> None:
    found, failures = explanation_test(make_pipeline(), new_house, _asked("new buildings"))
    assert failures == []
    assert (found.named, found.right, found.agreement) == (BUILT, True, 1.0)
    assert (found.empty, found.reason) == (False, ReasonKind.NONE)  # it gives none


def test_lost_ground_under_new_buildings_is_the_same_map(
    make_pipeline: MakePipeline, new_house: LabelledPair
) -> None:
    query = canonical_query(TARGET_BY_KEY["vegetation.loss"])
    found, _ = explanation_test(make_pipeline(), new_house, _asked(query))
    # The map fits both truths alike, but the answer names what was not asked.
    assert (found.map_named, found.asked_named, found.right) == (True, False, False)


def test_an_answer_that_names_what_the_map_does_not_show(
    make_pipeline: MakePipeline, new_house: LabelledPair
) -> None:
    wrong = make_pipeline(twist=lambda t: opposite(t) or t)
    found, _ = explanation_test(wrong, new_house, _asked("new buildings"))
    assert (found.asked_named, found.map_named) == (False, False)  # "Lost buildings", and an empty map
    failed, failures = explanation_test(
        make_pipeline(broken="new buildings"), new_house, _asked("new buildings")
    )
    assert (failed.right, len(failures)) == (False, 2)


class ClickedDecoder(RuleDecoder):
    """Draws nothing by itself, marks a square around each click, and keeps what it was given."""

    def __init__(self) -> None:
        self.calls: list[tuple[Clicks | None, NDArray[np.float32] | None]] = []

    def describe(self) -> Description:
        return super().describe()

    def decode(
        self,
        fused: Tensor,
        seg_embeddings: Tensor,
        *,
        clicks: Clicks | None = None,
        boxes: NDArray[np.float32] | None = None,
        previous_logits: NDArray[np.float32] | None = None,
    ) -> DecodedMasks:
        logits = np.full((1, SIDE, SIDE), -1.0, dtype=np.float32)
        if boxes is not None:
            x1, y1, x2, y2 = boxes[0].astype(int)
            logits[0, y1 : y2 + 1, x1 : x2 + 1] = 1
        else:
            self.calls.append((clicks, previous_logits))
        for (x, y), label in zip(clicks.points, clicks.labels, strict=True) if clicks else ():
            logits[0, int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] = 2 * label - 1
        one = np.ones(1, dtype=np.float32)
        return DecodedMasks(logits=logits, presence=0 * one, quality=one)


def test_each_click_comes_with_all_before_it_and_the_last_logits(
    make_engines: MakeEngines, new_house: LabelledPair
) -> None:
    decoder = ClickedDecoder()
    found, failures = correction_test(make_engines(decoder=decoder), new_house, 0, BUILT)
    assert failures == []
    assert len(found.iou) == len(ROUNDS)
    # 25 of the house's 64 pixels after the first click, though presence is 0 throughout.
    assert found.iou[:2] == pytest.approx((0.0, 25 / 64))
    assert found.boxed == 1.0
    # The patch of a later click lies over the place of an earlier one.
    assert (found.clicks, found.followed) == (ROUNDS[-1], ROUNDS[-1] - 1)
    first, *later = decoder.calls
    assert first == (None, None)
    assert [len(clicks.points) for clicks, _ in later if clicks] == list(range(1, len(later) + 1))
    assert all(previous is not None for _, previous in later)
    assert (later[1][1] == later[0][1]).mean() < 1  # type: ignore[union-attr]


def test_a_perfect_map_draws_no_click(make_engines: MakeEngines, new_house: LabelledPair) -> None:
    found, _ = correction_test(make_engines(), new_house, 0, BUILT)
    assert found.iou == (1.0,) * len(ROUNDS)
    assert found.gain == 0
    assert (found.clicks, found.followed) == (0, 0)


def test_a_decoder_that_ignores_clicks_follows_none(
    make_engines: MakeEngines, new_house: LabelledPair
) -> None:
    class Deaf(ClickedDecoder):
        def decode(self, *given: Any, boxes: Any = None, **corrections: Any) -> DecodedMasks:
            return super().decode(*given, boxes=boxes)

    found, _ = correction_test(make_engines(decoder=Deaf()), new_house, 0, BUILT)
    assert (found.clicks, found.followed) == (ROUNDS[-1], 0)
    assert "| 0.0 % |" in correction_table([("houses", ListResult(pairs=HOUSES, corrections=[found]))])


def test_a_broken_engine_is_a_failure_with_figures_of_0(
    make_engines: MakeEngines, new_house: LabelledPair
) -> None:
    found, (failure,) = correction_test(make_engines(broken="new buildings"), new_house, 0, BUILT)
    assert failure.reason == "RuntimeError: the reasoner stumbled"
    assert set(found.iou) == {0.0}


def test_tables_of_what_was_not_measured_say_so() -> None:
    for build in (paraphrase_table, explanation_table, reliability_table, correction_table):
        assert build([]) == "Nothing was measured.\n"
