"""Splitting names: by chance, as published, and in bands with gaps."""

from collections import Counter

import pytest

from reasoncd.errors import InvalidInputError
from training.data.parts import Part, bands, eight_one_one, settle

pytestmark = pytest.mark.unit

NAMES = [f"p{i:03}" for i in range(60)]


def test_dealing_is_eight_one_one_and_follows_names_and_seed_alone() -> None:
    parts = eight_one_one(NAMES, seed=5)
    assert Counter(parts.values()) == {"train": 48, "validation": 6, "test": 6}
    assert eight_one_one(NAMES[::-1], seed=5) == parts
    assert eight_one_one(NAMES, seed=6) != parts
    with pytest.raises(InvalidInputError, match="2 pairs cannot be split"):
        eight_one_one(NAMES[:2], seed=0)
    with pytest.raises(InvalidInputError, match="seed is -1"):
        eight_one_one(NAMES, seed=-1)


def test_the_papers_count_gives_the_papers_parts() -> None:
    counts = Counter(eight_one_one([str(i) for i in range(7434)], seed=0).values())
    assert counts == {"train": 5948, "validation": 743, "test": 743}


def test_published_parts_stay_and_only_validation_is_made_up() -> None:
    published: dict[str, Part | None] = {name: "train" if i < 40 else "test" for i, name in enumerate(NAMES)}
    parts = settle(published, seed=1)
    assert Counter(parts.values()) == {"train": 36, "validation": 4, "test": 20}
    assert all(parts[name] == "test" for name in NAMES[40:])
    whole: dict[str, Part | None] = {"a": "train", "b": "validation", "c": "test"}
    assert settle(whole, seed=1) == whole
    assert settle({"a": "train", "b": "train"}, seed=0).keys() == {"a", "b"}
    assert set(settle({"a": "train", "b": "validation"}, seed=0).values()) == {"train", "validation"}
    assert settle({"a": "train"}, seed=0) == {"a": "train"}
    assert settle(dict.fromkeys(NAMES), seed=3) == eight_one_one(NAMES, seed=3)


@pytest.mark.parametrize("length", [5, 12, 59, 126])
@pytest.mark.parametrize("gap", [1, 3])
def test_bands_are_apart_and_of_the_right_size(length: int, gap: int) -> None:
    if length < 2 * gap + 3:
        with pytest.raises(InvalidInputError, match=f"{length} tiles in a row are too few"):
            bands(length, gap)
        return
    found = bands(length, gap)
    assert len(found) == length
    assert found.count(None) == 2 * gap
    tenth = max(1, round((length - 2 * gap) / 10))
    assert found.count("validation") == found.count("test") == tenth
    for here, part in enumerate(found):
        near = {found[i] for i in range(max(0, here - gap), min(length, here + gap + 1))} - {None}
        assert part is None or near == {part}
    with pytest.raises(InvalidInputError, match="gap is 0"):
        bands(length, 0)
