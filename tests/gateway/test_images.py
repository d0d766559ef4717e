"""What becomes of every kind of file that may be given as an image."""

import contextlib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image

from gateway.images import MAX_SIDE, Georeference, decode_image, read_pair
from reasoncd.errors import InvalidInputError, NotFoundError

pytestmark = pytest.mark.unit

MakeTiff = Callable[..., Path]

UTM = {"crs": "EPSG:32633", "transform": rasterio.Affine(2, 0, 500_000, 0, -2, 5_200_000)}


def rgb(height: int = 40, width: int = 50, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, form, **options)
    return sink.getvalue()


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = [
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (head, body, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_png_is_read_exactly_whatever_its_name(tmp_path: Path) -> None:
    pixels = rgb(), rgb(seed=1)
    paths = tmp_path / "one.jpg", tmp_path / "two"
    for path, values in zip(paths, pixels, strict=True):
        path.write_bytes(encoded(Image.fromarray(values), "PNG"))
    pair = read_pair(*paths)
    assert pair.images.shape == (2, 40, 50, 3)
    assert pair.images.dtype == np.uint8
    np.testing.assert_array_equal(pair.images, np.stack(pixels))
    assert pair.georef is None


def test_jpeg_is_read_close_to_the_original() -> None:
    smooth = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    decoded = decode_image(encoded(Image.fromarray(smooth), "JPEG", quality=95), "a.jpg")
    assert np.abs(decoded.pixels.astype(int) - smooth).mean() < 4


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter, clockwise
    decoded = decode_image(encoded(Image.fromarray(rgb()), "PNG", exif=exif), "a.png")
    np.testing.assert_array_equal(decoded.pixels, np.rot90(rgb(), -1))


def test_palette_is_looked_up() -> None:
    picture = Image.fromarray(rgb()).quantize(16)
    decoded = decode_image(encoded(picture, "PNG"), "a.png")
    np.testing.assert_array_equal(decoded.pixels, np.asarray(picture.convert("RGB")))


def test_opaque_alpha_is_dropped_and_transparency_refused() -> None:
    rgba = np.dstack([rgb(), np.full((40, 50), 255, np.uint8)])
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(rgba), "PNG"), "a").pixels, rgb())
    rgba[3, 4, 3] = 254
    with pytest.raises(InvalidInputError, match=r"a\.png is transparent"):
        decode_image(encoded(Image.fromarray(rgba), "PNG"), "a.png")
    keyed = encoded(Image.fromarray(rgb()), "PNG", transparency=tuple(int(v) for v in rgb()[0, 0]))
    with pytest.raises(InvalidInputError, match="transparent"):
        decode_image(keyed, "a.png")


@pytest.mark.parametrize("form", ["GIF", "WEBP", "BMP", "PPM", "ICO"])
def test_other_formats_are_refused(form: str) -> None:
    with pytest.raises(InvalidInputError, match=r"photo\.png is not a PNG, JPEG or TIFF"):
        decode_image(encoded(Image.fromarray(rgb()), form), "photo.png")


@pytest.mark.parametrize(
    ("picture", "match"),
    [
        (Image.new("L", (40, 40)), "grayscale"),
        (Image.new("LA", (40, 40)), "grayscale"),
        (Image.new("1", (40, 40)), "grayscale"),
        (Image.fromarray(np.zeros((40, 40), np.uint16)), "16-bit .*gdal_translate"),
    ],
)
def test_png_that_is_not_8_bit_colour_is_refused(picture: Any, match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        decode_image(encoded(picture, "PNG"), "a.png")


def test_16_bit_colour_png_is_refused_although_pillow_would_reduce_it() -> None:
    with pytest.raises(InvalidInputError, match="16-bit"):
        decode_image(png_header(40, 40, depth=16), "a.png")


@pytest.mark.parametrize(("mode", "match"), [("L", "grayscale"), ("CMYK", "CMYK")])
def test_jpeg_that_is_not_rgb_is_refused(mode: Any, match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        decode_image(encoded(Image.new(mode, (40, 40)), "JPEG"), "a.jpg")


def test_animation_is_refused() -> None:
    frames = [Image.fromarray(rgb()), Image.fromarray(rgb(seed=1))]
    with pytest.raises(InvalidInputError, match="animation"):
        decode_image(encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]), "a.png")


