"""Three-valued membership and the masks of all targets."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError
from reasoncd.ontology import CLASSES, TARGET_BY_KEY, TARGETS, ClassName, Target
from training.data.labels import (
    MEMBERSHIP,
    NO,
    UNKNOWN,
    YES,
    LabelledPair,
    LandCover,
    kleene_and,
    kleene_not,
    kleene_or,
    target_mask,
    target_masks,
    target_truth,
)

WORLDS: dict[LandCover, set[LandCover]] = {
    **{c: {c} for c in LandCover},
    LandCover.VEGETATION: {LandCover.LOW_VEGETATION, LandCover.TREE},
}
FULL = [
    LandCover.BUILDING,
    LandCover.BARE_GROUND,
    LandCover.ROAD,
    LandCover.LOW_VEGETATION,
    LandCover.WATER,
    LandCover.TREE,
    LandCover.PLAYGROUND,
]
WORLDS[LandCover.UNKNOWN] = set(FULL)
WORLDS[LandCover.NOT_BUILDING] = set(FULL) - {LandCover.BUILDING}


def every_combination() -> LabelledPair:
    """A 10 x 10 pair: row = code at the earlier date, column = code at the later date."""
    t1, t2 = np.meshgrid(np.arange(10, dtype=np.uint8), np.arange(10, dtype=np.uint8), indexing="ij")
    image = np.zeros((10, 10, 3), dtype=np.uint8)
    return LabelledPair(image_t1=image, image_t2=image, land_t1=t1.copy(), land_t2=t2.copy(), origin="test")


def change_only(change: NDArray[np.uint8]) -> LabelledPair:
    image = np.zeros((*change.shape, 3), dtype=np.uint8)
    none = np.zeros(change.shape, dtype=np.uint8)
    return LabelledPair(
        image_t1=image, image_t2=image, land_t1=none, land_t2=none, origin="test", building_change=change
    )


def belongs(code: LandCover, cls: ClassName) -> bool:
    """Membership of a fully specified code, stated apart from the table under test."""
    if cls == "vegetation":
        return code in (LandCover.LOW_VEGETATION, LandCover.TREE)
    return code.name.lower() == cls


def test_kleene_tables() -> None:
    assert [kleene_not(a) for a in (NO, YES, UNKNOWN)] == [YES, NO, UNKNOWN]
    expect_and = {
        (NO, NO): NO, (NO, YES): NO, (NO, UNKNOWN): NO,
        (YES, YES): YES, (YES, UNKNOWN): UNKNOWN, (UNKNOWN, UNKNOWN): UNKNOWN,
    }  # fmt: skip
    expect_or = {
        (NO, NO): NO, (NO, YES): YES, (NO, UNKNOWN): UNKNOWN,
        (YES, YES): YES, (YES, UNKNOWN): YES, (UNKNOWN, UNKNOWN): UNKNOWN,
    }  # fmt: skip
    for (a, b), value in expect_and.items():
        assert kleene_and(a, b) == kleene_and(b, a) == value
    for (a, b), value in expect_or.items():
        assert kleene_or(a, b) == kleene_or(b, a) == value


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("code", list(LandCover))
def test_membership_is_what_all_possible_worlds_agree_on(cls: ClassName, code: LandCover) -> None:
    answers = {belongs(world, cls) for world in WORLDS[code]}
    expected = UNKNOWN if len(answers) == 2 else YES if answers == {True} else NO
    assert MEMBERSHIP[cls][code] == expected


def test_playground_is_none_of_the_other_classes() -> None:
    yes = [cls for cls in CLASSES if MEMBERSHIP[cls][LandCover.PLAYGROUND] == YES]
    no = [cls for cls in CLASSES if MEMBERSHIP[cls][LandCover.PLAYGROUND] == NO]
    assert yes == ["playground"]
    assert len(no) == len(CLASSES) - 1


@pytest.mark.parametrize(
    ("key", "t1", "t2", "expected"),
    [
        ("building.gain", LandCover.ROAD, LandCover.BUILDING, YES),
        ("building.gain", LandCover.NOT_BUILDING, LandCover.BUILDING, YES),
        ("building.gain", LandCover.UNKNOWN, LandCover.BUILDING, UNKNOWN),
        ("building.gain", LandCover.UNKNOWN, LandCover.NOT_BUILDING, NO),
        ("building.loss", LandCover.UNKNOWN, LandCover.BUILDING, NO),
        ("building.change", LandCover.UNKNOWN, LandCover.BUILDING, UNKNOWN),
        ("building.change", LandCover.NOT_BUILDING, LandCover.NOT_BUILDING, NO),
        ("vegetation.change", LandCover.TREE, LandCover.LOW_VEGETATION, NO),
        ("vegetation.change", LandCover.VEGETATION, LandCover.TREE, NO),
        ("tree.loss", LandCover.TREE, LandCover.LOW_VEGETATION, YES),
        ("tree.loss", LandCover.VEGETATION, LandCover.BUILDING, UNKNOWN),
        ("tree.gain", LandCover.VEGETATION, LandCover.BUILDING, NO),
        ("tree.change", LandCover.TREE, LandCover.VEGETATION, UNKNOWN),
        ("low_vegetation.gain", LandCover.WATER, LandCover.LOW_VEGETATION, YES),
        ("playground.gain", LandCover.LOW_VEGETATION, LandCover.PLAYGROUND, YES),
        ("vegetation.loss", LandCover.VEGETATION, LandCover.PLAYGROUND, YES),
        ("vegetation>building", LandCover.VEGETATION, LandCover.BUILDING, YES),
        ("vegetation>building", LandCover.NOT_BUILDING, LandCover.BUILDING, UNKNOWN),
        ("vegetation>building", LandCover.NOT_BUILDING, LandCover.NOT_BUILDING, NO),
        ("road>water", LandCover.UNKNOWN, LandCover.WATER, UNKNOWN),
        ("road>water", LandCover.UNKNOWN, LandCover.ROAD, NO),
    ],
)
def test_rules(key: str, t1: LandCover, t2: LandCover, expected: int) -> None:
    assert target_truth(TARGET_BY_KEY[key], t1, t2) == expected
    assert target_mask(every_combination(), TARGET_BY_KEY[key])[t1, t2] == expected


def in_world(target: Target, before: LandCover, after: LandCover) -> bool:
    """The plain two-valued meaning of a target."""
    if target.to is not None:
        return belongs(before, target.cls) and belongs(after, target.to)
    was, is_ = belongs(before, target.cls), belongs(after, target.cls)
    return {"gain": is_ and not was, "loss": was and not is_, "change": was != is_}[target.direction]


def test_masks_never_contradict_a_possible_world() -> None:
    """Where a mask says yes or no, every world that the codes allow says the same."""
    masks = target_masks(every_combination())
    assert masks.shape == (len(TARGETS), 10, 10)
    assert masks.dtype == np.uint8
    for target, mask in zip(TARGETS, masks, strict=True):
        for t1, t2 in itertools.product(LandCover, LandCover):
            worlds = itertools.product(WORLDS[t1], WORLDS[t2])
            answers = {in_world(target, a, b) for a, b in worlds}
            value = int(mask[t1, t2])
            assert value in (NO, YES, UNKNOWN)
            if value != UNKNOWN:
                assert answers == {bool(value)}, (target.key, t1, t2)
            elif t1 in FULL and t2 in FULL:
                pytest.fail(f"{target.key} is unknown although {t1.name} and {t2.name} are known")


def test_masks_follow_the_order_asked_for() -> None:
    pair = every_combination()
    some = (TARGETS[40], TARGETS[0], TARGETS[40])
    masks = target_masks(pair, some)
    for mask, target in zip(masks, some, strict=True):
        np.testing.assert_array_equal(mask, target_mask(pair, target))
    assert target_masks(pair, ()).shape == (0, 10, 10)


def test_building_change_answers_only_building_change() -> None:
    change = np.array([[0, 1], [255, 1]], dtype=np.uint8)
    for target, mask in zip(TARGETS, target_masks(change_only(change)), strict=True):
        if target.key == "building.change":
            np.testing.assert_array_equal(mask, change)
        else:
            assert (mask == UNKNOWN).all()


def test_wrong_arrays_are_refused_by_name() -> None:
    good = every_combination()
    kept = {n: getattr(good, n) for n in ("image_t1", "image_t2", "land_t1", "land_t2", "origin")}
    bad: dict[str, NDArray[np.generic]] = {
        "image_t2": np.zeros((10, 9, 3), dtype=np.uint8),
        "land_t1": np.full((10, 10), 10, dtype=np.uint8),
        "land_t2": np.zeros((10, 10), dtype=np.int64),
        "building_change": np.full((10, 10), 7, dtype=np.uint8),
    }
    for name, array in bad.items():
        with pytest.raises(InvalidInputError, match=name):
            LabelledPair(**{**kept, name: array})
    with pytest.raises(InvalidInputError, match="land cover codes"):
        LabelledPair(**kept, building_change=np.zeros((10, 10), dtype=np.uint8))
