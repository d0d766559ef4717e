"""Where the classes are in a set of tiles, so that rare ones can be drawn as often as common ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.data.labels import LandCover
from training.data.real_tiles import LabelledImage

_SEEDS = 2048
"""Places kept per tile and class."""
_STRIDE = 4
"""Labels are looked at every so many pixels; a place is no finer decision than that."""
_LEAST = 12
"""Looked-at pixels below which a tile does not count as showing a class."""


class TileIndex:
    """Draws places of a class over several tiles.

    Args:
        tiles: labelled images.
        covers: classes that may be asked for.
    """

    def __init__(self, tiles: Sequence[LabelledImage], covers: Sequence[LandCover]) -> None:
        self._tiles = tuple(tiles)
        self._places: dict[LandCover, list[tuple[int, NDArray[np.int32], NDArray[np.int32]]]] = {}
        self._chances: dict[LandCover, NDArray[np.float64]] = {}
        rng = np.random.default_rng(0)  # which places are kept is the same for the same tiles
        for cover in covers:
            areas = []
            places = []
            for number, tile in enumerate(self._tiles):
                members = tile.land[::_STRIDE, ::_STRIDE] == cover
                found = np.argwhere(members).astype(np.int32)
                if len(found) < _LEAST:
                    continue
                depth = ndimage.distance_transform_edt(members)[members]
                # Deep inside the class, as far as the tile has it.
                core = found[depth >= min(8.0, 0.7 * float(depth.max()))]
                places.append((number, _thinned(found, rng), _thinned(core, rng)))
                areas.append(np.sqrt(len(found)))
            if places:
                self._places[cover] = places
                self._chances[cover] = np.array(areas) / np.sum(areas)

    @property
    def covers(self) -> tuple[LandCover, ...]:
        """The classes that at least one tile shows."""
        return tuple(self._places)

    def has(self, cover: LandCover) -> bool:
        """Whether any tile shows the class."""
        return cover in self._places

    def draw(
        self, rng: np.random.Generator, cover: LandCover, *, core: bool = False
    ) -> tuple[LabelledImage, tuple[float, float]]:
        """A tile and a (row, column) in it where the class is, deep inside the class if `core`.

        Tiles are drawn by the square root of the class's area in them. The class must be one of `covers`.
        """
        chances = self._chances[cover]
        number, anywhere, inside = self._places[cover][int(rng.choice(len(chances), p=chances))]
        pool = inside if core else anywhere
        row, column = pool[int(rng.integers(len(pool)))] * _STRIDE
        return self._tiles[number], (float(row), float(column))


def _thinned(places: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    if len(places) <= _SEEDS:
        return places
    return places[np.sort(rng.choice(len(places), _SEEDS, replace=False))]
