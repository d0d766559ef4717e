"""Masks as grey PNG files, and the reading of pictures that a message can point at."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError
from training.data.labels import NO, UNKNOWN, YES

_PNG = b"\x89PNG\r\n\x1a\n"
_BITS_PER_SAMPLE = 258
"""A tag of TIFF files."""
_DEEP = "has 16 bits a channel; rescale both dates alike to 8 bits"
UNCHANGED_GREY, UNKNOWN_GREY, CHANGED_GREY = 0, 128, 255
_TRUTH_OF_GREY = {UNCHANGED_GREY: NO, 1: YES, CHANGED_GREY: YES, UNKNOWN_GREY: UNKNOWN}
"""1 is read as changed too, which is how label editors write masks; it is never written."""


def grey_of_truth(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Truth values (H, W) of 0, 1, 255 unknown -> greys (H, W) of a mask file."""
    return np.choose(np.minimum(mask, 2), (UNCHANGED_GREY, CHANGED_GREY, UNKNOWN_GREY)).astype(np.uint8)


def truth_of_grey(grey: NDArray[np.uint8], what: str) -> NDArray[np.uint8]:
    """Greys (H, W) -> truth values (H, W) of 0, 1, 255 unknown.

    Args:
        grey: as `decoded` gave it.
        what: names the file in a message.

    Raises:
        InvalidInputError: another grey occurs.
    """
    strange = np.setdiff1d(grey, list(_TRUTH_OF_GREY))
    if strange.size:
        raise InvalidInputError(
            f"{what} holds the value {strange[0]}; recode it to 0 unchanged, 255 changed, 128 unknown"
        )
    table = np.zeros(256, dtype=np.uint8)
    table[list(_TRUTH_OF_GREY)] = list(_TRUTH_OF_GREY.values())
    return np.asarray(table[grey], dtype=np.uint8)


def check_mode(picture: Image.Image, path: Path, what: str, *, one_channel: bool) -> None:
    """Refuse what Pillow would turn into 8-bit colour, or into one channel, by losing something.

    Args:
        picture: opened, perhaps not read yet.
        path: its file.
        what: names it in a message.
        one_channel: whether a mask is wanted.

    Raises:
        InvalidInputError: it is so.
    """
    if one_channel and picture.mode not in ("L", "1"):
        raise InvalidInputError(f"{what} is of mode {picture.mode}; give one 8-bit channel")
    if picture.mode not in ("L", "1", "P", "RGB", "RGBA"):
        raise InvalidInputError(f"{what} is of mode {picture.mode}; give an 8-bit colour picture")
    refuse_deep_png(path, what)
    refuse_deep_tiff(picture, what)
    if picture.mode == "RGBA" and np.asarray(picture.getchannel("A")).min() < 255:
        raise InvalidInputError(f"{what} is transparent in places; save it without an alpha channel")


def refuse_deep_png(path: Path, what: str) -> None:
    """Refuse a PNG of more than 8 bits a channel and more than one channel, by its head alone.

    Pillow drops the low bits without a word, of TIFF files too.

    Raises:
        FileNotFoundError: it is not there.
        InvalidInputError: it is such a file.
    """
    with path.open("rb") as file:
        head = file.read(26)
    if head.startswith(_PNG) and len(head) == 26 and head[24] == 16 and head[25] in (2, 4, 6):
        raise InvalidInputError(f"{what} {_DEEP}")


def refuse_deep_tiff(picture: Image.Image, what: str) -> None:
    """As `refuse_deep_png`, for a picture that was opened."""
    if picture.format == "TIFF" and picture.mode in ("RGB", "RGBA"):
        bits = picture.tag_v2.get(_BITS_PER_SAMPLE, (8,))  # type: ignore[attr-defined]
        if max(bits) > 8:
            raise InvalidInputError(f"{what} {_DEEP}")


def decoded(path: Path, what: str, *, one_channel: bool = False) -> NDArray[np.uint8]:
    """Read a picture: uint8 (H, W, 3) RGB, or (H, W) where one channel is asked for.

    Args:
        path: any format that Pillow reads.
        what: names the file in a message.
        one_channel: refuse what is not one 8-bit channel, instead of converting it.

    Raises:
        NotFoundError: the file is not there.
        CorruptDataError: it is no picture.
        InvalidInputError: it has more than the one channel, more than 8 bits a channel, or is transparent.
    """
    try:
        with Image.open(path) as picture:
            check_mode(picture, path, what, one_channel=one_channel)
            return np.array(picture.convert("L" if one_channel else "RGB"), dtype=np.uint8)
    except FileNotFoundError as error:
        raise NotFoundError(f"{what} is not there; add the file") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise CorruptDataError(f"{what} cannot be decoded as an image; write the file again") from error
