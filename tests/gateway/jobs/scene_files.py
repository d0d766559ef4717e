"""Scenes for jobs: textured ground, and bright boxes on the later date."""

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

Box = tuple[int, int, int, int]


def write_scene(path: Path, height: int, width: int, *boxes: Box) -> Path:
    """Write a GeoTIFF; each box is top, left, height, width."""
    # A gradient, so that no two tiles are the same.
    rows, columns = np.mgrid[:height, :width]
    ground = np.stack([60 + rows * 20 // height, 60 + columns * 20 // width, (rows + columns) % 7 + 60])
    pixels = ground.astype(np.uint8)
    for top, left, tall, wide in boxes:
        pixels[:, top : top + tall, left : left + wide] = 200
    return write_pixels(path, pixels)


def write_pixels(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """Write uint8 (3, H, W) as a GeoTIFF of a metre a pixel."""
    _, height, width = pixels.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "tiled": True, "compress": "deflate"}
    place = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_200_000, 1, 1)}
    with rasterio.open(path, "w", height=height, width=width, **profile, **place) as sink:
        sink.write(pixels)
    return path
