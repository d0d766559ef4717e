"""Maps of scenes held against the truth and against each other, by windows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from gateway.scenes.grid import SceneTiling

_STEP = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Pixels of a map held against another one."""

    both: int
    first_only: int
    second_only: int

    @property
    def f1(self) -> float:
        """In [0, 1]; 1 where both are empty."""
        total = 2 * self.both + self.first_only + self.second_only
        return 2 * self.both / total if total else 1.0

    @property
    def iou(self) -> float:
        """In [0, 1]; 1 where both are empty."""
        total = self.both + self.first_only + self.second_only
        return self.both / total if total else 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SeamCounts:
    """Where two maps of one ground, made in different tiles, differ."""

    seam_pixels: int
    """Where tiles of either map overlap."""
    seam_differing: int
    other_pixels: int
    other_differing: int

    @property
    def on_seams(self) -> float:
        """Differing part of the seams, in [0, 1]."""
        return self.seam_differing / self.seam_pixels if self.seam_pixels else 0.0

    @property
    def off_seams(self) -> float:
        """Differing part of the rest, in [0, 1]."""
        return self.other_differing / self.other_pixels if self.other_pixels else 0.0


def compare(first: Path, second: Path, *, margin: int = 0) -> Counts:
    """Hold two maps against each other; 1 is changed.

    Args:
        first: a map.
        second: another one, or the truth, that begins `margin` rows and columns later.
        margin: in pixels.
    """
    both = first_only = second_only = 0
    for a, b, _ in _parts(first, second, margin):
        both += int(np.count_nonzero(a & b))
        first_only += int(np.count_nonzero(a & ~b))
        second_only += int(np.count_nonzero(b & ~a))
    return Counts(both=both, first_only=first_only, second_only=second_only)


def seams(first: Path, second: Path, tilings: tuple[SceneTiling, SceneTiling], *, margin: int) -> SeamCounts:
    """Count differences where tiles overlap and elsewhere.

    Args:
        first: a map.
        second: one that begins `margin` rows and columns later.
        tilings: of both.
        margin: in pixels.
    """
    overlaps = [overlapped(tiling) for tiling in tilings]
    counts = [0, 0, 0, 0]
    for a, b, (top, left) in _parts(first, second, margin):
        height, width = a.shape
        seam = np.zeros(a.shape, dtype=np.bool_)
        for (rows, columns), shift in zip(overlaps, (margin, 0), strict=True):
            seam |= rows[top + shift : top + shift + height, None]
            seam |= columns[None, left + shift : left + shift + width]
        differs = a != b
        for place, chosen in ((0, seam), (2, ~seam)):
            counts[place] += int(np.count_nonzero(chosen))
            counts[place + 1] += int(np.count_nonzero(chosen & differs))
    return SeamCounts(
        seam_pixels=counts[0], seam_differing=counts[1], other_pixels=counts[2], other_differing=counts[3]
    )


def overlapped(tiling: SceneTiling) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows and columns that lie in more than one tile: (H,) and (W,)."""
    rows, columns = np.zeros(tiling.height, dtype=int), np.zeros(tiling.width, dtype=int)
    for top, height in {(window.top, window.height) for window in tiling.windows}:
        rows[top : top + height] += 1
    for left, width in {(window.left, window.width) for window in tiling.windows}:
        columns[left : left + width] += 1
    return rows > 1, columns > 1


def _parts(
    first: Path, second: Path, margin: int
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_], tuple[int, int]]]:
    """Windows of both maps on the same ground, and where they begin in the second one."""
    with rasterio.open(first) as one, rasterio.open(second) as other:
        for top in range(0, other.height, _STEP):
            for left in range(0, other.width, _STEP):
                height, width = min(_STEP, other.height - top), min(_STEP, other.width - left)
                a = one.read(1, window=Window(margin + left, margin + top, width, height)) == 1
                b = other.read(1, window=Window(left, top, width, height)) == 1
                yield a, b, (top, left)
