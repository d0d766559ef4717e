"""A reduced map for people to look at, made block by block: no change is too small to be seen on it."""

import numpy as np
from numpy.typing import NDArray

from gateway.tiling import Window


class Thumbnail:
    """A map in which a pixel is marked where any of the scene's pixels below it changed.

    Args:
        height: of the scene in pixels.
        width: of the scene in pixels.
        size: height and width of the reduced map, not above the scene's.
    """

    def __init__(self, height: int, width: int, size: tuple[int, int]) -> None:
        self.change = np.zeros(size, dtype=np.bool_)
        """(h, w); complete once every block was added."""
        self._rows = np.arange(height) * size[0] // height
        self._columns = np.arange(width) * size[1] // width

    def add(self, window: Window, change: NDArray[np.bool_]) -> None:
        """Add a block (H, W)."""
        rows = self._rows[window.top : window.top + window.height]
        columns = self._columns[window.left : window.left + window.width]
        row_starts, column_starts = (np.flatnonzero(np.diff(one, prepend=-1)) for one in (rows, columns))
        reduced = np.logical_or.reduceat(
            np.logical_or.reduceat(change, row_starts, axis=0), column_starts, axis=1
        )
        self.change[np.ix_(rows[row_starts], columns[column_starts])] |= reduced
