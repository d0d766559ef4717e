"""Crops along the edges in composites: those of pastes, and those that were in the picture.

A crop is of one date, a few pixels wide and turned so that the edge runs through its middle: too narrow to
show what lies around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.data.composites import CompositeSource
from training.data.labels import LabelledPair, LandCover
from training.data.pasting import Paste

_ALONG, _ACROSS = 8, 4
"""Pixels of a crop to each side of its middle: along the edge, and across it."""
_PER_EDGE = 4
"""Crops of one paste, and of the natural edges of one date."""
_CLEAR = 10
"""Pixels that a natural edge keeps from pasted ones."""
_MARGIN = _ALONG + _ACROSS


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Crop:
    """A few pixels around one point of an edge."""

    pixels: NDArray[np.float32]
    """(17, 9, 3), RGB 0-1: along the edge, then across it."""
    pair: int
    pasted: bool
    changed: bool
    """Of a pasted edge: it belongs to a change of land cover."""
    sides: tuple[int, int]
    """Classes on both sides, the smaller code first."""


def crops_of(source: CompositeSource, count: int, rng: np.random.Generator) -> list[Crop]:
    """Crops of pasted and natural edges out of so many pairs."""
    found = []
    for number in range(count):
        pair, pastes = source.compose(rng)
        for date in (0, 1):
            found += _pasted(pair, number, pastes, date, rng)
            found += _natural(pair, number, pastes, date, rng)
    return found


def _pasted(
    pair: LabelledPair, number: int, pastes: Sequence[Paste], date: int, rng: np.random.Generator
) -> list[Crop]:
    found = []
    for place, paste in enumerate(pastes):
        # A paste over ground of its own class has no natural counterpart.
        if date not in paste.dates or paste.keep_land:
            continue
        outline = _outline(paste.region)
        for later in pastes[place + 1 :]:
            if date in later.dates:
                outline &= ~ndimage.binary_dilation(later.region, iterations=_ACROSS)
        found += _cut(pair, number, paste.region, outline, date, rng, changed=len(paste.dates) == 1)
    return found


def _natural(
    pair: LabelledPair, number: int, pastes: Sequence[Paste], date: int, rng: np.random.Generator
) -> list[Crop]:
    land = (pair.land_t1, pair.land_t2)[date]
    far = np.ones(land.shape, dtype=np.bool_)
    for paste in pastes:
        if date in paste.dates:
            far &= ~ndimage.binary_dilation(_outline(paste.region), iterations=_CLEAR)
    found = []
    for cover in np.unique(land):
        if cover != LandCover.UNKNOWN:
            region = land == cover
            found += _cut(pair, number, region, _outline(region) & far, date, rng, pasted=False)
    return found


def _outline(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inner = region & ~ndimage.binary_erosion(region, border_value=1)
    inner[:_MARGIN], inner[-_MARGIN:], inner[:, :_MARGIN], inner[:, -_MARGIN:] = False, False, False, False
    return np.asarray(inner)


def _cut(
    pair: LabelledPair,
    number: int,
    region: NDArray[np.bool_],
    outline: NDArray[np.bool_],
    date: int,
    rng: np.random.Generator,
    *,
    pasted: bool = True,
    changed: bool = False,
) -> list[Crop]:
    rows, columns = np.nonzero(outline)
    if rows.size == 0:
        return []
    image, land = ((pair.image_t1, pair.land_t1), (pair.image_t2, pair.land_t2))[date]
    slope = np.gradient(ndimage.gaussian_filter(region.astype(np.float32), 2.0))
    found = []
    for i in rng.permutation(rows.size)[:_PER_EDGE]:
        row, column = int(rows[i]), int(columns[i])
        inward = np.array([slope[0][row, column], slope[1][row, column]])
        length = float(np.hypot(*inward))
        if length < 1e-3:  # a thin spur has no inside
            continue
        inward /= length
        sides = _sides(land, row, column, inward)
        if sides is not None:
            found.append(
                Crop(
                    pixels=_turned(image, row, column, inward),
                    pair=number,
                    pasted=pasted,
                    changed=changed,
                    sides=sides,
                )
            )
    return found


def _sides(
    land: NDArray[np.uint8], row: int, column: int, inward: NDArray[np.floating]
) -> tuple[int, int] | None:
    """The classes on both sides of an edge; None where they are equal or not known."""
    steps = np.rint(np.array([row, column]) + 3 * np.array([[1], [-1]]) * inward).astype(int)
    one, other = sorted(int(land[r, c]) for r, c in steps)
    return None if one == other or one == LandCover.UNKNOWN else (one, other)


def _turned(
    image: NDArray[np.uint8], row: int, column: int, inward: NDArray[np.floating]
) -> NDArray[np.float32]:
    along = np.arange(-_ALONG, _ALONG + 1)[:, None]
    across = np.arange(-_ACROSS, _ACROSS + 1)[None]
    places = np.stack([
        row + across * inward[0] - along * inward[1],
        column + across * inward[1] + along * inward[0],
    ])  # fmt: skip
    channels = [ndimage.map_coordinates(image[..., c].astype(np.float32), places, order=1) for c in range(3)]
    return np.asarray(np.stack(channels, axis=-1) / 255, dtype=np.float32)