@pytest.mark.parametrize(
    "size", [(15, 40), (40, 15), (MAX_SIDE + 1, 40), (40, MAX_SIDE + 1), (60_000, 60_000)]
)
def test_sizes_out_of_bounds_are_refused_from_the_header(size: tuple[int, int]) -> None:
    # The pixels are not there at all: only a check of the header can give this answer.
    with pytest.raises(InvalidInputError, match=rf"{size[0]} x {size[1]} pixels; cut or resample"):
        decode_image(png_header(*size), "a.png")


def test_jpeg_bomb_is_refused_from_the_header() -> None:
    data = encoded(Image.fromarray(rgb()), "JPEG")
    frame = data.index(b"\xff\xc0")
    for side in (5_000, 12_000, 65_000):
        bomb = data[: frame + 5] + struct.pack(">HH", side, side) + data[frame + 9 :]
        with pytest.raises(InvalidInputError, match="pixels; cut or resample"):
            decode_image(bomb, "a.jpg")


def test_limits_themselves_are_taken() -> None:
    assert decode_image(encoded(Image.new("RGB", (16, MAX_SIDE)), "PNG"), "a").pixels.shape == (
        MAX_SIDE,
        16,
        3,
    )


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_truncated_files_are_refused_wherever_they_are_cut(form: str) -> None:
    data = encoded(Image.fromarray(rgb(64, 64)), form)
    for kept in (3, 5, 9, 20, 40, len(data) // 4, len(data) // 2, len(data) * 9 // 10):
        with pytest.raises(InvalidInputError, match=r"a\.bin (cannot be decoded|is not a PNG|has)"):
            decode_image(data[:kept], "a.bin")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_damaged_bytes_give_pixels_or_one_sentence_but_never_another_error(form: str) -> None:
    data = encoded(Image.fromarray(rgb(24, 24)), form)
    rng = np.random.default_rng(7)
    for _ in range(150):
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[rng.integers(4, len(damaged), 4)] = rng.integers(0, 256, 4)
        with contextlib.suppress(InvalidInputError):
            assert decode_image(damaged.tobytes(), "a").pixels.dtype == np.uint8


def test_random_and_empty_bytes_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="is not a PNG, JPEG or TIFF"):
        decode_image(np.random.default_rng(0).bytes(5000), "noise.png")
    with pytest.raises(InvalidInputError, match=r"none\.png is empty"):
        decode_image(b"", "none.png")


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.fromarray(rgb()).save(good)
    with pytest.raises(NotFoundError, match=r"gone\.png does not exist"):
        read_pair(good, tmp_path / "gone.png")
    with pytest.raises(InvalidInputError, match="not a regular file"):
        read_pair(tmp_path, good)
    with pytest.raises(NotFoundError, match="does not exist"):
        read_pair(good / "below.png", good)
    with pytest.raises(InvalidInputError, match="not a regular file"):
        read_pair(Path("/dev/zero"), good)


def test_a_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    huge = tmp_path / "huge.png"
    with huge.open("wb") as sink:
        sink.truncate(2**40)
    with pytest.raises(InvalidInputError, match="larger than 256 MiB"):
        read_pair(huge, huge)


def test_sizes_that_differ_are_refused_naming_both(tmp_path: Path) -> None:
    for name, size in (("a.png", (50, 40)), ("b.png", (51, 40))):
        Image.new("RGB", size).save(tmp_path / name)
    with pytest.raises(InvalidInputError, match=r"a\.png is 50 x 40 pixels but .*b\.png is 51 x 40"):
        read_pair(tmp_path / "a.png", tmp_path / "b.png")


def test_geotiff_keeps_its_georeferencing(make_tiff: MakeTiff) -> None:
    bands = np.moveaxis(rgb(), -1, 0)
    path = make_tiff("a.tif", bands, **UTM)
    pair = read_pair(path, path)
    np.testing.assert_array_equal(pair.images[0], rgb())
    assert pair.georef == Georeference(transform=(2, 0, 500_000, 0, -2, 5_200_000), crs="EPSG:32633")


def test_one_georeferenced_image_speaks_for_both(make_tiff: MakeTiff, tmp_path: Path) -> None:
    tiff = make_tiff("a.tif", np.moveaxis(rgb(), -1, 0), **UTM)
    Image.fromarray(rgb()).save(tmp_path / "b.png")
    for pair in (read_pair(tiff, tmp_path / "b.png"), read_pair(tmp_path / "b.png", tiff)):
        assert pair.georef is not None
        assert pair.georef.crs == "EPSG:32633"


