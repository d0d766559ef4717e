"""Cutting a pair into square tiles such that every pixel counts once.

S is the side of a tile. A picture that is no multiple of S gets a last tile that reaches back over its
neighbour; what the neighbour shows already is unknown in that tile's mask. A picture smaller than S is
mirrored beyond its edge, and unknown there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError
from training.data.labels import UNKNOWN
from training.data.prepare.pair import U8

SMALLEST_TILE, LARGEST_TILE = 32, 4096
_STRIP = 8
"""A last tile must show at least one of so many of its side anew; narrower strips are left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One tile of a picture, in pixels."""

    top: int
    left: int
    side: int
    fresh_top: int
    """Rows of the tile that the one above shows already."""
    fresh_left: int
    """Columns of the tile that the one to the left shows already."""

    def cut(self, array: U8) -> U8:
        """(H, W) or (H, W, 3) -> (S, S) or (S, S, 3), mirrored beyond the edge."""
        cut = self._inside(array)
        beyond = [(0, self.side - length) for length in cut.shape[:2]] + [(0, 0)] * (array.ndim - 2)
        return np.ascontiguousarray(np.pad(cut, beyond, mode="symmetric"))

    def hidden(self, height: int, width: int) -> NDArray[np.bool_]:
        """(S, S): what does not count in this tile of a picture of H x W."""
        seen = np.ones((height, width), dtype=np.uint8)
        fresh = np.zeros((self.side, self.side), dtype=np.uint8)
        inside = self._inside(seen)
        fresh[: inside.shape[0], : inside.shape[1]] = inside
        fresh[: self.fresh_top] = 0
        fresh[:, : self.fresh_left] = 0
        return np.asarray(fresh == 0)

    def mask(self, mask: U8) -> U8:
        """(H, W) of 0, 1, 255 unknown -> (S, S), unknown where it does not count."""
        cut = self.cut(mask)
        cut[self.hidden(*mask.shape)] = UNKNOWN
        return cut

    def _inside(self, array: U8) -> U8:
        return array[self.top : self.top + self.side, self.left : self.left + self.side]


def check_tile(side: int | None) -> None:
    """Refuse a side that no tile can have.

    Raises:
        InvalidInputError: it is out of bounds.
    """
    if side is not None and not SMALLEST_TILE <= side <= LARGEST_TILE:
        raise InvalidInputError(f"tile is {side}; give {SMALLEST_TILE} to {LARGEST_TILE} pixels")


def tiles_of(height: int, width: int, side: int) -> Iterator[Tile]:
    """The tiles of a picture, row by row."""
    for (top, fresh_top), (left, fresh_left) in product(_starts(height, side), _starts(width, side)):
        yield Tile(top=top, left=left, side=side, fresh_top=fresh_top, fresh_left=fresh_left)


def _starts(length: int, side: int) -> list[tuple[int, int]]:
    """Where tiles start along an axis, and how much of each is seen already."""
    if length <= side:
        return [(0, 0)]
    starts = [(start, 0) for start in range(0, length - side + 1, side)]
    rest = length % side
    if rest >= max(1, side // _STRIP):
        starts.append((length - side, side - rest))
    return starts
