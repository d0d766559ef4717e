"""Land cover of both dates, and the masks that every target derives from it.

Sources know different amounts: a drawn scene knows every pixel, a footprint set knows only
"building or not", a change set knows only "building changed or not". All of them fit one code
map per date; what a code does not say is *unknown*, and Kleene's three-valued logic carries that
into the masks, so that no loss is taken and no score is counted where nobody knows.

H, W are the pixels of a pair, Q the targets. Truth values: 0 no, 1 yes, 255 unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError
from reasoncd.ontology import CLASSES, TARGETS, ClassName, Target

NO = 0
YES = 1
UNKNOWN = 255
"""The third truth value; also the value that losses and metrics ignore."""


class LandCover(IntEnum):
    """What one pixel of one date shows, as far as its source knows."""

    UNKNOWN = 0
    BUILDING = 1
    BARE_GROUND = 2
    ROAD = 3
    LOW_VEGETATION = 4
    WATER = 5
    TREE = 6
    PLAYGROUND = 7
    """Playgrounds, sports courts and pitches; none of the other classes."""
    VEGETATION = 8
    """Trees or low vegetation, unspecified."""
    NOT_BUILDING = 9
    """Known not to be a building, otherwise unknown."""


_CODES = len(LandCover)

_MEMBERS: dict[ClassName, frozenset[LandCover]] = {
    "building": frozenset({LandCover.BUILDING}),
    "road": frozenset({LandCover.ROAD}),
    "vegetation": frozenset({LandCover.LOW_VEGETATION, LandCover.TREE, LandCover.VEGETATION}),
    "water": frozenset({LandCover.WATER}),
    "bare_ground": frozenset({LandCover.BARE_GROUND}),
    "tree": frozenset({LandCover.TREE}),
    "low_vegetation": frozenset({LandCover.LOW_VEGETATION}),
    "playground": frozenset({LandCover.PLAYGROUND}),
}


def _membership_of(code: LandCover, cls: ClassName) -> int:
    if code in _MEMBERS[cls]:
        return YES
    if code is LandCover.UNKNOWN:
        return UNKNOWN
    if code is LandCover.VEGETATION and cls in ("tree", "low_vegetation"):
        return UNKNOWN
    if code is LandCover.NOT_BUILDING and cls != "building":
        return UNKNOWN
    return NO


MEMBERSHIP: dict[ClassName, tuple[int, ...]] = {
    cls: tuple(_membership_of(code, cls) for code in LandCover) for cls in CLASSES
}
"""Whether a pixel of each code (the position) belongs to a class: 0 no, 1 yes, 255 unknown."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelledPair:
    """Two registered images of one place and what is known of their land cover.

    Raises:
        InvalidInputError: an array has another dtype or size than the rest, a map holds a value
            that is no code, or `building_change` comes with land maps that are not all unknown.
    """

    image_t1: NDArray[np.uint8]
    """(H, W, 3) RGB, 0-255, the earlier date."""
    image_t2: NDArray[np.uint8]
    """(H, W, 3) RGB, 0-255, the later date."""
    land_t1: NDArray[np.uint8]
    """(H, W) `LandCover` codes of the earlier date."""
    land_t2: NDArray[np.uint8]
    """(H, W) `LandCover` codes of the later date."""
    origin: str
    """What kind of source made the pair: `scene`, `composite` ..."""
    building_change: NDArray[np.uint8] | None = None
    """(H, W) 0 no, 1 yes, 255 unknown; for sources that know that a building came *or* went."""

    def __post_init__(self) -> None:
        size = self.land_t1.shape
        if len(size) != 2:
            raise InvalidInputError(f"land_t1 has shape {size}; give a map of shape (H, W)")
        for name, shape in (
            ("image_t1", (*size, 3)),
            ("image_t2", (*size, 3)),
            ("land_t1", size),
            ("land_t2", size),
            ("building_change", size),
        ):
            array: NDArray[np.uint8] | None = getattr(self, name)
            if array is not None and (array.shape != shape or array.dtype != np.uint8):
                raise InvalidInputError(
                    f"{name} is {array.dtype} of shape {array.shape}; give uint8 of shape {shape}"
                )
        for name in ("land_t1", "land_t2"):
            highest = int(getattr(self, name).max(initial=0))
            if highest >= _CODES:
                raise InvalidInputError(
                    f"{name} holds {highest}, which is no land cover code; recode it to 0-{_CODES - 1}"
                )
        if self.building_change is not None:
            if not np.isin(self.building_change, (NO, YES, UNKNOWN)).all():
                raise InvalidInputError("building_change holds other values; recode it to 0, 1 and 255")
            if self.land_t1.any() or self.land_t2.any():
                raise InvalidInputError(
                    "building_change comes with land cover codes; set both land maps to 0 or leave it out"
                )


