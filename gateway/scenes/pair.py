"""Two scenes of one place, read by windows on the earlier one's grid.

Where the later scene has another coordinate reference system, resolution or extent, it is warped on the fly
while it is read (bilinear). A pixel is valid where both dates have data: nodata values, alpha channels and
masks are respected, and so is the end of the warped scene. Both dates are black where one is not valid, so
that nothing differs there.
"""

import datetime as dt
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window as RasterWindow

from gateway.images import MAX_GRID_SHIFT, Georeference
from gateway.scenes.source import GDAL_OPTIONS, READ_ERRORS, choose_bands, open_source
from gateway.scenes.stretch import Stretch, find_stretch
from gateway.tiling import Window
from reasoncd.errors import InvalidInputError
from reasoncd.folders import sha256_of

SAMPLE_SIDE = 1024
"""Longest side of the thinned reading that the stretch is judged by, in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScenePart:
    """A window of both scenes."""

    images: NDArray[np.uint8]
    """(2, H, W, 3), RGB, 0-255, the earlier one first."""
    valid: NDArray[np.bool_]
    """(H, W): both dates have data."""


class ScenePair:
    """Two open scenes; made by `open`, for one thread.

    Args:
        paths: of T1 and T2.
        readers: T1, and T2 on T1's grid.
        bands: red, green and blue of each.
        dates: of the pictures, where the files say so.
    """

    def __init__(
        self,
        *,
        paths: tuple[Path, Path],
        readers: tuple[DatasetReader, DatasetReader],
        bands: tuple[tuple[int, int, int], tuple[int, int, int]],
        dates: tuple[dt.date | None, dt.date | None],
    ) -> None:
        self.paths, self.dates = paths, dates
        self.height: int = readers[0].height
        self.width: int = readers[0].width
        self._readers, self._bands = readers, bands

    @classmethod
    @contextmanager
    def open(cls, t1: Path, t2: Path, *, bands: tuple[int, int, int] | None = None) -> Iterator[Self]:
        """Open both scenes and check that they fit each other.

        Args:
            t1: the earlier scene; the results lie on its grid.
            t2: the later scene.
            bands: red, green and blue, counted from 1; what the files say if not given.

        Raises:
            NotFoundError, InvalidInputError: a file cannot be used, or the two show no common ground.
        """
        with ExitStack() as opened:
            opened.enter_context(rasterio.Env(**GDAL_OPTIONS))
            first, second = (opened.enter_context(open_source(path)) for path in (t1, t2))
            chosen = choose_bands(first, t1, bands), choose_bands(second, t2, bands)
            dates = _date(first), _date(second)
            if not _same_grid(first, second, t1, t2):
                second = opened.enter_context(_warped(first, second, t1, t2))
            pair = cls(paths=(t1, t2), readers=(first, second), bands=chosen, dates=dates)
            if not pair.sample[1].any():
                raise InvalidInputError(
                    f"{t1} and {t2} have no pixel in which both hold data; give two scenes of one place"
                )
            yield pair

    @property
    def georef(self) -> Georeference | None:
        """Of T1, and so of all results; None where it lies nowhere."""
        source = self._readers[0]
        if source.crs is None and source.transform.is_identity:
            return None
        a, b, c, d, e, f = (float(value) for value in tuple(source.transform)[:6])
        return Georeference(transform=(a, b, c, d, e, f), crs=source.crs.to_string() if source.crs else None)

    @cached_property
    def digests(self) -> tuple[str, str]:
        """SHA-256 of both files, in hex."""
        return sha256_of(self.paths[0]), sha256_of(self.paths[1])

    @cached_property
    def sample(self) -> tuple[tuple[NDArray[Any], NDArray[Any]], NDArray[np.bool_]]:
        """Thinned readings (3, h, w) of both dates before normalisation, and where both are valid (h, w)."""
        size = _fitted(self.height, self.width, SAMPLE_SIDE)
        first, second = (self._raw(date, None, size) for date in (0, 1))
        return (first[0], second[0]), first[1] & second[1]

    @cached_property
    def stretches(self) -> tuple[Stretch | None, Stretch | None]:
        """Of both dates; None where the data are 8-bit and stay as they are."""
        (first, second), valid = self.sample
        return find_stretch(first, valid), find_stretch(second, valid)

    def read(self, window: Window) -> ScenePart:
        """One window, normalised.

        Raises:
            InvalidInputError: a file turns out to be damaged there.
        """
        return self._read(window, None)

    def overview(self, side: int) -> ScenePart:
        """The whole scenes, reduced so that the longer side has at most `side` pixels."""
        return self._read(None, _fitted(self.height, self.width, side))

    def _read(self, window: Window | None, size: tuple[int, int] | None) -> ScenePart:
        dates, valid = [], None
        for date, stretch in enumerate(self.stretches):
            bands, holds = self._raw(date, window, size, averaged=size is not None)
            dates.append(np.moveaxis(stretch.apply(bands) if stretch else bands, 0, -1))
            valid = holds if valid is None else valid & holds
        assert valid is not None
        images = np.stack(dates)
        if not valid.all():
            images[:, ~valid] = 0
        return ScenePart(images=images, valid=valid)

    def _raw(
        self, date: int, window: Window | None, size: tuple[int, int] | None, *, averaged: bool = False
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        source, bands = self._readers[date], self._bands[date]
        part = RasterWindow(window.left, window.top, window.width, window.height) if window else None
        shape = size or (part.height, part.width)  # type: ignore[union-attr]
        how = Resampling.average if averaged else Resampling.nearest
        try:
            pixels = source.read(list(bands), window=part, out_shape=(3, *shape), resampling=how)
            holds = source.dataset_mask(window=part, out_shape=shape) > 0
        except READ_ERRORS as error:
            raise InvalidInputError(
                f"{self.paths[date]} cannot be read in places: it is damaged; copy or save it anew"
            ) from error
        if pixels.dtype.kind == "f":
            holds &= np.isfinite(pixels).all(axis=0)
        return pixels, holds


def _fitted(height: int, width: int, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _same_grid(first: DatasetReader, second: DatasetReader, t1: Path, t2: Path) -> bool:
    """Whether the later scene needs no warping.

    Raises:
        InvalidInputError: where the two lie cannot be compared.
    """
    for one, other, name, rest in ((first, second, t1, t2), (second, first, t2, t1)):
        if one.crs is None and other.crs is not None:
            raise InvalidInputError(
                f"{name} has no coordinate reference system but {rest} has one; "
                "name it, for example with `gdal_edit.py -a_srs EPSG:32632 FILE`"
            )
    sizes = (first.width, first.height), (second.width, second.height)
    corners = [(0, 0), (sizes[0][0], 0), (0, sizes[0][1]), sizes[0]]
    there = ~first.transform @ second.transform
    shift = max(math.dist(corner, there @ corner) for corner in corners)
    if first.crs is None:
        if sizes[0] != sizes[1] or shift > MAX_GRID_SHIFT:
            raise InvalidInputError(
                f"{t1} ({sizes[0][0]} x {sizes[0][1]}) and {t2} ({sizes[1][0]} x {sizes[1][1]}) have no "
                "coordinate reference system and do not lie on one grid; georeference both or cut them alike"
            )
        return True
    return first.crs == second.crs and sizes[0] == sizes[1] and shift <= MAX_GRID_SHIFT


def _warped(first: DatasetReader, second: DatasetReader, t1: Path, t2: Path) -> WarpedVRT:
    try:
        here = first.bounds
        west, south, east, north = transform_bounds(second.crs, first.crs, *second.bounds, densify_pts=21)
        left, right = sorted((here.left, here.right))
        bottom, top = sorted((here.bottom, here.top))
        south, north = sorted((south, north))
        apart = not (max(left, west) < min(right, east) and max(bottom, south) < min(top, north))
        if apart or not all(map(math.isfinite, (west, south, east, north))):
            raise InvalidInputError(
                f"{t1} and {t2} do not overlap on the ground; give two scenes of one place"
            )
        return WarpedVRT(
            second,
            crs=first.crs,
            transform=first.transform,
            width=first.width,
            height=first.height,
            resampling=Resampling.bilinear,
            src_nodata=second.nodata,
            nodata=second.nodata,
            # Data of any value may be real where no value stands for "no data".
            add_alpha=second.nodata is None and not _has_alpha(second),
        )
    except READ_ERRORS as error:
        raise InvalidInputError(
            f"{t2} cannot be brought onto the grid of {t1}; check the coordinate reference systems of both"
        ) from error


def _has_alpha(source: DatasetReader) -> bool:
    return any(meaning.name == "alpha" for meaning in source.colorinterp)


def _date(source: DatasetReader) -> dt.date | None:
    """When the picture was taken, if the file says so in TIFF's own words."""
    try:
        return dt.datetime.strptime(source.tags()["TIFFTAG_DATETIME"][:10], "%Y:%m:%d").date()
    except (KeyError, ValueError):
        return None
