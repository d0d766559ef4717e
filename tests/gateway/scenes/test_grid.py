"""Tiles cover a scene, share it by weights, and cost what its pixels cost."""

import numpy as np
import pytest

from gateway.scenes import SceneSettings
from gateway.scenes.grid import scene_tiling
from gateway.tiling import Tiling

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("size", [(16, 16), (256, 300), (1024, 1025), (1030, 1990), (2048, 2500)])
def test_weights_sum_to_one_and_are_one_where_a_tile_lies_alone(size: tuple[int, int]) -> None:
    tiling = scene_tiling(*size, 256, SceneSettings())
    total, count = np.zeros(size), np.zeros(size, dtype=int)
    for window in tiling.windows:
        part = (
            slice(window.top, window.top + window.height),
            slice(window.left, window.left + window.width),
        )
        weights = tiling.weights(window)
        assert weights.min() > 0
        total[part] += weights
        count[part] += 1
    assert count.min() >= 1
    assert np.allclose(total, 1) and (total[count == 1] == 1).all()


def test_no_tile_is_shorter_than_what_the_model_decodes() -> None:
    for extent in range(256, 2300, 37):
        for window in scene_tiling(extent, extent, 256, SceneSettings()).windows:
            assert 256 <= min(window.height, window.width) <= max(window.height, window.width) <= 1024


@pytest.mark.parametrize("extent", [4096, 8192, 12_288, 16_384, 20_000])
def test_all_sizes_cost_alike(extent: int) -> None:
    tiling = scene_tiling(extent, extent, 256, SceneSettings())
    squares = sum(
        len(Tiling(height=window.height, width=window.width, side=256).windows) for window in tiling.windows
    )
    # A square of 256 with a quarter's overlap stands for 192 x 192 pixels.
    assert squares * 192**2 / extent**2 == pytest.approx(1, abs=0.07)