def kleene_not(a: int) -> int:
    """Negation: unknown stays unknown."""
    return UNKNOWN if a == UNKNOWN else 1 - a


def kleene_and(a: int, b: int) -> int:
    """Conjunction: no beats unknown, unknown beats yes."""
    if NO in (a, b):
        return NO
    return UNKNOWN if UNKNOWN in (a, b) else YES


def kleene_or(a: int, b: int) -> int:
    """Disjunction: yes beats unknown, unknown beats no."""
    return kleene_not(kleene_and(kleene_not(a), kleene_not(b)))


def target_truth(target: Target, code_t1: int, code_t2: int) -> int:
    """Whether a pixel with these codes at the two dates is part of a target's change.

    Returns:
        0 no, 1 yes, 255 unknown.
    """
    becomes = None if target.to is None else MEMBERSHIP[target.to][code_t2]
    return change_truth(target, MEMBERSHIP[target.cls][code_t1], MEMBERSHIP[target.cls][code_t2], becomes)


def change_truth(target: Target, before: int, after: int, becomes: int | None = None) -> int:
    """Whether a pixel is part of a target's change, from what is known of its classes.

    Args:
        target: what is asked.
        before: whether the pixel belongs to the target's class at the earlier date.
        after: the same at the later date.
        becomes: for transitions, whether it belongs to the class `to` at the later date.

    Returns:
        0 no, 1 yes, 255 unknown, like the arguments.
    """
    if becomes is not None:
        return kleene_and(before, becomes)
    gain = kleene_and(kleene_not(before), after)
    loss = kleene_and(before, kleene_not(after))
    if target.direction == "gain":
        return gain
    return loss if target.direction == "loss" else kleene_or(gain, loss)


_TRUTH: dict[Target, NDArray[np.uint8]] = {
    target: np.array([target_truth(target, a, b) for a in LandCover for b in LandCover], dtype=np.uint8)
    for target in TARGETS
}
"""Per target, truth by `code_t1 * 10 + code_t2`: the logic is run once, pixels only look it up."""


def target_masks(pair: LabelledPair, targets: Sequence[Target] = TARGETS) -> NDArray[np.uint8]:
    """The masks of several targets on one pair.

    `building_change`, where a pair has it, answers `building.change` and nothing else.

    Returns:
        uint8 (Q, H, W) in the order of `targets`: 0 no, 1 yes, 255 unknown.
    """
    masks = np.full((len(targets), *pair.land_t1.shape), UNKNOWN, dtype=np.uint8)
    if pair.building_change is not None:
        for mask, target in zip(masks, targets, strict=True):
            if target.key == "building.change":
                mask[:] = pair.building_change
        return masks
    # intp spares `take` a conversion per target.
    code = pair.land_t1.astype(np.intp) * _CODES + pair.land_t2
    for mask, target in zip(masks, targets, strict=True):
        np.take(_TRUTH[target], code, out=mask, mode="clip")
    return masks


def target_mask(pair: LabelledPair, target: Target) -> NDArray[np.uint8]:
    """The mask of one target on one pair.

    Returns:
        uint8 (H, W): 0 no, 1 yes, 255 unknown.
    """
    return np.asarray(target_masks(pair, (target,))[0], dtype=np.uint8)
