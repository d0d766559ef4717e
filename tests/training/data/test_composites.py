from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from reasoncd.errors import InvalidInputError
from training.data.augment import PhotometricConfig
from training.data.composite_config import CompositeConfig
from training.data.composites import MAIN_COVERS, CompositeSource
from training.data.labels import LabelledPair, LandCover
from training.data.pasting import Canvas, Patch, lay
from training.data.real_tiles import LabelledImage, dubai_tiles, footprint_tiles

STILL = PhotometricConfig(gain=0, bias=0, gamma=0, haze=0, noise=0, blur=0, season=0)
SHADES = np.array([10 + 24 * code for code in LandCover], dtype=np.uint8)
"""Grey of each land cover in the generated tiles; red tells the tile."""


def plain(**changes: object) -> CompositeConfig:
    """No light, no blending, no resampling: pixels show where they come from."""
    settings: dict[str, object] = {
        "scale": (1.0, 1.0),
        "footprint_scale": (1.0, 1.0),
        "max_tilt": 0.0,
        "misregistration": 0.0,
        "feather": 0.0,
        "color_match": 0.0,
        "photometric": STILL,
    }
    return CompositeConfig(**(settings | changes))  # type: ignore[arg-type]


def make_tile(number: int, covers: tuple[LandCover, ...], side: int = 200) -> LabelledImage:
    """Flat grey blocks by land cover, with the tile's number in the red channel."""
    rng = np.random.default_rng(number)
    cells = rng.choice(np.array(covers, dtype=np.uint8), (side // 20, side // 20))
    land = np.kron(cells, np.ones((20, 20))).astype(np.uint8)
    image = np.repeat(SHADES[land][..., None], 3, axis=2)
    image[..., 0] = 20 * number
    return LabelledImage(image=image, land=land, name=f"made/{number}", group=f"g{number}")


GROUND = [make_tile(n, MAIN_COVERS) for n in range(1, 6)]
FOOTPRINTS = [make_tile(n, (LandCover.BUILDING, LandCover.NOT_BUILDING)) for n in range(6, 9)]


def draw(source: CompositeSource, count: int, size: int = 128) -> list[LabelledPair]:
    return [source.sample(np.random.default_rng([9, n]), size=size) for n in range(count)]


def inner(land: np.ndarray) -> np.ndarray:
    """Pixels whose 3 x 3 neighbourhood has one label, so that no neighbour was resampled into them."""
    return np.asarray(ndimage.maximum_filter(land, 3) == ndimage.minimum_filter(land, 3))


def test_a_seed_decides_the_pair() -> None:
    source = CompositeSource([*GROUND, *FOOTPRINTS])
    first, again = (source.sample(np.random.default_rng(3), size=96) for _ in range(2))
    other_source = CompositeSource([*GROUND, *FOOTPRINTS]).sample(np.random.default_rng(3), size=96)
    for name in ("image_t1", "image_t2", "land_t1", "land_t2"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        np.testing.assert_array_equal(getattr(first, name), getattr(other_source, name))
    assert not np.array_equal(first.image_t1, source.sample(np.random.default_rng(4), size=96).image_t1)
    assert first.origin == "composite"
    assert first.image_t1.shape == (96, 96, 3)


def test_labels_follow_the_pasted_pixels() -> None:
    source = CompositeSource([*GROUND, *FOOTPRINTS], plain())
    changed = 0
    for pair in draw(source, 40):
        for image, land in ((pair.image_t1, pair.land_t1), (pair.image_t2, pair.land_t2)):
            flat = inner(land)
            wrong = np.abs(image[..., 1].astype(int) - SHADES[land])[flat] > 2
            assert wrong.mean() < 0.01  # crops are off the pixel grid: thin strips lie between two shades
        changed += int((pair.land_t1 != pair.land_t2).any())
    assert changed > 25


def test_images_change_where_labels_do() -> None:
    pixels = []
    for pair in draw(CompositeSource(GROUND, plain()), 20):
        moved = (pair.land_t1 != pair.land_t2) & inner(pair.land_t1) & inner(pair.land_t2)
        pixels.append((pair.image_t1[..., 1] != pair.image_t2[..., 1])[moved])
    together = np.concatenate(pixels)
    assert together.size > 1000
    assert together.mean() > 0.98


def test_without_change_pixels_are_pasted_but_no_label_moves() -> None:
    seams = 0
    for pair in draw(CompositeSource([*GROUND, *FOOTPRINTS], plain(unchanged=1.0)), 40):
        np.testing.assert_array_equal(pair.land_t1, pair.land_t2)
        seams += int((pair.image_t1[..., 0] != pair.image_t2[..., 0]).any())
    assert seams > 10  # same-class pastes, seen by the tile's number in red


def test_without_change_ever_some_pairs_have_no_paste() -> None:
    pairs = draw(CompositeSource(GROUND, plain(unchanged=1.0)), 40)
    assert (
        sum(np.array_equal(p.image_t1, p.image_t2) and len(np.unique(p.image_t1[..., 0])) == 1 for p in pairs)
        > 3
    )


def test_share_of_pairs_without_change() -> None:
    pairs = draw(CompositeSource(GROUND), 150, size=64)
    share = np.mean([np.array_equal(p.land_t1, p.land_t2) for p in pairs])
    assert 0.12 < share < 0.3


def test_gain_and_loss_are_alike_and_no_class_is_rare() -> None:
    pairs = draw(CompositeSource(GROUND, plain()), 200, size=96)
    for cover in MAIN_COVERS:
        gain = np.mean([((p.land_t2 == cover) & (p.land_t1 != cover)).sum() >= 40 for p in pairs])
        loss = np.mean([((p.land_t1 == cover) & (p.land_t2 != cover)).sum() >= 40 for p in pairs])
        assert min(gain, loss) >= 0.25
        assert abs(gain - loss) < 0.12


def test_both_dates_carry_pastes() -> None:
    pairs = draw(CompositeSource(GROUND, plain(unchanged=0.0)), 60)
    # A date with one tile's red alone was not pasted into.
    touched = np.array([[len(np.unique(i[..., 0])) > 1 for i in (p.image_t1, p.image_t2)] for p in pairs])
    assert touched[:, 0].mean() > 0.5
    assert abs(touched[:, 0].mean() - touched[:, 1].mean()) < 0.25


def test_footprint_bases_gain_and_lose_buildings_only() -> None:
    source = CompositeSource([*GROUND, *FOOTPRINTS], plain(footprint_base=1.0, unchanged=0.0))
    pairs = draw(source, 40)
    shown = {int(v) for p in pairs for m in (p.land_t1, p.land_t2) for v in np.unique(m)}
    assert shown == {LandCover.BUILDING, LandCover.NOT_BUILDING}
    moved = [p for p in pairs if (p.land_t1 != p.land_t2).any()]
    assert len(moved) > 20


def test_ground_bases_receive_no_half_known_ground() -> None:
    source = CompositeSource([*GROUND, *FOOTPRINTS], plain(footprint_base=0.0, unchanged=0.0))
    for pair in draw(source, 40):
        assert not (pair.land_t1 == LandCover.NOT_BUILDING).any()
        assert not (pair.land_t2 == LandCover.NOT_BUILDING).any()


def test_misregistration_moves_pixels_but_no_label() -> None:
    pairs = draw(CompositeSource(GROUND, plain(unchanged=1.0, misregistration=2.0)), 20)
    assert all(np.array_equal(p.land_t1, p.land_t2) for p in pairs)
    assert sum(not np.array_equal(p.image_t1, p.image_t2) for p in pairs) >= 10


def test_lay_blends_and_labels_by_the_stronger_half() -> None:
    canvas = Canvas(
        images=(np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 3), np.uint8)),
        lands=(np.full((32, 32), 2, np.uint8), np.full((32, 32), 2, np.uint8)),
        footprint=False,
    )
    region = np.zeros((20, 20), dtype=bool)
    region[5:15, 5:15] = True
    patch = Patch(
        image=np.full((20, 20, 3), 200, np.uint8),
        land=np.full((20, 20), 5, np.uint8),
        region=region,
        top=-5,
        left=20,
    )
    lay(canvas, patch, dates=(1,), width=3.0, match=0.0)
    (paste,) = canvas.pastes
    np.testing.assert_array_equal(paste.region, canvas.lands[1] == 5)
    assert (paste.dates, paste.width, paste.keep_land) == ((1,), 3.0, False)
    assert not canvas.images[0].any()
    assert (canvas.lands[0] == 2).all()
    np.testing.assert_array_equal(canvas.lands[1] == 5, canvas.images[1][..., 0] > 100)
    assert (canvas.lands[1][:9, 26:32] == 5).all()
    assert (canvas.lands[1][12:] == 2).all()


def test_tiles_without_two_classes_and_odd_settings_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="fewer than two main classes"):
        CompositeSource(FOOTPRINTS)
    with pytest.raises(InvalidInputError, match="size is 16"):
        CompositeSource(GROUND).sample(np.random.default_rng(0), size=16)
    with pytest.raises(InvalidInputError, match="composite removal is 2"):
        CompositeConfig(removal=2)
    with pytest.raises(InvalidInputError, match="scale is 2 to 1"):
        CompositeConfig(scale=(2, 1))
    with pytest.raises(InvalidInputError, match="paste_counts"):
        CompositeConfig(paste_counts=(0.5, 0.1))


def test_real_composites_are_whole_and_varied(real_data_root: Path) -> None:
    source = CompositeSource(
        (*dubai_tiles("train", real_data_root), *footprint_tiles("train", real_data_root))
    )
    pairs = draw(source, 24, size=256)
    moved = {int(v) for p in pairs for v in np.unique(p.land_t2[p.land_t1 != p.land_t2])}
    assert moved >= set(MAIN_COVERS)
    # No corner of a crop lies outside its tile, where pixels would be black and unlabelled alike.
    assert all((p.image_t1.max(axis=2) > 0).mean() > 0.5 for p in pairs)
