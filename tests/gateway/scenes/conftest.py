"""GeoTIFF pairs to run over."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

WriteTiff = Callable[..., Path]
MakeFiles = Callable[..., tuple[Path, Path]]

UTM = "EPSG:32632"
ORIGIN = (500_000.0, 5_200_000.0)
PIXEL = 0.5


@pytest.fixture
def write_tiff(tmp_path: Path) -> WriteTiff:
    """Write (H, W, bands) as a tiled GeoTIFF, in UTM at half a metre unless told otherwise."""

    def write(name: str, pixels: NDArray[Any], **profile: Any) -> Path:
        height, width, count = pixels.shape
        settings = {
            "driver": "GTiff",
            "height": height,
            "width": width,
            "count": count,
            "dtype": pixels.dtype,
            "crs": UTM,
            "transform": from_origin(*ORIGIN, PIXEL, PIXEL),
            "tiled": True,
            "blockxsize": 128,
            "blockysize": 128,
            "compress": "deflate",
        }
        path = tmp_path / name
        with rasterio.open(path, "w", **{**settings, **profile}) as sink:
            sink.write(np.moveaxis(pixels, -1, 0))
        return path

    return write


@pytest.fixture
def make_files(write_tiff: WriteTiff, make_scene: Callable[..., NDArray[np.uint8]]) -> MakeFiles:
    """T1 and T2 of one size, with bright boxes (top, left, height, width) on the later one."""

    def make(height: int, width: int, *boxes: tuple[int, int, int, int], **profile: Any) -> tuple[Path, Path]:
        images = make_scene(height, width, *boxes)
        return write_tiff("t1.tif", images[0], **profile), write_tiff("t2.tif", images[1], **profile)

    return make
