"""OSCD, the Onera set: 24 cities seen twice by Sentinel-2 at 10 m, with urban change marked.

The original layout, with its three archives side by side or in one folder; reflectances become 8-bit colour
by one fixed factor for both dates:

    SOURCE/... Images/beirut/imgs_1_rect/B02.tif B03.tif B04.tif ...   imgs_2_rect/
    SOURCE/... Train Labels/beirut/cm/beirut-cm.tif or cm.png          ... Test Labels/

The colour form, as many copies have it; cities without a mask are left out:

    SOURCE/A/beirut.png   B/beirut.png   label/beirut.png

Urban change is buildings, roads and ground together: no class of the ontology, so samples name none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError, NotFoundError
from training.data.labels import NO, YES
from training.data.parts import Part
from training.data.prepare.folder_sets import FolderSetConfig, binary_tiles
from training.data.prepare.layout import check_count, pictures_in, subfolder
from training.data.prepare.pair import (
    U8,
    Dropped,
    PreparedPair,
    Progress,
    SetDescription,
    binary_question,
    unwatched,
)
from training.data.prepare.pictures import check_same_size, read_colour, read_truth, read_values
from training.data.prepare.record import SetRecord
from training.data.prepare.scene_files import read_raster_band
from training.data.prepare.writer import check_output, settled, write_set

QUESTION = "Urban change"
WHITE = 3000
"""Reflectance, times 10,000, that becomes 255; the same for every city, date and band."""
RGB_BANDS = ("B04", "B03", "B02")
CITIES: dict[Part, tuple[str, ...]] = {
    "train": (
        "abudhabi", "aguasclaras", "beihai", "beirut", "bercy", "bordeaux", "cupertino",
        "hongkong", "mumbai", "nantes", "paris", "pisa", "rennes", "saclay_e",
    ),
    "test": (
        "brasilia", "chongqing", "dubai", "lasvegas", "milano",
        "montpellier", "norcia", "rio", "saclay_w", "valencia",
    ),
}  # fmt: skip
"""The published parts."""
_PART_OF: dict[str, Part] = {city: part for part, cities in CITIES.items() for city in cities}
_PREFIX = "Onera Satellite Change Detection dataset - "
_IMAGES = (f"{_PREFIX}Images", "Images", "images", ".")
_LABELS = (
    f"{_PREFIX}Train Labels", f"{_PREFIX}Test Labels", "Train Labels", "Test Labels",
    "train_labels", "test_labels", "labels", ".",
)  # fmt: skip
_TIF_CODES = {1: NO, 2: YES}
"""Of the published `*-cm.tif`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _City:
    """The files of one city."""

    name: str
    dates: tuple[Path, Path]
    """A picture each, or a folder of bands each."""
    mask: Path | None


def prepare_oscd(
    source: Path, out: Path, config: FolderSetConfig | None = None, *, on_progress: Progress = unwatched
) -> SetRecord:
    """Check and write OSCD, cut into tiles of 256 if not said otherwise.

    Args:
        source: the folder that holds the unpacked archives, or `A/`, `B/` and `label/`.
        out: is made; must not hold anything yet.
        config: how.
        on_progress: is told the cities done.

    Returns:
        What was written.

    Raises:
        NotFoundError: the layout is another one, or a band is missing.
        CorruptDataError: a file cannot be read.
        InvalidInputError: sizes, depths or mask values are not what they must be, or a city is unknown.
        OutputError: `out` is there already or cannot be written.
    """
    config = config or FolderSetConfig(tile=256)
    check_output(out)
    if not source.is_dir():
        raise NotFoundError(f"{source} is no folder; name the folder of the unpacked set")
    cities = _colour_cities(source) if (source / "A").is_dir() else _sentinel_cities(source)
    if strange := [city.name for city in cities if city.name not in _PART_OF]:
        raise InvalidInputError(f"{source} holds {strange[0]}, which is no city of OSCD; rename or remove it")
    labelled = sum(city.mask is not None for city in cities)
    check_count(source, labelled, len(_PART_OF), partial=config.partial, what="cities with a mask")
    description = SetDescription(
        title="OSCD",
        about="Urban change in 24 cities between 2015 and 2018. Sentinel-2 in its red, green and blue bands "
        "at 10 m a pixel" + (f", cut into tiles of {config.tile}." if config.tile else "."),
        source="Daudt, Le Saux, Boulch and Gousseau, OSCD, IGARSS 2018",
        terms="masks CC BY-NC-SA; images are modified Copernicus data",
        labels="urban change: buildings, roads and ground made ready for them; no class of the ontology fits",
        split={
            "": "Cities as published; validation is a tenth of the published training cities, at least one "
            f"(seed {config.seed})."
        },
    )
    return write_set(
        out,
        description,
        _items(cities, config, on_progress),
        settled(config.seed),
        sheet_rows=config.sheet_rows,
        seed=config.seed,
    )


