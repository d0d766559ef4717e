"""The connected regions of a map that is too large for the memory, block by block.

Each block is labelled alone. A region that touches no border of its block is complete at once; the pieces of
the others are joined over the borders by a union-find and given out as soon as no later block can add to
them. So memory holds one block and the regions that are still open. Coordinates are pixels of the map, whole
numbers, in which the union of pieces is exact.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes
from shapely.geometry import Polygon, shape

from gateway.polygons import Place, label_regions
from gateway.tiling import Window


@dataclass(kw_only=True, slots=True)
class _Open:
    """A region that later blocks may add to."""

    area: int
    total: float
    """Sum of the probabilities of its pixels."""
    pieces: list[Polygon] = field(default_factory=list)


class RegionFinder:
    """Finds the regions of a map whose blocks come row by row, from the left.

    Args:
        width: of the map in pixels.
        found: given each region once, in an order that depends on the map alone.
    """

    def __init__(self, width: int, found: Callable[[Place], None]) -> None:
        self._width, self._found = width, found
        self._open: dict[int, _Open] = {}
        self._parent: dict[int, int] = {}
        self._next = 1
        # Numbers of the regions along the lower edge of the row of blocks above, and of this row so far.
        self._above = np.zeros(width, dtype=np.int64)
        self._below = np.zeros(width, dtype=np.int64)
        self._before = np.zeros(0, dtype=np.int64)

    def add(self, window: Window, change: NDArray[np.bool_], probability: NDArray[np.float32]) -> None:
        """Add the next block: (H, W) each."""
        if window.left == 0:
            self._before = np.zeros(window.height, dtype=np.int64)
        labels = label_regions(change)
        # Local number -> number in the map; 0 for what is no open region.
        numbers = self._take(window, labels, probability)
        edges = numbers[labels[:, 0]], numbers[labels[0]]
        self._join(self._before, edges[0])
        columns = slice(window.left, window.left + window.width)
        self._join(self._above[columns], edges[1])
        self._before = numbers[labels[:, -1]]
        self._below[columns] = numbers[labels[-1]]
        if window.left + window.width == self._width:
            self._end_row()

    def finish(self) -> None:
        """Give out what is still open: no block follows."""
        self._give_out(set())

    def _take(
        self, window: Window, labels: NDArray[np.int32], probability: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        count = int(labels.max(initial=0))
        numbers = np.zeros(count + 1, dtype=np.int64)
        if not count:
            return numbers
        areas = np.bincount(labels.ravel(), minlength=count + 1)
        sums = np.bincount(labels.ravel(), weights=probability.ravel(), minlength=count + 1)
        border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        touching = set(np.unique(border).tolist()) - {0}
        outlined = shapes(labels, mask=labels > 0, connectivity=4)
        outlines = {int(label): geometry for geometry, label in outlined}
        for label in range(1, count + 1):
            polygon = shapely.affinity.translate(shape(outlines[label]), window.left, window.top)
            area, total = int(areas[label]), float(sums[label])
            if label in touching:
                numbers[label] = self._next
                self._parent[self._next] = self._next
                self._open[self._next] = _Open(area=area, total=total, pieces=[polygon])
                self._next += 1
            else:
                self._found(Place(polygon=polygon, area_px=area, mean_probability=total / area))
        return numbers

    def _join(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> None:
        both = (one > 0) & (other > 0)
        for a, b in np.unique(np.stack([one[both], other[both]], axis=1), axis=0).tolist():
            first, second = sorted((self._root(a), self._root(b)))
            if first == second:
                continue
            merged, joined = self._open[first], self._open.pop(second)
            merged.area += joined.area
            merged.total += joined.total
            merged.pieces += joined.pieces
            self._parent[second] = first

    def _root(self, number: int) -> int:
        while (above := self._parent[number]) != number:
            self._parent[number] = number = self._parent[above]
        return number

    def _end_row(self) -> None:
        alive = {self._root(number) for number in np.unique(self._below[self._below > 0]).tolist()}
        self._give_out(alive)
        # Only roots are needed below, so the memory of who was joined to whom goes.
        self._above = np.array([self._root(n) if n else 0 for n in self._below.tolist()], dtype=np.int64)
        self._parent = {number: number for number in alive}
        self._below = np.zeros_like(self._below)

    def _give_out(self, alive: set[int]) -> None:
        for number in sorted(self._open.keys() - alive):
            region = self._open.pop(number)
            self._found(
                Place(
                    polygon=_joined(region.pieces),
                    area_px=region.area,
                    mean_probability=region.total / region.area,
                )
            )


def _joined(pieces: list[Polygon]) -> Polygon:
    if len(pieces) == 1:
        return pieces[0]
    # Points that lay on borders of blocks, in the middle of a straight edge, go.
    union = shapely.union_all(pieces).simplify(0)
    assert isinstance(union, Polygon)
    return union
