"""One GeoTIFF of any size, opened for reading by windows, or refused before a pixel is read.

Only GDAL's GeoTIFF driver is ever asked, and only for the file itself: no sidecar (.ovr, .msk, .aux.xml) and
no other file or address that the file might name. So a file cannot make the program read anything else.
"""

import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from gateway.images import MAX_SIDE, MIN_SIDE
from reasoncd.errors import InvalidInputError, NotFoundError

GDAL_OPTIONS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_TIFF_INTERNAL_MASK": "YES",
    "GDAL_CACHEMAX": 128 * 2**20,
}
"""No sidecars, and 128 MiB of blocks at most (in bytes): GDAL would take a share of the machine's memory."""

MAX_BLOCK = MAX_SIDE * MAX_SIDE
"""Pixels of one stored block, which is always decoded whole."""

READ_ERRORS = (RasterioError, CPLE_BaseError, OSError, ValueError, MemoryError)
"""What GDAL and rasterio raise on damaged files; rasterio has no public name for the second."""

_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def open_source(path: Path) -> DatasetReader:
    """Open one date of a scene; to be called and used under `rasterio.Env(**GDAL_OPTIONS)`.

    Raises:
        NotFoundError: the file is not there.
        InvalidInputError: it is an address, no GeoTIFF, damaged, points to other files, or holds what cannot
            be compared.
    """
    _check_path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            source = rasterio.open(path, driver="GTiff")
    except READ_ERRORS as error:
        raise InvalidInputError(
            f"{path} cannot be opened: it is damaged or cut short; save or copy it anew"
        ) from error
    try:
        _check_alone(source, path)
        _check_pixels(source, path)
        _check_whole(source, path)
    except BaseException:
        source.close()
        raise
    return source


def choose_bands(
    source: DatasetReader, path: Path, bands: tuple[int, int, int] | None
) -> tuple[int, int, int]:
    """Which bands are red, green and blue, counted from 1.

    Raises:
        InvalidInputError: the file does not say so, or lacks a band that was asked for.
    """
    if bands is not None:
        if max(bands) > source.count:
            raise InvalidInputError(
                f"{path} has {source.count} bands but band {max(bands)} is asked for; choose other bands"
            )
        return bands
    meaning = source.colorinterp
    if all(meaning.count(colour) == 1 for colour in _COLOURS):
        red, green, blue = (meaning.index(colour) + 1 for colour in _COLOURS)
        return red, green, blue
    if source.count == 3:
        return 1, 2, 3
    raise InvalidInputError(
        f"{path} has {source.count} bands and does not say which are red, green and blue; "
        "name them with --bands, for example --bands 3,2,1"
    )


def _check_path(path: Path) -> None:
    text = os.fspath(path)
    if _ADDRESS.match(text) or text.startswith("/vsi"):
        raise InvalidInputError(f"{text} is an address, not a file; download it and name the file")
    try:
        if not path.exists():
            raise NotFoundError(f"{path} does not exist; check the path of the scene")
        if not path.is_file():
            raise InvalidInputError(f"{path} is not a regular file; give the path of a GeoTIFF")
        if str(path.resolve()).startswith("/vsi"):
            raise InvalidInputError(f"{path} leads to a virtual file system; give the path of a GeoTIFF")
        with path.open("rb") as file:
            start = file.read(64)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the path is not valid"
        raise InvalidInputError(
            f"{path} cannot be read ({reason}); check the path and its permissions"
        ) from error
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<VRT"):
        raise InvalidInputError(
            f"{path} is a VRT, which only points to other files; "
            "make one file of it with `gdal_translate IN.vrt OUT.tif`"
        )
    if not start.startswith(_TIFF_STARTS):
        raise InvalidInputError(
            f"{path} is not a GeoTIFF (its first bytes say so); convert it with `gdal_translate IN OUT.tif`"
        )


def _check_alone(source: DatasetReader, path: Path) -> None:
    # Asked first: to list a dataset's files may already open what this names.
    if source.tags(ns="OVERVIEWS") or [Path(name) for name in source.files] not in ([path], []):
        raise InvalidInputError(
            f"{path} points to other files; make one file of it with `gdal_translate IN.tif OUT.tif`"
        )
    if source.subdatasets:
        raise InvalidInputError(f"{path} holds several images; save the wanted one as a file of its own")


def _check_pixels(source: DatasetReader, path: Path) -> None:
    if min(source.width, source.height) < MIN_SIDE:
        raise InvalidInputError(
            f"{path} is {source.width} x {source.height} pixels; give at least {MIN_SIDE} x {MIN_SIDE}"
        )
    if any("complex" in kind or kind == "cint16" for kind in source.dtypes):
        raise InvalidInputError(f"{path} holds complex values; give a colour image, such as an orthophoto")
    if len(set(source.dtypes)) > 1 or np.dtype(source.dtypes[0]).kind not in "uif":
        raise InvalidInputError(
            f"{path} holds values of {' and '.join(sorted(set(source.dtypes)))}; "
            "save all bands as one number type"
        )
    if source.count < 3:
        if source.colorinterp[0] == ColorInterp.palette:
            mend = "look its palette up with `gdal_translate -expand rgb IN OUT`"
        else:
            mend = "give a colour image with red, green and blue"
        plural = "s" if source.count > 1 else ""
        raise InvalidInputError(f"{path} has {source.count} band{plural}; {mend}")
    if any(height * width > MAX_BLOCK for height, width in source.block_shapes):
        raise InvalidInputError(
            f"{path} is stored in blocks too large to be read in parts; "
            "save it tiled, for example with `gdal_translate -co TILED=YES IN OUT`"
        )
    if source.gcps[0]:
        raise InvalidInputError(
            f"{path} is placed by ground control points; "
            "bring it to a grid first, for example with `gdalwarp`"
        )


def _check_whole(source: DatasetReader, path: Path) -> None:
    """Every stored block must lie within the file: a copy that broke off is refused now, not hours later."""
    size = path.stat().st_size
    height, width = source.block_shapes[0]
    columns, rows = -(-source.width // width), -(-source.height // height)
    separate = source.interleaving is not None and source.interleaving.name != "pixel"
    for band in source.indexes if separate else (1,):
        for row in range(rows):
            for column in range(columns):
                place = f"{column}_{row}"
                offset = source.get_tag_item(f"BLOCK_OFFSET_{place}", "TIFF", bidx=band)
                length = source.get_tag_item(f"BLOCK_SIZE_{place}", "TIFF", bidx=band)
                # A block that was never written has no place in the file and is empty.
                if offset and length and int(offset) + int(length) > size:
                    raise InvalidInputError(f"{path} is cut short; copy or download it anew")
