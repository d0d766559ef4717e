"""Rasters that are written block by block and then made into Cloud-Optimized GeoTIFFs.

GDAL's COG driver only copies: blocks go into a plain tiled GeoTIFF first, which may be as large as the scene,
and the copy gets overviews and the layout that is read by ranges.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window as RasterWindow

from gateway.images import Georeference
from gateway.scenes.pair import ScenePair
from gateway.scenes.settings import SceneSettings
from gateway.tiling import Window

CHANGE_FILE = "change.tif"
PROBABILITY_FILE = "probability.tif"
VIEW_FILES = ("t1_view.tif", "t2_view.tif")

CHANGE_NO_DATA = 255
_BLOCK = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """How one raster is stored."""

    name: str
    dtype: Literal["uint8", "float32"]
    count: int
    nodata: float | None
    cog: dict[str, Any]
    """Options of the COG driver."""


CHANGE = Kind(
    name=CHANGE_FILE,
    dtype="uint8",
    count=1,
    nodata=CHANGE_NO_DATA,
    cog={"compress": "DEFLATE", "overview_resampling": "MODE"},
)
"""1 changed, 0 not changed, 255 no data."""
PROBABILITY = Kind(
    name=PROBABILITY_FILE,
    dtype="float32",
    count=1,
    nodata=-1,
    cog={"compress": "DEFLATE", "predictor": "YES", "overview_resampling": "AVERAGE"},
)
"""In [0, 1]; -1 no data."""
VIEWS = tuple(
    Kind(
        name=name,
        dtype="uint8",
        count=3,
        nodata=None,
        cog={"compress": "JPEG", "quality": 85, "overview_resampling": "AVERAGE"},
    )
    for name in VIEW_FILES
)
"""RGB as the model saw it, with a mask of what is valid."""


class RasterWriter:
    """One raster that grows by windows."""

    def __init__(self, sink: DatasetWriter, *, masked: bool) -> None:
        self._sink, self._masked = sink, masked

    def write(self, window: Window, bands: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> None:
        """Write (bands, H, W), and its mask (H, W) where the raster has one."""
        part = RasterWindow(window.left, window.top, window.width, window.height)
        self._sink.write(bands, window=part)
        if self._masked and valid is not None:
            self._sink.write_mask(valid, window=part)


@contextmanager
def raster(
    kind: Kind, scratch: Path, *, height: int, width: int, georef: Georeference | None
) -> Iterator[RasterWriter]:
    """Write the plain raster `scratch/<name>`, and on leaving make the finished `scratch/cog-<name>` of it.

    Args:
        kind: how it is stored.
        scratch: a folder for unfinished files.
        height: in pixels.
        width: in pixels.
        georef: where it lies; None for nowhere.

    Raises:
        OSError: it cannot be written.
    """
    plain = scratch / kind.name
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": kind.count,
        "dtype": kind.dtype,
        "nodata": kind.nodata,
        "crs": georef.crs if georef else None,
        "transform": rasterio.Affine(*georef.transform) if georef else None,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "compress": "lzw",
        "bigtiff": "if_safer",
    }
    if kind.count == 3:
        profile["photometric"] = "rgb"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(plain, "w", **profile) as sink:
                yield RasterWriter(sink, masked=kind.nodata is None)
            _optimise(plain, scratch / f"cog-{kind.name}", kind)
        except (RasterioError, CPLE_BaseError) as error:
            raise OSError(f"GDAL cannot write {kind.name}: {error}") from error
    plain.unlink()


def write_views(scratch: Path, scene: ScenePair, blocks: Sequence[Window]) -> None:
    """Write both dates as the model saw them, block by block.

    Raises:
        OSError: they cannot be written.
    """
    for date, kind in enumerate(VIEWS):
        with raster(kind, scratch, height=scene.height, width=scene.width, georef=scene.georef) as sink:
            for window in blocks:
                part = scene.read(window)
                sink.write(window, np.moveaxis(part.images[date], -1, 0), part.valid)


def _optimise(plain: Path, target: Path, kind: Kind) -> None:
    rasterio.shutil.copy(
        plain, target, driver="COG", blocksize=_BLOCK, bigtiff="IF_SAFER", num_threads=1, **kind.cog
    )


def outputs_of(settings: SceneSettings) -> tuple[Kind, ...]:
    """The rasters that a run writes."""
    return (CHANGE, PROBABILITY, *(VIEWS if settings.views else ()))
