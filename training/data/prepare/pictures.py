"""Reading the pictures and masks of a set, with the checks that keep a wrong file from passing unnoticed.

Whole files of ordinary size are read here; scenes that do not fit into memory are in `scene_files`.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError
from training.data.mask_files import refuse_deep_png, refuse_deep_tiff, truth_of_grey
from training.data.prepare.pair import U8

Codes = NDArray[np.uint32]


def read_colour(path: Path) -> U8:
    """An 8-bit colour picture as uint8 (H, W, 3) RGB.

    Raises:
        NotFoundError: the file is not there.
        CorruptDataError: it cannot be decoded.
        InvalidInputError: it is grey, has more than 8 bits a channel, or is transparent somewhere.
    """
    array, mode = _decoded(path)
    if mode == "RGBA":
        if array[..., 3].min(initial=255) < 255:
            raise InvalidInputError(f"{path} is transparent in places; save it without an alpha channel")
        return np.ascontiguousarray(array[..., :3], dtype=np.uint8)
    if mode != "RGB":
        raise InvalidInputError(f"{path} is of mode {mode}; give an 8-bit colour picture")
    return array.astype(np.uint8, copy=False)


def read_truth(path: Path) -> U8:
    """A change mask as uint8 (H, W): 0 unchanged, 1 changed, 255 unknown.

    One channel of 0 and 1 or of 0 and 255 (128 is unknown), or a colour picture that shows only greys.

    Raises:
        NotFoundError, CorruptDataError: as `read_colour`.
        InvalidInputError: it is coloured or holds another value.
    """
    array, mode = _decoded(path)
    if mode in ("RGB", "RGBA"):
        if (array[..., :1] != array[..., 1:3]).any():
            raise InvalidInputError(f"{path} is coloured; give a mask of 0 unchanged and 255 changed")
        array = array[..., 0]
    elif mode not in ("L", "1"):
        raise InvalidInputError(f"{path} is of mode {mode}; give a mask of one 8-bit channel")
    return truth_of_grey(array.astype(np.uint8), str(path))


def read_values(path: Path) -> Codes:
    """A map of whole numbers as uint32 (H, W): one channel of 8 or 16 bits, or the indices of a palette.

    Raises:
        NotFoundError, CorruptDataError: as `read_colour`.
        InvalidInputError: it has more than one channel or no whole numbers.
    """
    array, mode = _decoded(path, keep_palette=True)
    if mode not in ("L", "P", "1", "I", "I;16", "I;16B", "I;16L"):
        raise InvalidInputError(
            f"{path} is of mode {mode}; give label maps with one channel of whole numbers"
        )
    if array.min(initial=0) < 0:
        raise InvalidInputError(f"{path} holds the value {array.min()}; give whole numbers from 0")
    return array.astype(np.uint32)


def read_colours(path: Path) -> Codes:
    """A map of colours as uint32 (H, W): red * 65536 + green * 256 + blue.

    Raises:
        NotFoundError, CorruptDataError, InvalidInputError: as `read_colour`.
    """
    rgb = read_colour(path).astype(np.uint32)
    return np.asarray(rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2], dtype=np.uint32)


def check_same_size(first: Path, one: NDArray[np.generic], second: Path, two: NDArray[np.generic]) -> None:
    """Refuse two files of one pair that differ in size.

    Raises:
        InvalidInputError: they differ.
    """
    if one.shape[:2] != two.shape[:2]:
        raise InvalidInputError(
            f"{second} is {two.shape[1]} x {two.shape[0]} pixels but {first} {one.shape[1]} x "
            f"{one.shape[0]}; bring both to one size"
        )


def _decoded(path: Path, *, keep_palette: bool = False) -> tuple[NDArray[np.generic], str]:
    """Pixels and mode; a palette is looked up unless its indices are wanted."""
    try:
        refuse_deep_png(path, str(path))
        with Image.open(path) as picture:
            refuse_deep_tiff(picture, str(path))
            picture.load()
            if picture.mode == "P" and not keep_palette:
                shown = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
                return np.array(shown), shown.mode
            return np.array(picture), picture.mode
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} is not there; complete the set") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CorruptDataError(f"{path} cannot be decoded as a picture; fetch the file again") from error
