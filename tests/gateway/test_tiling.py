"""Tiles cover the image, weights sum to one, and one tile comes out as it went in."""

from itertools import pairwise

import numpy as np
import pytest

from gateway.tiling import Blend, Tiling

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "size", [(16, 16), (16, 700), (255, 257), (256, 256), (300, 449), (448, 449), (700, 513)]
)
def test_windows_cover_the_image_with_the_overlap(size: tuple[int, int]) -> None:
    tiling = Tiling(height=size[0], width=size[1], side=256, overlap=64)
    seen = np.zeros(size, dtype=int)
    for window in tiling.windows:
        assert 0 <= window.top <= size[0] - window.height
        assert 0 <= window.left <= size[1] - window.width
        seen[window.top : window.top + window.height, window.left : window.left + window.width] += 1
    assert seen.min() == 1
    for starts in (sorted({w.top for w in tiling.windows}), sorted({w.left for w in tiling.windows})):
        assert all(later - earlier <= 256 - 64 for earlier, later in pairwise(starts))


@pytest.mark.parametrize("size", [(16, 700), (257, 300), (449, 700)])
def test_a_constant_stays_constant_across_seams(size: tuple[int, int]) -> None:
    tiling = Tiling(height=size[0], width=size[1], side=256)
    blend = Blend(tiling, 2)
    for window in tiling.windows:
        blend.add(window, np.stack([np.full((256, 256), v, np.float32) for v in (3.5, -7)]))
    np.testing.assert_allclose(blend.logits[0], 3.5, rtol=1e-6)
    np.testing.assert_allclose(blend.logits[1], -7, rtol=1e-6)


def test_a_map_that_tiles_agree_on_is_given_back() -> None:
    whole = np.random.default_rng(0).normal(size=(1, 130, 200)).astype(np.float32)
    tiling = Tiling(height=130, width=200, side=64, overlap=16)
    blend = Blend(tiling, 1)
    for w in tiling.windows:
        blend.add(w, whole[:, w.top : w.top + 64, w.left : w.left + 64])
    np.testing.assert_allclose(blend.logits, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (16, 64), (17, 33)])
def test_one_tile_is_bit_for_bit_what_was_decoded(size: tuple[int, int]) -> None:
    logits = np.random.default_rng(1).normal(size=(3, 64, 64)).astype(np.float32)
    tiling = Tiling(height=size[0], width=size[1], side=64)
    (window,) = tiling.windows
    blend = Blend(tiling, 3)
    blend.add(window, logits)
    assert blend.logits.tobytes() == np.ascontiguousarray(logits[:, : size[0], : size[1]]).tobytes()


def test_a_disagreement_at_a_seam_fades_without_a_step() -> None:
    tiling = Tiling(height=64, width=112, side=64, overlap=16)
    blend = Blend(tiling, 1)
    for value, window in zip((0.0, 1.0), tiling.windows, strict=True):
        blend.add(window, np.full((1, 64, 64), value, np.float32))
    row = blend.logits[0, 0]
    assert row[:48].max() == 0
    assert row[64:].min() == 1
    assert np.diff(row).min() >= 0
    assert np.diff(row).max() < 0.15


def test_a_small_image_is_mirrored_to_the_tile() -> None:
    images = np.random.default_rng(2).integers(0, 256, (2, 20, 50, 3), dtype=np.uint8)
    tiling = Tiling(height=20, width=50, side=64)
    tile = tiling.cut(images, tiling.windows[0])
    assert tile.shape == (2, 64, 64, 3)
    assert tile.flags.c_contiguous
    np.testing.assert_array_equal(tile[:, :20, :50], images)
    np.testing.assert_array_equal(tile[:, 20:38, :50], images[:, 18:0:-1])


def test_an_overlap_as_wide_as_the_tile_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap is 64"):
        Tiling(height=100, width=100, side=64, overlap=64)
