"""What differs between the arms, and that nothing else does."""

from dataclasses import replace

import pytest

from services.reasoner.config import ALL_LINEAR, ATTENTION_QV
from training import recipes
from training.ablations.arms import ABLATIONS, Ablation, Arm
from training.ablations.names import AblationName
from training.recipes import Recipe

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def mini() -> Recipe:
    return recipes.mini()


def _recipes(name: AblationName, recipe: Recipe) -> list[Recipe]:
    return [arm.recipe(recipe) for arm in ABLATIONS[name].arms]


def test_every_name_has_an_ablation() -> None:
    assert set(ABLATIONS) == set(AblationName)
    assert all(name == ablation.name for name, ablation in ABLATIONS.items())


def test_the_rank_moves_alone(mini: Recipe) -> None:
    lora = mini.reasoner.lora
    found = _recipes(AblationName.LORA_RANK, mini)
    assert [r.reasoner.lora.rank for r in found] == [4, 8, 12, 16]
    for recipe in found:
        new = recipe.reasoner.lora
        assert new.alpha / new.rank == lora.alpha / lora.rank
        assert replace(recipe, reasoner=replace(recipe.reasoner, lora=lora)) == mini
        assert new.targets == lora.targets


def test_the_targets_move_alone(mini: Recipe) -> None:
    found = _recipes(AblationName.LORA_TARGETS, mini)
    assert [r.reasoner.lora.targets for r in found] == [ATTENTION_QV, ALL_LINEAR]
    for recipe in found:
        lora = replace(recipe.reasoner.lora, targets=mini.reasoner.lora.targets)
        assert replace(recipe, reasoner=replace(recipe.reasoner, lora=lora)) == mini


def test_fusion_and_the_weight_of_a_missing_seg_move_alone(mini: Recipe) -> None:
    on, off = _recipes(AblationName.FUSION, mini)
    assert on == mini
    assert not off.vision.fusion.multi_scale
    assert replace(off, vision=mini.vision) == mini
    on, off = _recipes(AblationName.MISSING_SEG, mini)
    assert (on.losses.missing_seg, off.losses.missing_seg) == (10.0, 1.0)
    assert replace(off, losses=mini.losses) == mini


def test_the_other_arms_keep_the_recipe(mini: Recipe) -> None:
    assert _recipes(AblationName.REAL_COMPOSITES, mini) == [mini, mini]


def test_no_judge_of_absence_is_pushed_towards_seg(mini: Recipe) -> None:
    one, other = _recipes(AblationName.ABSENCE, mini)
    assert one == other
    assert one.losses.missing_seg == 1.0
    assert replace(one, losses=mini.losses) == mini


def test_the_turns_of_an_explanation_move_alone(mini: Recipe) -> None:
    found = _recipes(AblationName.REASON_ORDER, mini)
    assert [recipe.reasoner.decide_first for recipe in found] == [False, False, True]
    assert [arm.seg_first for arm in ABLATIONS[AblationName.REASON_ORDER].arms] == [False, True, False]
    first = mini.reasoner.decide_first
    for recipe in found:
        assert replace(recipe, reasoner=replace(recipe.reasoner, decide_first=first)) == mini


def test_every_arm_of_a_recipe_that_has_both_ways_of_training() -> None:
    for name in AblationName:
        assert len(_recipes(name, recipes.paper_tiny())) > 1


def test_arms_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two arms of different names"):
        Ablation(
            name=AblationName.FUSION,
            question="?",
            trial="vision",
            arms=(Arm(name="on"), Arm(name="on")),
            equal=(),
        )
