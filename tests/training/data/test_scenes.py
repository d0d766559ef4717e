"""Drawn scenes: reproducible, fully labelled, balanced, and drawn where the labels say."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from reasoncd.errors import InvalidInputError
from reasoncd.ontology import CLASSES, TARGETS
from training.data.labels import LabelledPair, LandCover, target_masks
from training.data.scene_light import Light, slope_shade, sunlit
from training.data.scene_sensor import misregister
from training.data.scenes import render_pair

FULL = {c.value for c in LandCover} - {
    LandCover.UNKNOWN.value,
    LandCover.VEGETATION.value,
    LandCover.NOT_BUILDING.value,
}


@pytest.fixture(scope="module")
def pairs() -> list[LabelledPair]:
    return [render_pair(np.random.default_rng([7, seed]), size=128) for seed in range(160)]


def sunlight(azimuth: float) -> Light:
    return Light(azimuth=azimuth, elevation=np.pi / 4, shade=0.4, green=1.0, autumn=0.0, glint=0.0)


@pytest.mark.parametrize("size", [64, 256, 512])
def test_size_dtype_and_codes(size: int) -> None:
    pair = render_pair(np.random.default_rng(size), size=size)
    assert pair.origin == "scene"
    assert pair.building_change is None
    for image, land in ((pair.image_t1, pair.land_t1), (pair.image_t2, pair.land_t2)):
        assert image.shape == (size, size, 3)
        assert image.dtype == land.dtype == np.uint8
        assert land.shape == (size, size)
        assert set(np.unique(land).tolist()) <= FULL
        assert image.std() > 3


def test_too_small_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="size is 32"):
        render_pair(np.random.default_rng(0), size=32)


def test_equal_generators_give_equal_pairs_and_others_differ() -> None:
    one, same, other = (render_pair(np.random.default_rng(s), size=96) for s in (5, 5, 6))
    for name in ("image_t1", "image_t2", "land_t1", "land_t2"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    assert (one.image_t1 != other.image_t1).any()


def test_one_generator_goes_on() -> None:
    rng = np.random.default_rng(5)
    first, second = render_pair(rng, size=64), render_pair(rng, size=64)
    assert (first.image_t1 != second.image_t1).any()


def test_share_of_unchanged_pairs_and_changed_area(pairs: list[LabelledPair]) -> None:
    area = np.array([(p.land_t1 != p.land_t2).mean() for p in pairs])
    assert 0.07 < (area == 0).mean() < 0.27
    assert 0.03 < area.mean() < 0.25
    # Unchanged land is still photographed twice.
    for pair, changed in zip(pairs, area, strict=True):
        if not changed:
            assert np.abs(pair.image_t1.astype(int) - pair.image_t2).mean() > 1


def test_every_class_is_gained_and_lost_often(pairs: list[LabelledPair]) -> None:
    simple = [t for t in TARGETS if t.direction in ("gain", "loss")]
    assert {t.cls for t in simple} == set(CLASSES)
    present = np.mean([target_masks(p, simple).reshape(len(simple), -1).sum(1) >= 20 for p in pairs], axis=0)
    for target, share in zip(simple, present.tolist(), strict=True):
        assert share >= (0.05 if target.cls == "playground" else 0.08), (target.key, share)


def mean_colour(pairs: list[LabelledPair], *codes: LandCover) -> NDArray[np.float64]:
    """Mean over pairs of a class's mean colour, (3,)."""
    means = []
    for pair in pairs:
        here = np.isin(pair.land_t1, codes)
        if here.sum() > 50:
            means.append(pair.image_t1[here].mean(0))
    return np.asarray(np.mean(means, axis=0), dtype=np.float64)


def test_colours_fit_the_labels(pairs: list[LabelledPair]) -> None:
    green = mean_colour(pairs, LandCover.LOW_VEGETATION, LandCover.TREE)
    soil, water = mean_colour(pairs, LandCover.BARE_GROUND), mean_colour(pairs, LandCover.WATER)
    road, tree = mean_colour(pairs, LandCover.ROAD), mean_colour(pairs, LandCover.TREE)
    assert green[1] > green[0] > green[2]
    assert soil[0] > soil[1] > soil[2]
    assert water[2] > water[0]
    assert np.ptp(road) < np.ptp(soil)
    assert tree.mean() < green.mean() < soil.mean()


def edge_contrast(image: NDArray[np.uint8], land: NDArray[np.uint8], shift: int) -> float:
    """Mean step of the image across label borders, the labels moved sideways by `shift`."""
    step = np.abs(np.diff(image.astype(float).mean(2), axis=1))
    border = np.diff(np.roll(land, shift, axis=1).astype(int), axis=1) != 0
    return float(step[:, 16:-16][border[:, 16:-16]].mean())


@pytest.mark.parametrize("date", [1, 2])
def test_image_edges_lie_on_label_borders(pairs: list[LabelledPair], date: int) -> None:
    """Labels moved by 8 pixels lose most of the contrast; the later date bears misregistration."""
    there, beside = [], []
    for pair in pairs[:60]:
        image, land = getattr(pair, f"image_t{date}"), getattr(pair, f"land_t{date}")
        if (np.diff(land[:, 16:-16].astype(int), axis=1) != 0).sum() > 50:
            there.append(edge_contrast(image, land, 0))
            beside.append(edge_contrast(image, land, 8))
    assert len(there) > 30
    assert np.mean(there) > 1.4 * np.mean(beside)


def test_misregistration_stays_within_two_pixels() -> None:
    """Images that hold their own coordinates tell how far each pixel was moved."""
    x, y = np.meshgrid(np.arange(256, dtype=np.float32), np.arange(256, dtype=np.float32))
    farthest = []
    for seed in range(20):
        off = [
            (np.asarray(misregister(Image.fromarray(ramp), 8, np.random.default_rng(seed))) - ramp)[
                8:-8, 8:-8
            ]
            for ramp in (x, y)
        ]
        farthest.append(float(np.hypot(*off).max()))
    assert max(farthest) <= 2.01
    assert min(farthest) > 0.1
    assert max(farthest) > 1.0


def test_shadows_fall_away_from_the_sun_as_far_as_its_height_says() -> None:
    height = np.zeros((64, 64), dtype=np.float32)
    height[24:40, 24:32] = 10.0
    # 45 degrees and one metre a pixel: a wall of ten metres throws a shadow of ten pixels.
    lit = sunlit(height, sunlight(azimuth=0.0), 1.0)
    assert (lit[28:36, 16:23] < 0.5).all()
    assert (lit[28:36, 2:12] > 0.9).all()
    assert (lit[28:36, 34:60] > 0.9).all()
    assert (lit[28:36, 26:31] > 0.9).all()


def test_slopes_towards_the_sun_are_brighter() -> None:
    x = np.arange(32, dtype=np.float32)
    ridge = np.tile(np.minimum(x, 31 - x), (8, 1))
    shade = slope_shade(ridge, sunlight(azimuth=np.pi), 1.0, 0.5)
    assert (shade[:, 4:12] > 1).all()
    assert (shade[:, 20:28] < 1).all()
