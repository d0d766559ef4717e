"""A large image as overlapping square tiles, and their logits as one smooth map again.

Letters in shapes: T = 2 dates, H, W the image, S the tile's side, Q queries. Weights are the product of one
raised cosine per axis, divided by its sum over the tiles there. So they sum to one everywhere, and
where only one tile lies they are exactly one: an image of one tile comes out bit for bit as decoded.
This module knows no model.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import ceil

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The part of the image that one tile covers, in pixels."""

    top: int
    left: int
    height: int
    """At most S; less where the image itself is smaller, and the tile is padded."""
    width: int


class Tiling:
    """How an image of H x W is covered by tiles of S x S.

    Args:
        height: H, at least 2.
        width: W, at least 2.
        side: S.
        overlap: least overlap of neighbouring tiles in pixels; a quarter of the side if not given.
    """

    def __init__(self, *, height: int, width: int, side: int, overlap: int | None = None) -> None:
        overlap = side // 4 if overlap is None else overlap
        if not 0 <= overlap < side:
            raise ValueError(f"overlap is {overlap} but must lie in [0, {side}), the tile's side")
        self.height = height
        self.width = width
        self.side = side
        self._tops = _starts(height, side, overlap)
        self._lefts = _starts(width, side, overlap)

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """Every window, row by row."""
        height, width = min(self.side, self.height), min(self.side, self.width)
        return tuple(
            Window(top=top, left=left, height=height, width=width)
            for top, left in product(self._tops, self._lefts)
        )

    def cut(self, images: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
        """(T, H, W, 3) -> (T, S, S, 3); the image is mirrored beyond its edge: padding looks like land."""
        part = images[:, window.top : window.top + window.height, window.left : window.left + window.width]
        below, right = self.side - window.height, self.side - window.width
        return np.ascontiguousarray(np.pad(part, ((0, 0), (0, below), (0, right), (0, 0)), mode="reflect"))

    def weights(self, window: Window) -> NDArray[np.float32]:
        """(height, width) share of this window in the blended map, in (0, 1]."""
        rows = self._row_weights[window.top]
        columns = self._column_weights[window.left]
        return np.outer(rows, columns).astype(np.float32)

    @cached_property
    def _row_weights(self) -> dict[int, NDArray[np.float64]]:
        return _axis_weights(self.height, self.side, self._tops)

    @cached_property
    def _column_weights(self) -> dict[int, NDArray[np.float64]]:
        return _axis_weights(self.width, self.side, self._lefts)


class Blend:
    """Sums weighted tiles into maps of the image's size.

    Args:
        tiling: where the tiles lie.
        count: Q, the number of maps.
    """

    def __init__(self, tiling: Tiling, count: int) -> None:
        self._tiling = tiling
        self.logits = np.zeros((count, tiling.height, tiling.width), dtype=np.float32)
        """(Q, H, W); complete once every window was added once."""

    def add(self, window: Window, logits: NDArray[np.float32]) -> None:
        """Add one tile's logits (Q, S, S); what lies beyond the image is left out."""
        target = self.logits[
            :, window.top : window.top + window.height, window.left : window.left + window.width
        ]
        target += logits[:, : window.height, : window.width] * self._tiling.weights(window)


def _starts(extent: int, side: int, overlap: int) -> tuple[int, ...]:
    """Where tiles start along one axis: as few as the overlap allows, evenly spread, flush at both ends."""
    if extent <= side:
        return (0,)
    count = ceil((extent - overlap) / (side - overlap))
    return tuple(round(index * (extent - side) / (count - 1)) for index in range(count))


def _axis_weights(extent: int, side: int, starts: tuple[int, ...]) -> dict[int, NDArray[np.float64]]:
    """Weights along one axis by start; at every pixel they sum to one over the tiles that hold it."""
    length = min(side, extent)
    bump = np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2
    total = np.zeros(extent)
    for start in starts:
        total[start : start + length] += bump
    return {start: bump / total[start : start + length] for start in starts}
