"""Scenes too large for the memory, read as bands of rows through rasterio.

A band of 256 rows of the largest published scene is 25 MB; the scene itself would be 1.5 GB a date.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray

from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError
from training.data.prepare.pair import U8

_LARGEST_BLOCK = 64 * 2**20
"""Pixels of one block of a file, which GDAL decodes whole."""
_CACHE_MB = 128
"""What GDAL may keep of decoded blocks; its own choice is a share of the machine's memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneFile:
    """An open raster."""

    path: Path
    source: Any
    """rasterio's dataset."""

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.source.height)

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.source.width)

    def rows(self, top: int, height: int, *, bands: int) -> U8:
        """A band of rows: uint8 (height, W, bands), or (height, W) where one band is asked for.

        Raises:
            CorruptDataError: the file cannot be read there.
        """
        from rasterio.errors import RasterioError
        from rasterio.windows import Window

        try:
            read = self.source.read(list(range(1, bands + 1)), window=Window(0, top, self.width, height))
        except RasterioError as error:
            raise CorruptDataError(
                f"{self.path} cannot be read at rows {top}-{top + height - 1}; fetch the file again"
            ) from error
        array = np.moveaxis(read, 0, -1)
        return np.ascontiguousarray(array[..., 0] if bands == 1 else array)


@contextmanager
def open_scene(path: Path, *, bands: int) -> Iterator[SceneFile]:
    """Open an 8-bit raster for reading by rows.

    Args:
        path: the file.
        bands: how many it must have at least; 1 means exactly one.

    Raises:
        NotFoundError: the file is not there.
        CorruptDataError: it is no raster.
        InvalidInputError: it has too few bands or another depth, or is stored in blocks too large to stream.
    """
    import rasterio

    if not path.is_file():
        raise NotFoundError(f"{path} is not there; complete the set")
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_MB), _opened(path) as source:
        if source.count < bands or (bands == 1 and source.count > 1):
            wanted = "one band" if bands == 1 else f"{bands} bands of colour"
            raise InvalidInputError(f"{path} has {source.count} bands; give a file with {wanted}")
        if set(source.dtypes[:bands]) != {"uint8"}:
            raise InvalidInputError(
                f"{path} holds {source.dtypes[0]} values; rescale both dates alike to 8 bits, for example "
                "with `gdal_translate -ot Byte -scale 0 3000 0 255 IN OUT`"
            )
        if any(height * width > _LARGEST_BLOCK for height, width in source.block_shapes):
            raise InvalidInputError(
                f"{path} is stored in one block, so it cannot be read in parts; rewrite it with "
                "`gdal_translate -co TILED=YES IN OUT`"
            )
        yield SceneFile(path=path, source=source)


def read_raster_band(path: Path) -> tuple[NDArray[np.generic], str]:
    """The one band of a raster of ordinary size, of any depth: (H, W) and its dtype's name.

    Raises:
        NotFoundError: the file is not there.
        CorruptDataError: it cannot be read as a raster.
        InvalidInputError: it has more than one band.
    """
    from rasterio.errors import RasterioError

    if not path.is_file():
        raise NotFoundError(f"{path} is not there; complete the set")
    with _opened(path) as source:
        if source.count != 1:
            raise InvalidInputError(f"{path} has {source.count} bands; give a file with one")
        try:
            return np.asarray(source.read(1)), str(source.dtypes[0])
        except RasterioError as error:
            raise CorruptDataError(f"{path} cannot be read as a raster; fetch the file again") from error


def _opened(path: Path) -> Any:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    with catch_warnings():
        simplefilter("ignore", NotGeoreferencedWarning)
        try:
            return rasterio.open(path)
        except RasterioError as error:
            raise CorruptDataError(f"{path} cannot be read as a raster; fetch the file again") from error
