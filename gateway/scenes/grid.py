"""How a scene is cut into tiles, each of which a model takes as one pair.

By default a tile is four times as wide as what the model decodes at once, and tiles overlap by a quarter of
that side: just as the model's own squares do inside a tile. So the squares of all tiles form one even grid,
and the border of two tiles is no other than the border of two squares. The last tile of a row or column is as
short as the scene's end asks for, but no shorter than one square: so a scene costs what its pixels cost,
whatever its size.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from gateway.scenes.settings import MAX_TILE, SceneSettings
from gateway.tiling import Window
from reasoncd.errors import InvalidInputError

TILE_SQUARES = 4
OVERLAP_PART = 4


@dataclass(frozen=True, kw_only=True)
class SceneTiling:
    """The tiles of a scene of H x W pixels.

    Weights fall off evenly towards the edges of a tile, and sum to one over the tiles at a pixel; where one
    tile lies alone they are exactly one.
    """

    height: int
    """H."""
    width: int
    """W."""
    side: int
    """Of all tiles but the last ones."""
    overlap: int
    """Of neighbouring tiles, at least."""
    shortest: int
    """Least side of the last tiles, where the scene has it."""

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """Every window, row by row."""
        return tuple(
            Window(top=top, left=left, height=bottom - top, width=right - left)
            for (top, bottom), (left, right) in product(self._rows, self._columns)
        )

    def weights(self, window: Window) -> NDArray[np.float64]:
        """(height, width) share of this window in the blended map, in (0, 1]."""
        shares: NDArray[np.float64] = np.outer(self._row_shares[window.top], self._column_shares[window.left])
        return shares

    @cached_property
    def _rows(self) -> tuple[tuple[int, int], ...]:
        return _spans(self.height, self)

    @cached_property
    def _columns(self) -> tuple[tuple[int, int], ...]:
        return _spans(self.width, self)

    @cached_property
    def _row_shares(self) -> dict[int, NDArray[np.float64]]:
        return _shares(self.height, self._rows)

    @cached_property
    def _column_shares(self) -> dict[int, NDArray[np.float64]]:
        return _shares(self.width, self._columns)


def _spans(extent: int, tiling: SceneTiling) -> tuple[tuple[int, int], ...]:
    """Where tiles begin and end along one axis."""
    step = tiling.side - tiling.overlap
    spans = []
    for start in range(0, extent, step):
        end = min(start + tiling.side, extent)
        if end == extent:
            spans.append((max(0, min(start, extent - tiling.shortest)), extent))
            break
        spans.append((start, end))
    return tuple(spans)


def _shares(extent: int, spans: tuple[tuple[int, int], ...]) -> dict[int, NDArray[np.float64]]:
    ramps, total = {}, np.zeros(extent)
    for start, end in spans:
        places = np.arange(end - start) + 0.5
        ramps[start] = np.minimum(places, places[::-1])
        total[start:end] += ramps[start]
    return {start: ramps[start] / total[start:end] for start, end in spans}


def scene_tiling(height: int, width: int, side: int, settings: SceneSettings) -> SceneTiling:
    """The tiles of a scene.

    Args:
        height: of the scene in pixels.
        width: of the scene in pixels.
        side: of what the model decodes at once, in pixels.
        settings: say otherwise than by default.

    Raises:
        InvalidInputError: the tile is no multiple of `side`, or the overlap leaves nothing of it.
    """
    tile = settings.tile
    if tile is None:
        tile = min(TILE_SQUARES, max(1, MAX_TILE // side)) * side
    if tile % side:
        raise InvalidInputError(f"tile is {tile} but must be a multiple of the model's {side} pixels")
    overlap = side // OVERLAP_PART if settings.overlap is None else settings.overlap
    if overlap > tile // 2:
        raise InvalidInputError(f"overlap is {overlap} but must be at most half the tile of {tile} pixels")
    return SceneTiling(height=height, width=width, side=tile, overlap=overlap, shortest=side)
