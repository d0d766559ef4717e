"""Both dates on one grid, at one normalisation, with what is valid."""

from collections.abc import Callable

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin
from rasterio.warp import Resampling, calculate_default_transform, reproject

from gateway.scenes import ScenePair
from gateway.tiling import Window
from tests.gateway.scenes.conftest import ORIGIN, UTM, MakeFiles, WriteTiff

pytestmark = pytest.mark.unit

WHOLE = Window(top=0, left=0, height=96, width=128)
MakeScene = Callable[..., NDArray[np.uint8]]


def test_8_bit_on_one_grid_comes_bit_for_bit(make_files: MakeFiles, make_scene: MakeScene) -> None:
    with ScenePair.open(*make_files(96, 128, (20, 30, 40, 50))) as pair:
        part = pair.read(WHOLE)
        assert part.valid.all()
        assert np.array_equal(part.images, make_scene(96, 128, (20, 30, 40, 50)))
        inner = pair.read(Window(top=10, left=20, height=30, width=40))
        assert np.array_equal(inner.images, part.images[:, 10:40, 20:60])
        assert pair.stretches == (None, None)


def test_16_bit_has_one_stretch_for_the_whole_scene(write_tiff: WriteTiff) -> None:
    ramp = np.linspace(0, 10_000, 128).astype(np.uint16)
    dark = np.broadcast_to(ramp[None, :, None], (96, 128, 3)).copy()
    with ScenePair.open(write_tiff("t1.tif", dark), write_tiff("t2.tif", dark * 3)) as pair:
        whole = pair.read(WHOLE).images
        # Each date by its own percentiles: three times as bright looks the same.
        assert np.abs(whole[0].astype(int) - whole[1]).max() <= 1
        assert whole[0].min() == 0 and whole[0].max() == 255
        # A window is stretched as the scene is, never on its own.
        part = pair.read(Window(top=0, left=0, height=96, width=32)).images
        assert np.array_equal(part, whole[:, :, :32])
        assert part.max() < 80


def test_stretch_ignores_what_is_not_valid(write_tiff: WriteTiff) -> None:
    values = np.random.default_rng(0).integers(1000, 2000, (96, 128, 3)).astype(np.uint16)
    values[:, :64] = 65_535
    path = write_tiff("t1.tif", values, nodata=65_535)
    with ScenePair.open(path, path) as pair:
        stretch = pair.stretches[0]
        assert stretch is not None and max(stretch.high) < 2000


@pytest.mark.parametrize("how", ["nodata", "alpha", "mask", "nan"])
@pytest.mark.parametrize("warped", [False, True])
def test_pixels_without_data_are_not_valid(how: str, warped: bool, write_tiff: WriteTiff) -> None:
    ground = np.random.default_rng(0).integers(50, 90, (96, 128, 3)).astype(np.uint8)
    gone = np.zeros((96, 128), dtype=np.bool_)
    gone[:30, :40] = True
    t1 = write_tiff("t1.tif", ground)
    later = ground.copy()
    later[gone] = 0
    grid = {"transform": from_origin(ORIGIN[0] - 8, ORIGIN[1] + 8, 0.5, 0.5)} if warped else {}
    if how == "nodata":
        t2 = write_tiff("t2.tif", later, nodata=0, **grid)
    elif how == "alpha":
        t2 = write_tiff("t2.tif", np.dstack([later, np.where(gone, 0, 255).astype(np.uint8)]), **grid)
        with rasterio.open(t2, "r+") as sink:
            sink.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    elif how == "mask":
        t2 = write_tiff("t2.tif", later, **grid)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(t2, "r+") as sink:
            sink.write_mask(~gone)
    else:
        holed = later.astype(np.float32)
        holed[gone] = np.nan
        t2 = write_tiff("t2.tif", holed, nodata=np.nan, **grid)
    expected = ~gone
    if warped:
        # The later scene lies 16 pixels further up and left, and ends so much earlier.
        expected = np.zeros_like(gone)
        expected[:80, :112] = ~gone[16:, 16:]
    with ScenePair.open(t1, t2) as pair:
        part = pair.read(WHOLE)
        assert np.array_equal(part.valid, expected)
        assert not part.images[:, ~expected].any()


def test_another_system_and_resolution_falls_on_the_same_ground(
    write_tiff: WriteTiff, make_scene: MakeScene
) -> None:
    images = make_scene(256, 256, (64, 96, 64, 48))
    t1 = write_tiff("t1.tif", images[0])
    # The later scene as somebody else would deliver it: in degrees, at another resolution.
    here = from_origin(*ORIGIN, 0.5, 0.5)
    bounds = (ORIGIN[0], ORIGIN[1] - 128, ORIGIN[0] + 128, ORIGIN[1])
    there, width, height = calculate_default_transform(UTM, "EPSG:4326", 256, 256, *bounds, resolution=3e-6)
    warped = np.zeros((3, height, width), dtype=np.uint8)
    reproject(
        np.moveaxis(images[1], -1, 0), warped, src_transform=here, src_crs=UTM, dst_transform=there,
        dst_crs="EPSG:4326", resampling=Resampling.nearest,
    )  # fmt: skip
    t2 = write_tiff("t2.tif", np.moveaxis(warped, 0, -1), crs="EPSG:4326", transform=there, nodata=0)
    with ScenePair.open(t1, t2) as pair:
        part = pair.read(Window(top=0, left=0, height=256, width=256))
    rows, columns = np.nonzero(part.images[1].mean(axis=2) > 135)
    assert abs(rows.min() - 64) <= 1 and abs(rows.max() - 127) <= 1
    assert abs(columns.min() - 96) <= 1 and abs(columns.max() - 143) <= 1
    assert part.valid[8:-8, 8:-8].all()


def test_overview_shows_the_whole_scene(make_files: MakeFiles) -> None:
    with ScenePair.open(*make_files(400, 800, (0, 400, 400, 400))) as pair:
        images = pair.overview(100).images
        assert images.shape == (2, 50, 100, 3)
        assert images[1, :, 60:].min() == 200 and images[1, :, :40].max() < 70
