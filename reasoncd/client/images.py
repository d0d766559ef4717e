"""An image as the bytes of a file: a path, such bytes, or an array."""

import io
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError, NotFoundError
from reasoncd.rpc.channel import MESSAGE_BYTES

ImageSource = str | PathLike[str] | bytes | NDArray[np.uint8]
"""A path, the bytes of a PNG, JPEG or TIFF file, or uint8 (H, W, 3) in RGB."""


def image_bytes(image: ImageSource, *, name: str) -> bytes:
    """The bytes of an image file; arrays become PNG, which loses nothing.

    Args:
        image: see `ImageSource`.
        name: of the argument, for error messages.

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: the file cannot be read or is too large to be sent, or the array is no image.
    """
    if isinstance(image, bytes):
        data = image
    elif isinstance(image, np.ndarray):
        data = _png(image, name)
    elif isinstance(image, (str, PathLike)):
        data = _read(Path(image), name)
    else:
        raise InvalidInputError(f"{name} is a {type(image).__name__}; give a path, bytes or a uint8 array")
    if len(data) > MESSAGE_BYTES:
        raise _too_large(name)
    return data


def _read(path: Path, name: str) -> bytes:
    try:
        # Asked first: what is far too large is not to be read at all.
        if path.stat().st_size > MESSAGE_BYTES:
            raise _too_large(f"{name}: {path}")
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{name}: {path} does not exist; check the path of the image") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the path is not valid"
        raise InvalidInputError(f"{name}: {path} cannot be read ({reason}); check the path") from error


def _too_large(what: str) -> InvalidInputError:
    return InvalidInputError(
        f"{what} is larger than {MESSAGE_BYTES // 2**20} MiB; cut both images into smaller ones"
    )


def _png(pixels: NDArray[np.uint8], name: str) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise InvalidInputError(
            f"{name} has dtype {pixels.dtype} and shape {pixels.shape}; give uint8 of (H, W, 3)"
        )
    try:
        from PIL import Image
    except ImportError:
        raise InvalidInputError(
            f"{name} is an array, and pillow, which would encode it, is not installed; "
            "install pillow or give a file"
        ) from None
    file = io.BytesIO()
    # The lowest level: an image is sent once, and packing it tighter costs more than the wire.
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