def test_grids_that_differ_are_refused(make_tiff: MakeTiff) -> None:
    bands = np.moveaxis(rgb(), -1, 0)
    first = make_tiff("a.tif", bands, **UTM)
    shifted = make_tiff(
        "b.tif", bands, **{**UTM, "transform": rasterio.Affine(2, 0, 500_002, 0, -2, 5_200_000)}
    )
    other_zone = make_tiff("c.tif", bands, **{**UTM, "crs": "EPSG:32634"})
    rounded = make_tiff(
        "d.tif", bands, **{**UTM, "transform": rasterio.Affine(2, 0, 500_000.01, 0, -2, 5_200_000)}
    )
    with pytest.raises(InvalidInputError, match="same area on one grid; reproject"):
        read_pair(first, shifted)
    with pytest.raises(InvalidInputError, match="different coordinate reference systems; reproject"):
        read_pair(first, other_zone)
    assert read_pair(first, rounded).georef is not None


def test_tiff_bands_are_chosen_by_their_meaning(make_tiff: MakeTiff) -> None:
    bands = np.random.default_rng(0).integers(0, 255, (4, 20, 30), dtype=np.uint8)
    path = make_tiff("bgrn.tif", bands, photometric="MINISBLACK")
    with pytest.raises(InvalidInputError, match="4 bands and does not say which are red"):
        read_pair(path, path)
    with rasterio.open(path, "r+") as sink:
        sink.colorinterp = [
            rasterio.enums.ColorInterp[name] for name in ("blue", "green", "red", "undefined")
        ]
    np.testing.assert_array_equal(read_pair(path, path).images[0], np.moveaxis(bands[[2, 1, 0]], 0, -1))


def test_tiff_alpha_must_be_opaque(make_tiff: MakeTiff) -> None:
    bands = np.full((4, 20, 30), 255, np.uint8)
    path = make_tiff("rgba.tif", bands, photometric="RGB", alpha="YES")
    assert read_pair(path, path).images.shape == (2, 20, 30, 3)
    bands[3, 0, 0] = 0
    path = make_tiff("rgba.tif", bands, photometric="RGB", alpha="YES")
    with pytest.raises(InvalidInputError, match="transparent"):
        read_pair(path, path)


def test_tiff_palette_is_looked_up(make_tiff: MakeTiff) -> None:
    indices = np.random.default_rng(0).integers(0, 3, (1, 20, 30), dtype=np.uint8)
    path = make_tiff("palette.tif", indices, photometric="PALETTE")
    colours = {0: (1, 2, 3, 255), 1: (10, 20, 30, 255), 2: (200, 100, 50, 255)}
    with rasterio.open(path, "r+") as sink:
        sink.write_colormap(1, colours)
    table = np.array([colours[i][:3] for i in range(3)], np.uint8)
    np.testing.assert_array_equal(read_pair(path, path).images[0], table[indices[0]])


@pytest.mark.parametrize(
    ("count", "dtype", "match"),
    [
        (1, "uint8", "grayscale"),
        (2, "uint8", "grayscale"),
        (3, "uint16", "uint16"),
        (3, "float32", "float32"),
    ],
)
def test_tiff_that_is_not_8_bit_colour_is_refused(
    make_tiff: MakeTiff, count: int, dtype: str, match: str
) -> None:
    path = make_tiff("a.tif", np.zeros((count, 20, 30), dtype))
    with pytest.raises(InvalidInputError, match=match):
        read_pair(path, path)


def test_multi_page_tiff_is_refused() -> None:
    pages = [Image.fromarray(rgb()), Image.fromarray(rgb(seed=1))]
    with pytest.raises(InvalidInputError, match="several images"):
        decode_image(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]), "a.tif")


def test_a_world_file_beside_an_image_is_not_read(tmp_path: Path) -> None:
    Image.fromarray(rgb()).save(tmp_path / "a.tif")
    (tmp_path / "a.tfw").write_text("2\n0\n0\n-2\n500000\n5200000\n")
    assert read_pair(tmp_path / "a.tif", tmp_path / "a.tif").georef is None
