"""Reading the real imagery: labelled single-date tiles and labelled pairs, with fixed splits.

Splits are by whole group, because tiles of one group are neighbours on the ground. The images are
read from outside the project; a set that is absent is an error that says so, never an empty list.
Labels become `LandCover` codes here and nowhere else.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reasoncd.errors import CorruptDataError, NotFoundError
from training.data.labels import LabelledPair, LandCover

U8 = NDArray[np.uint8]
Split = Literal["train", "validation", "test"]

DATA_VARIABLE = "REASONCD_DATA"

DUBAI_GROUPS: dict[Split, tuple[str, ...]] = {
    "train": ("t1", "t2", "t3", "t4"),
    "validation": ("t5",),
    "test": ("t6",),
}

XBD_HELD_OUT = "xbd_hurricane-harvey_00000007"
"""The one tile of `xbd_harvey_1024` that training never sees; footprints are validated on it."""

_DUBAI_CODES: tuple[LandCover, ...] = (
    LandCover.UNKNOWN,
    LandCover.BUILDING,
    LandCover.BARE_GROUND,
    LandCover.ROAD,
    LandCover.VEGETATION,
    LandCover.WATER,
)
_FOOTPRINT_CODES: tuple[LandCover, ...] = (LandCover.NOT_BUILDING, LandCover.BUILDING)
# xBD grades standing buildings 1 to 4 at the later date: damage is no change of land cover.
_DAMAGE_CODES: tuple[LandCover, ...] = (LandCover.NOT_BUILDING, *(LandCover.BUILDING,) * 4)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelledImage:
    """One image of one date with its land cover."""

    image: U8
    """(H, W, 3) RGB, 0-255."""
    land: U8
    """(H, W) `LandCover` codes."""
    name: str
    """Set and file, for messages: `landcover_dubai/t1_p1`."""
    group: str
    """What must not be divided between splits: neighbouring tiles, or both dates of a pair."""


def data_root(root: Path | None = None) -> Path:
    """The folder of the real imagery.

    Args:
        root: the folder itself; where None, `REASONCD_DATA`, else `../shared/data` beside the checkout.

    Raises:
        NotFoundError: if there is no such folder.
    """
    if root is None:
        named = os.environ.get(DATA_VARIABLE)
        root = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    if not root.is_dir():
        raise NotFoundError(
            f"{root} is no folder; set {DATA_VARIABLE} to the folder that holds landcover_dubai, fotbcd_512 "
            "and xbd_harvey_1024"
        )
    return root


def dubai_tiles(split: Split, root: Path | None = None) -> tuple[LabelledImage, ...]:
    """The tiles of `landcover_dubai` in one split: five classes, vegetation unspecified.

    Raises:
        NotFoundError: if the set, a group or a label file is absent.
        CorruptDataError: if a file is no image, or image and labels disagree.
    """
    return _dubai_tiles(split, data_root(root))


def footprint_tiles(split: Split, root: Path | None = None) -> tuple[LabelledImage, ...]:
    """Single dates with building footprints, both dates of each pair.

    For training these are fotbcd `ins_train_*` and all of xBD but one tile, which is the validation split.
    fotbcd's own `ins_val_*` are kept for the real pairs.

    Raises:
        NotFoundError: if a set or one of its files is absent.
        CorruptDataError: if a file is no image, or image and labels disagree.
    """
    pairs = xbd_pairs(split, root)
    if split == "train":
        pairs = (*fotbcd_pairs(split, root), *pairs)
    return tuple(
        LabelledImage(image=image, land=land, name=f"{name}/{date}", group=name)
        for name, pair in pairs
        if pair.building_change is None
        for date, image, land in (("A", pair.image_t1, pair.land_t1), ("B", pair.image_t2, pair.land_t2))
    )


def fotbcd_pairs(split: Split, root: Path | None = None) -> tuple[tuple[str, LabelledPair], ...]:
    """The whole aerial pairs of `fotbcd_512` with their names; there are none in `test`.

    `ins_*` pairs have land cover (building or not) at both dates, `bin_*` pairs only `building_change`.

    Raises:
        NotFoundError: if the set or one of its files is absent.
        CorruptDataError: if a file is no image, or images and labels disagree.
    """
    return _fotbcd_pairs(split, data_root(root))


def xbd_pairs(split: Split, root: Path | None = None) -> tuple[tuple[str, LabelledPair], ...]:
    """The pairs of `xbd_harvey_1024` with their names; no building comes or goes in them.

    Both dates have the footprints of the first one, since the later outlines are the same buildings.
    `XBD_HELD_OUT` is the validation split, the others are for training; there are none in `test`.

    Raises:
        NotFoundError: if the set or one of its files is absent.
        CorruptDataError: if a file is no image, or images and labels disagree.
    """
    held_out = {"train": False, "validation": True}
    if split not in held_out:
        return ()
    return tuple(
        (name, pair)
        for name, pair in _xbd_pairs(data_root(root))
        if name.endswith(XBD_HELD_OUT) == held_out[split]
    )


@cache
def _dubai_tiles(split: Split, root: Path) -> tuple[LabelledImage, ...]:
    folder = _set_folder(root, "landcover_dubai")
    tiles = []
    for group in DUBAI_GROUPS[split]:
        for path in _listed(folder / "images", f"{group}_*.jpg"):
            image = _read_image(path)
            land = _read_labels(folder / "labels" / f"{path.stem}.png", image, _DUBAI_CODES)
            name = f"{folder.name}/{path.stem}"
            tiles.append(LabelledImage(image=image, land=land, name=name, group=group))
    return tuple(tiles)


@cache
def _fotbcd_pairs(split: Split, root: Path) -> tuple[tuple[str, LabelledPair], ...]:
    if split == "test":
        return ()
    folder = _set_folder(root, "fotbcd_512")
    part = "train" if split == "train" else "val"
    pairs = []
    for path in _listed(folder / "A", f"*_{part}_*.png"):
        image_t1 = _read_image(path)
        image_t2 = _matching_image(folder / "B" / path.name, image_t1)
        if path.name.startswith("ins_"):
            land_t1 = _read_labels(folder / "labelA" / path.name, image_t1, _FOOTPRINT_CODES)
            land_t2 = _read_labels(folder / "labelB" / path.name, image_t1, _FOOTPRINT_CODES)
            change = None
        else:
            land_t1 = land_t2 = np.zeros(image_t1.shape[:2], dtype=np.uint8)
            change = _read_change(folder / "label" / path.name, image_t1)
        pair = LabelledPair(
            image_t1=image_t1,
            image_t2=image_t2,
            land_t1=land_t1,
            land_t2=land_t2,
            origin="fotbcd",
            building_change=change,
        )
        pairs.append((f"{folder.name}/{path.stem}", pair))
    return tuple(pairs)


@cache
def _xbd_pairs(root: Path) -> tuple[tuple[str, LabelledPair], ...]:
    folder = _set_folder(root, "xbd_harvey_1024")
    pairs = []
    for path in _listed(folder / "A", "*.png"):
        image_t1 = _read_image(path)
        image_t2 = _matching_image(folder / "B" / path.name, image_t1)
        land = _read_labels(folder / "labelA" / path.name, image_t1, _FOOTPRINT_CODES)
        _read_labels(folder / "labelB" / path.name, image_t1, _DAMAGE_CODES)  # checked, not used
        pair = LabelledPair(image_t1=image_t1, image_t2=image_t2, land_t1=land, land_t2=land, origin="xbd")
        pairs.append((f"{folder.name}/{path.stem}", pair))
    return tuple(pairs)


def _set_folder(root: Path, name: str) -> Path:
    folder = root / name
    if not folder.is_dir():
        raise NotFoundError(f"{folder} is not there; add this set or point {DATA_VARIABLE} to where it is")
    return folder


def _listed(folder: Path, pattern: str) -> list[Path]:
    """Matching files in an order that no file system decides."""
    paths = sorted(folder.glob(pattern), key=lambda p: p.name)
    if not paths:
        raise NotFoundError(f"{folder} holds no {pattern}; complete the set")
    return paths


def _decoded(path: Path, convert: Callable[[Image.Image], Image.Image]) -> U8:
    if not path.is_file():
        raise NotFoundError(f"{path} is not there; complete the set or remove the image that it belongs to")
    try:
        with Image.open(path) as picture:
            array = np.array(convert(picture), dtype=np.uint8)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise CorruptDataError(f"{path} cannot be decoded as an image; fetch the file again") from error
    array.setflags(write=False)
    return array


def _read_image(path: Path) -> U8:
    return _decoded(path, lambda picture: picture.convert("RGB"))


def _matching_image(path: Path, other: U8) -> U8:
    image = _read_image(path)
    _check_size(path, image, other)
    return image


def _check_size(path: Path, array: U8, image: U8) -> None:
    if array.shape[:2] != image.shape[:2]:
        raise CorruptDataError(
            f"{path} is {array.shape[1]} x {array.shape[0]} pixels, its image "
            f"{image.shape[1]} x {image.shape[0]}; fetch both files again"
        )


def _read_map(path: Path, image: U8) -> U8:
    values = _decoded(path, lambda picture: picture)
    if values.ndim != 2:
        raise CorruptDataError(f"{path} has {values.shape[-1]} channels; label maps have one")
    _check_size(path, values, image)
    return values


def _read_labels(path: Path, image: U8, codes: tuple[LandCover, ...]) -> U8:
    """Label values 0, 1, ... as the land cover at that position of `codes`."""
    values = _read_map(path, image)
    highest = int(values.max(initial=0))
    if highest >= len(codes):
        raise CorruptDataError(f"{path} holds label {highest}; recode it to 0-{len(codes) - 1}")
    land = np.array(codes, dtype=np.uint8)[values]
    land.setflags(write=False)
    return land


def _read_change(path: Path, image: U8) -> U8:
    """A map of 0 and 255 as 0 and 1."""
    values = _read_map(path, image)
    if not np.isin(values, (0, 255)).all():
        raise CorruptDataError(f"{path} holds values beside 0 and 255; recode it to these two")
    change = (values > 0).astype(np.uint8)
    change.setflags(write=False)
    return change
