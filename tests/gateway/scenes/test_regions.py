"""Regions of a map in blocks are those of the whole map."""

import numpy as np
import pytest
import shapely

from gateway.polygons import Place, find_places
from gateway.scenes.regions import RegionFinder
from gateway.tiling import Window

pytestmark = pytest.mark.unit


def _in_blocks(change: np.ndarray, probability: np.ndarray, block: int) -> list[Place]:
    found: list[Place] = []
    height, width = change.shape
    finder = RegionFinder(width, found.append)
    for top in range(0, height, block):
        for left in range(0, width, block):
            window = Window(
                top=top, left=left, height=min(block, height - top), width=min(block, width - left)
            )
            part = slice(top, top + window.height), slice(left, left + window.width)
            finder.add(window, change[part], probability[part])
    finder.finish()
    return found


def _facts(places: list[Place]) -> list[tuple[object, ...]]:
    return sorted(
        (shapely.normalize(p.polygon.simplify(0)).wkt, p.area_px, round(p.mean_probability, 5))
        for p in places
    )


@pytest.mark.parametrize("share", [0.02, 0.3, 0.55, 0.7, 1.0])
@pytest.mark.parametrize("block", [7, 16, 64])
def test_blocks_give_the_regions_of_the_whole_map(share: float, block: int) -> None:
    random = np.random.default_rng(3)
    change = random.random((50, 61)) < share
    probability = random.random((50, 61)).astype(np.float32)
    whole = find_places(change, probability)
    assert _facts(_in_blocks(change, probability, block)) == _facts(list(whole.drawn))


def test_holes_over_borders_of_blocks_are_kept() -> None:
    change = np.ones((40, 40), dtype=np.bool_)
    change[10:30, 12:28] = False
    change[18:22, 18:22] = True
    places = _in_blocks(change, change.astype(np.float32), 16)
    ring, island = sorted(places, key=lambda place: -place.area_px)
    assert [len(place.polygon.interiors) for place in (ring, island)] == [1, 0]
    assert ring.polygon.area == 40 * 40 - 20 * 16 and island.polygon.area == 16


def test_memory_holds_open_regions_only() -> None:
    found: list[Place] = []
    finder = RegionFinder(32, found.append)
    change = np.zeros((16, 32), dtype=np.bool_)
    change[4:12, 4:28] = True
    for top in range(0, 64, 16):
        for left in (0, 16):
            part = change[:, left : left + 16]
            finder.add(Window(top=top, left=left, height=16, width=16), part, part.astype(np.float32))
        # What touches no lower edge is given out with its row of blocks.
        assert len(found) == top // 16 + 1
