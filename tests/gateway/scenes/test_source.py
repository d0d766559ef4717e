"""What is refused before a pixel is read, each in one sentence that names the file."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from gateway.scenes import ScenePair
from reasoncd.errors import InvalidInputError, NotFoundError, ReasonCDError
from tests.gateway.scenes.conftest import ORIGIN, MakeFiles, WriteTiff

pytestmark = pytest.mark.unit

COLOURS = np.full((64, 64, 3), 90, dtype=np.uint8)


def _refused(t1: Path, t2: Path, kind: type[ReasonCDError] = InvalidInputError) -> str:
    with pytest.raises(kind) as caught, ScenePair.open(t1, t2):
        pass
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/t1.tif",
        "s3://bucket/t1.tif",
        "/vsicurl/https://example.org/t1.tif",
        "/vsimem/a.tif",
    ],
)
def test_an_address_is_refused(address: str, write_tiff: WriteTiff) -> None:
    assert "is an address, not a file" in _refused(Path(address), write_tiff("t2.tif", COLOURS))


def test_a_missing_file_is_named(tmp_path: Path, write_tiff: WriteTiff) -> None:
    message = _refused(tmp_path / "none.tif", write_tiff("t2.tif", COLOURS), NotFoundError)
    assert "none.tif does not exist" in message


@pytest.mark.parametrize("part", [0.2, 0.5, 0.95])
def test_a_file_that_is_cut_short_is_refused_at_once(part: float, make_files: MakeFiles) -> None:
    t1, t2 = make_files(512, 512)
    t2.write_bytes(t2.read_bytes()[: int(t2.stat().st_size * part)])
    assert "cut short" in _refused(t1, t2)


def test_a_vrt_is_refused_wherever_it_points(tmp_path: Path, write_tiff: WriteTiff) -> None:
    t1 = write_tiff("t1.tif", COLOURS)
    vrt = tmp_path / "t2.tif"
    vrt.write_text(
        '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        "<SourceFilename>/vsicurl/http://127.0.0.1:9/x.tif</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    assert "is a VRT" in _refused(t1, vrt)


def test_a_tiff_that_names_another_file_is_refused(write_tiff: WriteTiff) -> None:
    t1, t2 = write_tiff("t1.tif", COLOURS), write_tiff("t2.tif", COLOURS)
    with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(t2, "r+") as sink:
        sink.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="/vsicurl/http://127.0.0.1:9/x.tif")
    assert "points to other files" in _refused(t1, t2)


def test_sidecars_are_not_read(write_tiff: WriteTiff) -> None:
    t1, t2 = write_tiff("t1.tif", COLOURS), write_tiff("t2.tif", COLOURS)
    t2.with_suffix(".tif.aux.xml").write_text(
        '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/etc/passwd</MDI></Metadata>'
        "</PAMDataset>"
    )
    t2.with_suffix(".tif.msk").write_bytes(b"not a mask")
    with ScenePair.open(t1, t2) as pair:
        assert pair.overview(64).valid.all()


def test_something_else_is_refused(tmp_path: Path, write_tiff: WriteTiff) -> None:
    other = tmp_path / "t2.tif"
    other.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert "is not a GeoTIFF" in _refused(write_tiff("t1.tif", COLOURS), other)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (COLOURS[..., :1], "has 1 band;"),
        (COLOURS[..., :2], "has 2 bands;"),
        (COLOURS.astype(np.complex64), "complex values"),
        (COLOURS[:8, :8], "at least 16 x 16"),
    ],
)
def test_pixels_that_cannot_be_compared_are_refused(
    pixels: np.ndarray, words: str, write_tiff: WriteTiff
) -> None:
    assert words in _refused(write_tiff("t1.tif", COLOURS), write_tiff("t2.tif", pixels))


def test_a_reference_system_on_one_side_only_is_refused(write_tiff: WriteTiff) -> None:
    with_one = write_tiff("t1.tif", COLOURS)
    without = write_tiff("t2.tif", COLOURS, crs=None)
    assert "t2.tif has no coordinate reference system but" in _refused(with_one, without)
    assert "t2.tif has no coordinate reference system but" in _refused(without, with_one)


def test_no_overlap_is_refused(write_tiff: WriteTiff) -> None:
    east, north = ORIGIN
    t1 = write_tiff("t1.tif", COLOURS)
    beside = write_tiff("t2.tif", COLOURS, transform=from_origin(east + 32, north, 0.5, 0.5))
    assert "do not overlap" in _refused(t1, beside)
    abroad = write_tiff("t3.tif", COLOURS, crs="EPSG:32610")
    assert "do not overlap" in _refused(t1, abroad)


def test_no_common_valid_pixel_is_refused(write_tiff: WriteTiff) -> None:
    left, right = COLOURS.copy(), COLOURS.copy()
    left[:, :32], right[:, 32:] = 0, 0
    message = _refused(write_tiff("t1.tif", left, nodata=0), write_tiff("t2.tif", right, nodata=0))
    assert "no pixel in which both hold data" in message


def test_other_sizes_without_a_reference_system_are_refused(write_tiff: WriteTiff) -> None:
    t1 = write_tiff("t1.tif", COLOURS, crs=None, transform=None)
    t2 = write_tiff("t2.tif", COLOURS[:48], crs=None, transform=None)
    assert "do not lie on one grid" in _refused(t1, t2)


def test_four_bands_need_colours_or_a_choice(write_tiff: WriteTiff) -> None:
    four = np.dstack([COLOURS + band for band in (0, 10)])[..., :4].copy()
    four[..., 3] = 7
    path = write_tiff("t1.tif", four, photometric="minisblack")
    assert "--bands" in _refused(path, path)
    with ScenePair.open(path, path, bands=(4, 1, 1)) as pair:
        assert pair.overview(64).images[0, 0, 0].tolist() == [7, 90, 90]
    with rasterio.open(path, "r+") as sink:
        sink.colorinterp = [ColorInterp.undefined, ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    with ScenePair.open(path, path) as pair:
        assert pair.overview(64).images[0, 0, 0].tolist() == [7, 90, 90]
    with pytest.raises(InvalidInputError, match="band 9"), ScenePair.open(path, path, bands=(1, 2, 9)):
        pass
