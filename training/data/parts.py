"""Which part of a set a pair belongs to: by chance, as published, or by place.

What belongs together (tiles of one picture, pictures of one city) is a *group* and never divided. This
module knows names only, neither images nor files.
"""

from collections.abc import Collection, Mapping
from typing import Literal, TypeVar, get_args

import numpy as np

from reasoncd.errors import InvalidInputError

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
_SHARE = 10
"""Validation and test get one of so many."""

G = TypeVar("G", str, tuple[str, str])


def eight_one_one(groups: Collection[G], *, seed: int) -> dict[G, Part]:
    """Deal groups 8:1:1 by chance; the two small parts get a tenth each, rounded, and at least one.

    The parts depend on the groups and the seed, not on their order.

    Raises:
        InvalidInputError: there are fewer than three groups, or the seed is negative.
    """
    ordered = _shuffled(groups, seed)
    if len(ordered) < 3:
        raise InvalidInputError(f"{len(ordered)} pairs cannot be split 8:1:1; give at least 3")
    tenth = _share_of(len(ordered))
    dealt: tuple[Part, ...] = ("test", "validation", "train")
    return {group: dealt[min(place // tenth, 2)] for place, group in enumerate(ordered)}


def settle(published: Mapping[str, Part | None], *, seed: int) -> dict[str, Part]:
    """The part of every group: what is published stays, what is missing is drawn.

    Where nothing is published, groups are dealt 8:1:1. Where a training part is published but no validation
    part, a tenth of the training groups becomes it. A test part is never made up beside published ones.

    Args:
        published: group -> its part; None for every group of a set that publishes none.
        seed: of what is drawn.

    Raises:
        InvalidInputError: there are too few groups to split, or the seed is negative.
    """
    known: dict[str, Part] = {group: part for group, part in published.items() if part is not None}
    if not known:
        return eight_one_one(list(published), seed=seed)
    train = [group for group, part in known.items() if part == "train"]
    if "validation" not in known.values() and len(train) > 1:
        for group in _shuffled(train, seed)[: _share_of(len(train))]:
            known[group] = "validation"
    return known


def bands(length: int, gap: int) -> list[Part | None]:
    """Positions along an axis as three bands with a gap between them, None where the gap is.

    Validation and test lie beside each other at the far end, a tenth of the rest each.

    Args:
        length: number of positions, tiles for example.
        gap: positions left out between two bands, at least 1.

    Raises:
        InvalidInputError: the axis is too short for three bands and two gaps.
    """
    if gap < 1:
        raise InvalidInputError(f"gap is {gap}; give at least 1 tile")
    used = length - 2 * gap
    if used < 3:
        raise InvalidInputError(
            f"{length} tiles in a row are too few for three parts with gaps of {gap}; give a smaller gap, "
            "smaller tiles or a larger scene"
        )
    tenth = _share_of(used)
    left_out: list[Part | None] = [None] * gap
    train: list[Part | None] = ["train"] * (used - 2 * tenth)
    validation: list[Part | None] = ["validation"] * tenth
    test: list[Part | None] = ["test"] * tenth
    return [*train, *left_out, *validation, *left_out, *test]


def _share_of(count: int) -> int:
    return max(1, round(count / _SHARE))


def _shuffled(groups: Collection[G], seed: int) -> list[G]:
    if seed < 0:
        raise InvalidInputError(f"seed is {seed}; give 0 or more")
    ordered = sorted(groups)
    return [ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))]
