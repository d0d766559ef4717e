import hashlib
from pathlib import Path

import numpy as np
import pytest

from reasoncd.errors import InvalidInputError
from training.data.fixed_pairs import GENERATOR_VERSION, MeasuredSplit, pairs_sha256, validation_pairs
from training.data.labels import LandCover


def test_a_list_is_the_same_every_time(fake_data_root: Path) -> None:
    first, again = (validation_pairs("composite", "validation", 3, 11, root=fake_data_root) for _ in range(2))
    assert first.sha256 == again.sha256 == pairs_sha256(first.pairs)
    assert (first.version, first.seed, first.split, first.kind) == (
        GENERATOR_VERSION,
        11,
        "validation",
        "composite",
    )
    assert all(p.image_t1.shape == (256, 256, 3) for p in first.pairs)


def test_a_longer_list_begins_with_the_shorter(fake_data_root: Path) -> None:
    short = validation_pairs("composite", "test", 2, 0, root=fake_data_root)
    long = validation_pairs("composite", "test", 4, 0, root=fake_data_root)
    assert pairs_sha256(long.pairs[:2]) == short.sha256 != long.sha256


def test_seed_and_split_give_other_lists(fake_data_root: Path) -> None:
    wanted: tuple[tuple[MeasuredSplit, int], ...] = (("validation", 0), ("validation", 1), ("test", 0))
    lists = [validation_pairs("composite", split, 2, seed, root=fake_data_root) for split, seed in wanted]
    assert len({fixed.sha256 for fixed in lists}) == 3


def test_the_generator_is_the_one_that_reports_name() -> None:
    # Labels only: pixels may round differently elsewhere. Other scenes need another GENERATOR_VERSION.
    fixed = validation_pairs("scene", "validation", 4, 0, size=64)
    land = b"".join(date.tobytes() for pair in fixed.pairs for date in (pair.land_t1, pair.land_t2))
    expected = "a7a8b4a17d6aa3de763115b74507b2620f9364f3b33ad4a27185ca8b1b23eab6"
    assert (GENERATOR_VERSION, hashlib.sha256(land).hexdigest()) == (1, expected)


def test_the_hash_sees_one_pixel_and_one_label(fake_data_root: Path) -> None:
    fixed = validation_pairs("composite", "test", 2, 0, root=fake_data_root)
    for name in ("image_t2", "land_t1"):
        array = getattr(fixed.pairs[1], name)
        array.setflags(write=True)
        array.flat[77] ^= 1
        assert pairs_sha256(fixed.pairs) != fixed.sha256
        array.flat[77] ^= 1
    assert pairs_sha256(fixed.pairs) == fixed.sha256
    assert pairs_sha256(fixed.pairs[::-1]) != fixed.sha256


def test_scenes_differ_between_splits() -> None:
    validation, test = (validation_pairs("scene", split, 1, 0) for split in ("validation", "test"))
    assert validation.sha256 != test.sha256
    assert not np.array_equal(validation.pairs[0].image_t1, test.pairs[0].image_t1)


def test_footprint_pairs_know_buildings_alone(fake_data_root: Path) -> None:
    fixed = validation_pairs("footprint", "validation", 6, 0, root=fake_data_root)
    codes = {int(v) for pair in fixed.pairs for land in (pair.land_t1, pair.land_t2) for v in np.unique(land)}
    assert codes == {LandCover.BUILDING, LandCover.NOT_BUILDING}
    assert any((pair.land_t1 != pair.land_t2).any() for pair in fixed.pairs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("composite", "train", 1, 0), "split is 'train'; give validation or test"),
        (("photo", "test", 1, 0), "kind is 'photo'; give composite, scene or footprint"),
        (("footprint", "test", 1, 0), "footprint pairs are there for validation only"),
        (("composite", "test", 0, 0), "count is 0"),
    ],
)
def test_wrong_lists_are_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        validation_pairs(*arguments)  # type: ignore[arg-type]


def test_real_tiles_give_one_known_kind_of_list(real_data_root: Path) -> None:
    validation = validation_pairs("composite", "validation", 8, 0, root=real_data_root)
    test = validation_pairs("composite", "test", 8, 0, root=real_data_root)
    assert validation.sha256 != test.sha256
    assert sum((p.land_t1 != p.land_t2).any() for p in (*validation.pairs, *test.pairs)) >= 8
