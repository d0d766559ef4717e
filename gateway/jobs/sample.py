"""The sample pair as scenes: what a caller without scenes of its own can try jobs on."""

from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from reasoncd.errors import OutputError

PICTURES = Path(__file__).resolve().parents[1] / "server" / "samples"
"""Folders with `t1.png` and `t2.png` each."""
_CRS, _WEST, _NORTH, _PIXEL_M = "EPSG:32631", 500_000.0, 5_000_000.0, 1.0
"""The places are drawn: they lie nowhere, and here so that areas can be told."""


def sample_folder(folder: Path) -> Path | None:
    """The samples as GeoTIFFs under a gateway's folder, made if they are not there.

    Returns:
        Their folder; None where there are no samples.

    Raises:
        OutputError: they cannot be written.
    """
    sources = sorted(PICTURES.glob("*/t?.png"))
    if not sources:
        return None
    target = folder / "sample"
    try:
        for source in sources:
            path = target / source.parent.name / f"{source.stem}.tif"
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(source, path)
    except OSError as error:
        raise OutputError(f"the sample cannot be written to {target} ({error.strerror}); free it") from None
    return target


def _write(source: Path, path: Path) -> None:
    with Image.open(source) as picture:
        bands = np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)
    draft = path.with_suffix(".new")
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "compress": "deflate", "tiled": True}
    transform = from_origin(_WEST, _NORTH, _PIXEL_M, _PIXEL_M)
    with rasterio.open(
        draft, "w", height=bands.shape[1], width=bands.shape[2], crs=_CRS, transform=transform, **profile
    ) as sink:
        sink.write(bands)
    draft.replace(path)
