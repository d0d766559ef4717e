from pathlib import Path

import numpy as np
import pytest

from reasoncd.errors import InvalidInputError
from reasoncd.ontology import TARGET_BY_KEY
from training.data.augment import PhotometricConfig
from training.data.labels import LandCover, target_mask
from training.data.real_pairs import RealPairConfig, RealPairSource
from training.data.real_tiles import fotbcd_pairs, xbd_pairs

STILL = PhotometricConfig(gain=0, bias=0, gamma=0, haze=0, noise=0, blur=0, season=0)
GAIN, LOSS = TARGET_BY_KEY["building.gain"], TARGET_BY_KEY["building.loss"]


def test_a_seed_decides_the_crop(fake_data_root: Path) -> None:
    source = RealPairSource(root=fake_data_root)
    first, again = (source.sample(np.random.default_rng(1), size=64) for _ in range(2))
    np.testing.assert_array_equal(first.image_t2, again.image_t2)
    assert first.image_t1.shape == (64, 64, 3)


def test_swapped_dates_turn_gain_into_loss(fake_data_root: Path) -> None:
    forward, backward = (
        RealPairSource(
            RealPairConfig(footprints=1, change_only=0, standing=0, swap=swap, photometric=STILL),
            root=fake_data_root,
        )
        for swap in (0.0, 1.0)
    )
    gained = 0
    for seed in range(10):
        pair = forward.sample(np.random.default_rng(seed), size=64)
        swapped = backward.sample(np.random.default_rng(seed), size=64)
        np.testing.assert_array_equal(pair.image_t1, swapped.image_t2)
        np.testing.assert_array_equal(pair.image_t2, swapped.image_t1)
        np.testing.assert_array_equal(target_mask(pair, GAIN), target_mask(swapped, LOSS))
        gained += int((target_mask(pair, GAIN) == 1).any())
    assert gained > 3


def test_crops_keep_what_their_pair_knows(fake_data_root: Path) -> None:
    source = RealPairSource(root=fake_data_root)
    seen = set()
    for seed in range(40):
        pair = source.sample(np.random.default_rng(seed), size=64)
        known = "land" if pair.building_change is None else "change"
        seen.add((pair.origin, known))
        if known == "change":
            assert pair.building_change is not None
            assert not pair.land_t1.any()
            assert set(np.unique(pair.building_change)) <= {0, 1}
        else:
            assert set(np.unique(pair.land_t1)) <= {LandCover.BUILDING, LandCover.NOT_BUILDING}
        if pair.origin == "xbd":
            np.testing.assert_array_equal(pair.land_t1, pair.land_t2)
    assert seen == {("fotbcd", "land"), ("fotbcd", "change"), ("xbd", "land")}


def test_a_crop_shows_pixels_of_training_pairs_only(fake_data_root: Path) -> None:
    config = RealPairConfig(scale=(1.0, 1.0), misregistration=0.0, photometric=STILL)
    source = RealPairSource(config, root=fake_data_root)
    whole = [p for _, p in (*fotbcd_pairs("train", fake_data_root), *xbd_pairs("train", fake_data_root))]
    colours = {
        tuple(c) for p in whole for i in (p.image_t1, p.image_t2) for c in i[4::8, 4::8].reshape(-1, 3)
    }
    for seed in range(10):
        pair = source.sample(np.random.default_rng(seed), size=64)
        found = np.array([tuple(c) in colours for c in pair.image_t1.reshape(-1, 3)])
        assert found.mean() > 0.5  # the rest lies between two blocks of colour


def test_shares_must_make_a_whole() -> None:
    with pytest.raises(InvalidInputError, match="must sum to 1"):
        RealPairConfig(standing=0.9)
    with pytest.raises(InvalidInputError, match=r"swap is 1\.5"):
        RealPairConfig(swap=1.5)


def test_small_crops_are_refused(fake_data_root: Path) -> None:
    with pytest.raises(InvalidInputError, match="crop size is 8"):
        RealPairSource(root=fake_data_root).sample(np.random.default_rng(0), size=8)


def test_real_crops_gain_and_lose_buildings(real_data_root: Path) -> None:
    source = RealPairSource(root=real_data_root)
    pairs = [source.sample(np.random.default_rng([2, n])) for n in range(40)]
    for target in (GAIN, LOSS):
        assert sum(bool((target_mask(p, target) == 1).any()) for p in pairs) >= 2
