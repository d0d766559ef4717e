"""Two image files in, one checked pair of pixels out.

What a file holds is judged by its content, never by its name. PNG and JPEG are decoded by Pillow, TIFF by
GDAL's GeoTIFF driver alone, both from bytes in memory, so no sidecar file (world file, .aux.xml,
.ovr) is ever consulted. Sizes are checked in the header, before a pixel is decoded.

What is accepted, and what becomes of it:

- 8-bit RGB as it is; a palette is looked up; an alpha channel is dropped where it is opaque everywhere.
- TIFF with three bands is taken as red, green, blue; with more, the bands whose colour interpretation says
  red, green and blue are taken.
- An EXIF orientation in PNG or JPEG is applied, so the pixels are as viewers show them. TIFF is
  taken as stored, which is what its georeferencing refers to; nodata values are taken as pixels.
- If both files are georeferenced, they must lie on one grid (`MAX_GRID_SHIFT`). If one is, it speaks for
  both: equal sizes are then the only evidence that the two match, as for a pair of plain pictures.

Everything else is refused with a sentence that says how to mend it. This module knows no model.
"""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile

from reasoncd.errors import InvalidInputError, NotFoundError

MIN_SIDE = 16
MAX_SIDE = 4096
MAX_BYTES = 256 * 2**20
"""Of one file; an uncompressed 4096 x 4096 RGBA image takes a quarter of it."""
MAX_GRID_SHIFT = 0.1
"""Pixels by which the corners of two georeferenced images may differ: rounding, no more."""

_UNDECODABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    RasterioError,
    CPLE_BaseError,
)
"""What Pillow and GDAL raise on damaged bytes; rasterio has no public name for the last one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Georeference:
    """Where the pixels lie on the Earth."""

    transform: tuple[float, float, float, float, float, float]
    """Affine a, b, c, d, e, f: x = a col + b row + c, y = d col + e row + f, of pixel corners."""
    crs: str | None
    """Coordinate reference system, as `EPSG:n` where it has a code, else WKT; None where unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedImage:
    """One decoded file."""

    pixels: NDArray[np.uint8]
    """(H, W, 3), RGB, 0-255."""
    georef: Georeference | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePair:
    """Two images of one place and one size."""

    images: NDArray[np.uint8]
    """(2, H, W, 3), RGB, 0-255, the earlier one first."""
    georef: Georeference | None


def read_pair(t1: Path, t2: Path) -> ImagePair:
    """Read, check and stack the earlier and the later image.

    Raises:
        NotFoundError: a file is not there.
        InvalidInputError: a file cannot be used, or the two do not match each other.
    """
    return pair_images(decode_image(_read(t1), str(t1)), decode_image(_read(t2), str(t2)), str(t1), str(t2))


def pair_images(first: DecodedImage, second: DecodedImage, name1: str, name2: str) -> ImagePair:
    """Stack two decoded images of one size and one grid; the names are for messages.

    Raises:
        InvalidInputError: sizes, coordinate reference systems or grids differ.
    """
    (h1, w1, _), (h2, w2, _) = first.pixels.shape, second.pixels.shape
    if (h1, w1) != (h2, w2):
        raise InvalidInputError(
            f"{name1} is {w1} x {h1} pixels but {name2} is {w2} x {h2}; "
            "cut or resample one of them so that both show the same area at one size"
        )
    if first.georef and second.georef:
        _check_same_grid(first.georef, second.georef, w1, h1, name1, name2)
    georef = first.georef
    if second.georef and (georef is None or georef.crs is None):
        georef = second.georef
    return ImagePair(images=np.stack([first.pixels, second.pixels]), georef=georef)