def _colour_cities(source: Path) -> list[_City]:
    first, second = pictures_in(source / "A"), pictures_in(source / "B")
    masks = pictures_in(source / "label")
    if lonely := sorted(first.keys() ^ second.keys()):
        raise NotFoundError(f"{source} has {lonely[0]} at one date only; add the other one or remove it")
    if lonely := sorted(masks.keys() - first.keys()):
        raise NotFoundError(f"{masks[lonely[0]]} has no images in A/ and B/; add them or remove it")
    return [
        _City(name=name, dates=(path, second[name]), mask=masks.get(name)) for name, path in first.items()
    ]


def _sentinel_cities(source: Path) -> list[_City]:
    for name in _IMAGES:
        folders = sorted(path.parent for path in (source / name).glob("*/imgs_1_rect") if path.is_dir())
        if folders:
            break
    else:
        raise NotFoundError(
            f"{source} holds neither A/, B/ and label/ nor `{_IMAGES[0]}/CITY/imgs_1_rect/`; name the folder "
            "of the unpacked set"
        )
    return [
        _City(
            name=folder.name,
            dates=(folder / "imgs_1_rect", folder / "imgs_2_rect"),
            mask=_mask_of(source, folder.name),
        )
        for folder in folders
    ]


def _mask_of(source: Path, city: str) -> Path | None:
    for name in _LABELS:
        home = subfolder(source / name / city, "cm")
        for path in () if home is None else (home / f"{city}-cm.tif", home / "cm.png"):
            if path.is_file():
                return path
    return None


def _items(
    cities: list[_City], config: FolderSetConfig, on_progress: Progress
) -> Iterator[PreparedPair | Dropped]:
    for number, city in enumerate(cities, start=1):
        if city.mask is None:
            yield Dropped(reason="cities without a mask")
        else:
            image_t1, image_t2 = (_image(path) for path in city.dates)
            mask = _read_mask(city.mask)
            check_same_size(city.dates[0], image_t1, city.dates[1], image_t2)
            check_same_size(city.dates[0], image_t1, city.mask, mask)
            question = binary_question(mask, None, words=QUESTION)
            yield from binary_tiles(
                city.name, city.name, _PART_OF[city.name], image_t1, image_t2, config.tile, question
            )
        on_progress(number, len(cities))


def _image(path: Path) -> U8:
    """(H, W, 3) RGB of one date, from a picture or from a folder of bands."""
    if path.is_file():
        return read_colour(path)
    bands = [_band(path / f"{name}.tif") for name in RGB_BANDS]
    for name, band in zip(RGB_BANDS[1:], bands[1:], strict=True):
        check_same_size(path / f"{RGB_BANDS[0]}.tif", bands[0], path / f"{name}.tif", band)
    stacked = np.stack(bands, axis=-1).astype(np.float32) * (255 / WHITE)
    return np.asarray(np.clip(np.rint(stacked), 0, 255), dtype=np.uint8)


def _band(path: Path) -> NDArray[np.uint16]:
    """(H, W) reflectances, times 10,000."""
    values, kind = read_raster_band(path)
    if kind != "uint16":
        raise InvalidInputError(f"{path} holds {kind} values; give the published file, one band of uint16")
    return values.astype(np.uint16, copy=False)


def _read_mask(path: Path) -> U8:
    if path.suffix != ".tif":
        return read_truth(path)
    values = read_values(path)
    strange = np.setdiff1d(values, list(_TIF_CODES))
    if strange.size:
        raise InvalidInputError(
            f"{path} holds the value {strange[0]}; fetch it again: 1 is unchanged, 2 changed"
        )
    return np.asarray(np.where(values == 2, YES, NO), dtype=np.uint8)
