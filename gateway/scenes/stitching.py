"""Finished tiles as one smooth map, block by block: no more than a few tiles are ever in memory.

Where tiles overlap, their logits are averaged with the weights of `gateway.scenes.grid`, which fall off
towards a tile's edge; where one tile lies alone, its probabilities pass untouched, bit for bit. A tile that
failed leaves its place to its neighbours where they overlap it, and else no data.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.scenes.grid import SceneTiling
from gateway.scenes.tile_store import NO_DATA, TileStore
from gateway.tiling import Window

BLOCK = 1024
"""Side of what is stitched at a time, a multiple of the rasters' own blocks, in pixels."""

_EDGE = 1e-7
"""Probabilities are kept so far from 0 and 1 that their logits stay finite."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Block:
    """A finished part of the map."""

    window: Window
    probability: NDArray[np.float32]
    """(H, W), in [0, 1], or `NO_DATA`."""


def block_count(tiling: SceneTiling) -> int:
    """How many blocks a map has."""
    return -(-tiling.height // BLOCK) * -(-tiling.width // BLOCK)


def stitch(tiling: SceneTiling, store: TileStore) -> Iterator[Block]:
    """The blocks of the map, row by row."""
    for top in range(0, tiling.height, BLOCK):
        for left in range(0, tiling.width, BLOCK):
            window = Window(
                top=top,
                left=left,
                height=min(BLOCK, tiling.height - top),
                width=min(BLOCK, tiling.width - left),
            )
            yield Block(window=window, probability=_blend(tiling, store, window))


def _blend(tiling: SceneTiling, store: TileStore, block: Window) -> NDArray[np.float32]:
    shape = (block.height, block.width)
    logits, weights = np.zeros(shape), np.zeros(shape)
    count = np.zeros(shape, dtype=np.uint8)
    alone = np.full(shape, NO_DATA)
    for window in tiling.windows:
        rows, columns = (
            _common(block.top, block.height, window.top, window.height),
            _common(block.left, block.width, window.left, window.width),
        )
        if rows is None or columns is None:
            continue
        tile = store.get(window)
        if tile is None:
            continue
        here = (
            slice(rows[0] - block.top, rows[1] - block.top),
            slice(columns[0] - block.left, columns[1] - block.left),
        )
        there = (
            slice(rows[0] - window.top, rows[1] - window.top),
            slice(columns[0] - window.left, columns[1] - window.left),
        )
        probability = tile.probability[there]
        valid = probability >= 0
        weight = np.where(valid, tiling.weights(window)[there], 0)
        kept = np.clip(probability.astype(np.float64), _EDGE, 1 - _EDGE)
        logits[here] += weight * np.log(kept / (1 - kept))
        weights[here] += weight
        count[here] += valid
        np.copyto(alone[here], probability, where=valid)
    several = count > 1
    with np.errstate(over="ignore"):
        blended = 1 / (1 + np.exp(-logits[several] / weights[several]))
    alone[several] = blended.astype(np.float32)
    return alone


def _common(start: int, extent: int, other: int, other_extent: int) -> tuple[int, int] | None:
    low, high = max(start, other), min(start + extent, other + other_extent)
    return (low, high) if low < high else None
