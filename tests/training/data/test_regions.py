import numpy as np
import pytest

from training.data.regions import blob, bounds, feather, grow, label_region, polygon


@pytest.mark.parametrize("shape", [blob, polygon])
def test_shapes_are_near_their_center_and_size(shape: object) -> None:
    assert callable(shape)
    areas = []
    for seed in range(40):
        mask = shape(np.random.default_rng(seed), (128, 128), (64.0, 64.0), 20.0)
        assert mask.shape == (128, 128)
        top, left, bottom, right = bounds(mask)
        assert min(top, left) >= 0
        assert 20 <= (top + bottom) / 2 <= 108
        assert 20 <= (left + right) / 2 <= 108
        areas.append(mask.sum())
    assert 0.2 < np.mean(areas) / (np.pi * 20**2) < 2.5


def test_label_region_is_one_part_of_the_class() -> None:
    members = np.zeros((64, 64), dtype=bool)
    members[4:20, 4:20] = members[30:50, 30:50] = True
    members[60, 60] = True
    parts = [members.copy(), members.copy()]
    parts[0][25:], parts[1][:25], parts[1][55:] = False, False, False
    seen = set()
    for seed in range(20):
        region = label_region(np.random.default_rng(seed), members, largest=1000)
        assert region is not None
        matches = [np.array_equal(region, part) for part in parts]
        assert sum(matches) == 1
        seen.add(matches.index(True))
    assert seen == {0, 1}


def test_label_region_may_take_neighbours_up_to_the_largest() -> None:
    members = np.zeros((64, 64), dtype=bool)
    for row in range(4, 60, 14):
        members[row : row + 9, 8:17] = True
    sizes = {
        int(region.sum())
        for seed in range(30)
        if (region := label_region(np.random.default_rng(seed), members, largest=170, most=4)) is not None
    }
    assert sizes == {81, 162}


def test_large_region_is_cut_and_small_ones_are_no_candidates() -> None:
    everything = np.ones((128, 128), dtype=bool)
    for seed in range(20):
        region = label_region(np.random.default_rng(seed), everything, largest=1500)
        assert region is None or 60 <= region.sum() < 5000
    crumbs = np.zeros((64, 64), dtype=bool)
    crumbs[::8, ::8] = True
    assert label_region(np.random.default_rng(0), crumbs, largest=1500) is None


def test_grow_reaches_so_many_pixels() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[4, 4] = True
    assert grow(mask, 2).sum() == 25
    assert grow(mask, 0) is mask


def test_feather_is_half_at_the_edge_and_hard_at_zero() -> None:
    mask = np.zeros((40, 40), dtype=bool)
    mask[:, :20] = True
    np.testing.assert_array_equal(feather(mask, 0.0), mask)
    soft = feather(mask, 4.0)
    np.testing.assert_array_equal(soft > 0.5, mask)
    assert 0.2 < soft[20, 20] < 0.5 < soft[20, 19] < 0.8
    assert soft[20, 5] == 1
    assert soft[20, 35] == 0