def decode_image(data: bytes, name: str) -> DecodedImage:
    """Decode the bytes of one PNG, JPEG or TIFF file; `name` is for messages.

    Raises:
        InvalidInputError: another format, damaged bytes, a size out of bounds, or pixels that are not
            8-bit colour.
    """
    if not data:
        raise InvalidInputError(f"{name} is empty; give a PNG, JPEG or TIFF image")
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return DecodedImage(pixels=_decode_png(data, name), georef=None)
        if data.startswith(b"\xff\xd8\xff"):
            return DecodedImage(pixels=_decode_with_pillow(data, name, "JPEG"), georef=None)
        if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _decode_tiff(data, name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InvalidInputError(_size_message(name, "far more")) from None
    except _UNDECODABLE as error:
        raise InvalidInputError(
            f"{name} cannot be decoded: it is damaged or cut short; save it anew"
        ) from error
    raise InvalidInputError(
        f"{name} is not a PNG, JPEG or TIFF image (its first bytes say so); convert it to one of them"
    )


def _read(path: Path) -> bytes:
    try:
        if not path.exists():
            raise NotFoundError(f"{path} does not exist; check the path of the image")
        if not path.is_file():
            raise InvalidInputError(f"{path} is not a regular file; give the path of an image file")
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInputError(
                f"{path} is larger than {MAX_BYTES // 2**20} MiB; cut it into smaller images"
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the path is not valid"
        raise InvalidInputError(
            f"{path} cannot be read ({reason}); check the path and its permissions"
        ) from error


def _size_message(name: str, size: str) -> str:
    return (
        f"{name} has {size} pixels; cut or resample it to between "
        f"{MIN_SIDE} x {MIN_SIDE} and {MAX_SIDE} x {MAX_SIDE}"
    )


def _check_size(width: int, height: int, name: str) -> None:
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_SIDE:
        raise InvalidInputError(_size_message(name, f"{width} x {height}"))


def _refuse_depth(name: str, depth: str) -> InvalidInputError:
    return InvalidInputError(
        f"{name} holds {depth} values; rescale both images alike to 8 bit, for example with "
        "`gdal_translate -ot Byte -scale 0 3000 0 255 IN OUT`"
    )


def _refuse_gray(name: str) -> InvalidInputError:
    return InvalidInputError(f"{name} is grayscale; give a colour image with red, green and blue")


def _decode_png(data: bytes, name: str) -> NDArray[np.uint8]:
    # Pillow reduces 16-bit colour to 8 bit without a word, so depth and type are read here.
    if data[12:16] != b"IHDR":
        raise ValueError("no IHDR chunk")
    width, height, depth, colour_type = struct.unpack(">IIBB", data[16:26])
    _check_size(width, height, name)
    if depth == 16:
        raise _refuse_depth(name, "16-bit")
    if colour_type in (0, 4):
        raise _refuse_gray(name)
    return _decode_with_pillow(data, name, "PNG")


def _decode_with_pillow(data: bytes, name: str, form: str) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        # Pillow warns of odd metadata, which is none of the user's concern, and of bombs, which is ours.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=[form]) as opened:
            return _pillow_pixels(opened, name)


def _pillow_pixels(opened: Image.Image, name: str) -> NDArray[np.uint8]:
    _check_size(*opened.size, name)
    if opened.format == "PNG" and getattr(opened, "n_frames", 1) > 1:
        raise InvalidInputError(f"{name} is an animation; give one still image per date")
    if opened.mode in ("1", "L", "LA", "La"):
        raise _refuse_gray(name)
    if opened.mode not in ("RGB", "RGBA", "P"):
        raise InvalidInputError(f"{name} has colour mode {opened.mode}; convert it to 8-bit RGB")
    opened.load()
    picture: Image.Image = ImageOps.exif_transpose(opened)
    if picture.mode == "RGBA" or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        _check_opaque(np.asarray(picture.getchannel("A")), name)
    return np.array(picture.convert("RGB"), dtype=np.uint8)


def _check_opaque(alpha: NDArray[np.uint8], name: str) -> None:
    if alpha.min() < 255:
        raise InvalidInputError(
            f"{name} is transparent in places, where nothing can be compared; "
            "cut both images to the area that both cover, or save without an alpha channel"
        )


def _decode_tiff(data: bytes, name: str) -> DecodedImage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with MemoryFile(data) as memory, memory.open(driver="GTiff") as source:
            _check_tiff_header(source, name)
            return DecodedImage(pixels=_tiff_pixels(source, name), georef=_georeference(source))


def _check_tiff_header(source: DatasetReader, name: str) -> None:
    _check_size(source.width, source.height, name)
    if source.subdatasets:
        raise InvalidInputError(f"{name} holds several images; save the wanted one as a file of its own")
    # A small image can claim huge blocks, which GDAL would allocate whole.
    if any(height * width > MAX_SIDE * MAX_SIDE for height, width in source.block_shapes):
        raise InvalidInputError(
            f"{name} is stored in blocks larger than {MAX_SIDE} x {MAX_SIDE} pixels; save it anew"
        )
    kinds = set(source.dtypes)
    if kinds != {"uint8"}:
        raise _refuse_depth(name, " and ".join(sorted(kinds)))


def _tiff_pixels(source: DatasetReader, name: str) -> NDArray[np.uint8]:
    meaning = source.colorinterp
    if source.count == 1 and meaning[0] == ColorInterp.palette:
        table = np.zeros((256, 4), dtype=np.uint8)
        for index, colour in source.colormap(1).items():
            table[index] = colour
        rgba = table[source.read(1)]
        _check_opaque(rgba[..., 3], name)
        return np.ascontiguousarray(rgba[..., :3])
    if source.count <= 2:
        raise _refuse_gray(name)
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(meaning.count(colour) == 1 for colour in wanted):
        bands = [meaning.index(colour) + 1 for colour in wanted]
    elif source.count == 3:
        bands = [1, 2, 3]
    else:
        raise InvalidInputError(
            f"{name} has {source.count} bands and does not say which are red, green and blue; choose them, "
            "for example with `gdal_translate -b 3 -b 2 -b 1 -colorinterp red,green,blue IN OUT`"
        )
    if ColorInterp.alpha in meaning:
        _check_opaque(source.read(meaning.index(ColorInterp.alpha) + 1), name)
    return np.ascontiguousarray(np.moveaxis(source.read(bands), 0, -1))


def _georeference(source: DatasetReader) -> Georeference | None:
    transform = source.transform
    if transform.is_identity or not transform.determinant or not np.isfinite(tuple(transform)).all():
        return None
    a, b, c, d, e, f = (float(value) for value in tuple(transform)[:6])
    return Georeference(transform=(a, b, c, d, e, f), crs=source.crs.to_string() if source.crs else None)


def _check_same_grid(
    first: Georeference, second: Georeference, width: int, height: int, name1: str, name2: str
) -> None:
    mend = "reproject one onto the other's grid first, for example with `gdalwarp`"
    if first.crs and second.crs and CRS.from_string(first.crs) != CRS.from_string(second.crs):
        raise InvalidInputError(f"{name1} and {name2} have different coordinate reference systems; {mend}")
    corners = np.array([(0, 0), (width, 0), (0, height), (width, height)], dtype=np.float64)
    matrix1, offset1 = _affine(first)
    matrix2, offset2 = _affine(second)
    # Where the second grid's corners fall on the first one, in its pixels.
    landed = np.linalg.solve(matrix1, (corners @ matrix2.T + (offset2 - offset1)).T).T
    if np.abs(landed - corners).max() > MAX_GRID_SHIFT:
        raise InvalidInputError(f"{name1} and {name2} do not cover the same area on one grid; {mend}")


def _affine(georef: Georeference) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b, c, d, e, f = georef.transform
    return np.array([[a, b], [d, e]]), np.array([c, f])
