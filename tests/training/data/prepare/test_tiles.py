"""Cutting pairs: every pixel counts once, and what is beyond the edge counts nowhere."""

import numpy as np
import pytest

from reasoncd.errors import InvalidInputError
from training.data.labels import UNKNOWN
from training.data.prepare.tiles import check_tile, tiles_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("height", "width"), [(64, 96), (70, 100), (90, 65), (40, 200)])
def test_every_pixel_counts_once(height: int, width: int) -> None:
    side = 32
    counted = np.zeros((height, width), int)
    numbers = np.arange(height * width, dtype=np.int64).reshape(height, width)
    for tile in tiles_of(height, width, side):
        mask = tile.mask(np.zeros((height, width), np.uint8))
        assert mask.shape == (side, side)
        here = np.s_[tile.top : tile.top + side, tile.left : tile.left + side]
        counted[here] += mask != UNKNOWN
        rgb = np.stack([numbers % 256] * 3, axis=-1).astype(np.uint8)
        np.testing.assert_array_equal(tile.cut(rgb), rgb[here])
        np.testing.assert_array_equal(tile.hidden(height, width), mask == UNKNOWN)
    # Strips narrower than an eighth of a tile are left out.
    seen_height = height if height % side >= 4 else height // side * side
    seen_width = width if width % side >= 4 else width // side * side
    assert (counted[:seen_height, :seen_width] == 1).all()
    assert counted.sum() == seen_height * seen_width


def test_a_small_picture_is_mirrored_and_unknown_beyond_its_edge() -> None:
    picture = np.arange(20 * 24 * 3, dtype=np.uint8).reshape(20, 24, 3)
    (tile,) = tiles_of(20, 24, 32)
    cut = tile.cut(picture)
    np.testing.assert_array_equal(cut[:20, :24], picture)
    np.testing.assert_array_equal(cut[20:, :24], picture[:7:-1])
    mask = tile.mask(np.ones((20, 24), np.uint8))
    assert (mask[:20, :24] == 1).all()
    assert (mask == UNKNOWN).sum() == 32 * 32 - 20 * 24


@pytest.mark.parametrize("side", [0, 31, 4097])
def test_sides_out_of_bounds_are_refused(side: int) -> None:
    with pytest.raises(InvalidInputError, match=f"tile is {side}; give 32 to 4096"):
        check_tile(side)
    check_tile(None)
