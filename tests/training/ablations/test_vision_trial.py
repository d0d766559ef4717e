"""Where maps are cut, and what is counted in them."""

import numpy as np
import pytest

from reasoncd.ontology import MAIN_TARGETS
from training.ablations import vision_trial
from training.ablations.vision_trial import Cuts, choose_cuts, dividing_score, measure_maps
from training.data.batches import presence_of_targets
from training.data.fixed_pairs import validation_pairs
from training.data.labels import YES, LabelledPair, target_masks
from training.workshop.validation import MAIN_ROWS

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def pairs() -> tuple[LabelledPair, ...]:
    return validation_pairs("scene", "validation", 4, 0, size=64).pairs


@pytest.fixture(autouse=True)
def _a_model_that_knows_but_is_not_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right everywhere, with .35 where it means yes and .25 where it means no."""

    def answers(_: object, pair: LabelledPair) -> tuple[np.ndarray, np.ndarray]:
        right = target_masks(pair, MAIN_TARGETS) == YES
        there = presence_of_targets(pair)[list(MAIN_ROWS)] == YES
        return np.where(right, 0.35, 0.25), np.where(there, 0.1, 0.05)

    monkeypatch.setattr(vision_trial, "_answers", answers)


def test_an_arm_is_not_judged_by_how_sure_it_is(pairs: tuple[LabelledPair, ...]) -> None:
    cuts = choose_cuts(None, pairs)  # type: ignore[arg-type]
    assert 0.25 < cuts.probability <= 0.35
    assert cuts.presence == 0.1
    found = {m.name: m.value for m in measure_maps(None, pairs, cuts, "scenes")}  # type: ignore[arg-type]
    assert found == {
        "macro F1, scenes": 1.0,
        "wrong-direction share, scenes (less is better)": 0.0,
        "presence told right, scenes": 1.0,
    }
    half = Cuts(probability=0.5, presence=0.5)
    found = {m.name: m.value for m in measure_maps(None, pairs, half, "scenes")}  # type: ignore[arg-type]
    assert found["macro F1, scenes"] == 0.0
    assert found["presence told right, scenes"] == 0.5


def test_both_kinds_count_alike_where_scores_are_divided() -> None:
    # Nine absent and one present: that none is called present would be right nine times of ten.
    scores = np.array([0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.7, 0.6])
    there = np.array([False] * 9 + [True])
    assert dividing_score(scores, there) == 0.6
    assert dividing_score(scores, np.zeros(10, dtype=np.bool_)) == 0.5
