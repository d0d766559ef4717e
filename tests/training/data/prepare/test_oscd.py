"""OSCD: Sentinel-2 bands as colour by one factor, masks in both published forms, and the colour form."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError
from training.data.prepare.folder_sets import FolderSetConfig
from training.data.prepare.oscd import CITIES, WHITE, prepare_oscd
from training.data.samples import SampleDataset, read_samples

pytestmark = [
    pytest.mark.unit,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]

Draw = Callable[..., NDArray[np.uint8]]
Save = Callable[[Path, NDArray[np.generic]], Path]
PREFIX = "Onera Satellite Change Detection dataset - "
WHOLE = FolderSetConfig(partial=True, sheet_rows=0)
SIZE = (40, 48)


def _raster(path: Path, array: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"count": 1, "height": array.shape[0], "width": array.shape[1]}
    with rasterio.open(path, "w", driver="GTiff", dtype=array.dtype.name, **shape) as sink:
        sink.write(array, 1)


def _reflectance(city: str, date: int, band: str) -> NDArray[np.uint16]:
    rng = np.random.default_rng([*city.encode(), date, int(band[1:3])])
    return rng.integers(0, 4000, SIZE, dtype=np.uint16)


@pytest.fixture
def sentinel(tmp_path: Path, change: Draw, save: Save) -> Path:
    """Three training cities and a test one; one mask as the published TIFF, the others as PNG."""
    source = tmp_path / "oscd"
    for number, city in enumerate(("beirut", "mumbai", "paris", "rio")):
        for date in (1, 2):
            for band in ("B02", "B03", "B04", "B08"):
                home = source / f"{PREFIX}Images" / city / f"imgs_{date}_rect"
                _raster(home / f"{band}.tif", _reflectance(city, date, band))
        part = "Test" if city in CITIES["test"] else "Train"
        home = source / f"{PREFIX}{part} Labels" / city / "cm"
        mask = change(number, *SIZE)
        save(home / "cm.png", np.stack([mask] * 3, axis=-1))
        if city == "paris":
            save(home / "cm.png", np.zeros((7, 7), np.uint8))
            _raster(home / "paris-cm.tif", (mask > 0).astype(np.uint8) + np.uint8(1))
    return source


@pytest.fixture
def colour(tmp_path: Path, noise: Draw, change: Draw, save: Save) -> Path:
    source = tmp_path / "colour"
    for number, city in enumerate(("beirut", "mumbai", "rio", "dubai")):
        save(source / "A" / f"{city}.png", noise(number, 40, 50))
        save(source / "B" / f"{city}.png", noise(9 + number, 40, 50))
        if city != "dubai":
            save(source / "label" / f"{city}.png", change(number, 40, 50))
    return source


def test_bands_become_colour_by_one_factor_and_masks_come_in_both_forms(
    sentinel: Path, tmp_path: Path, change: Draw
) -> None:
    prepare_oscd(sentinel, tmp_path / "out", WHOLE)
    samples = read_samples(tmp_path / "out" / "samples.json")
    data = SampleDataset(samples)
    for index, city in enumerate(("beirut", "mumbai", "paris", "rio")):
        got = data[index]
        assert samples[index].img1_path.parent.name == city
        for date, image in ((1, got.image_t1), (2, got.image_t2)):
            for channel, band in enumerate(("B04", "B03", "B02")):
                wanted = np.minimum(np.rint(_reflectance(city, date, band) * (255 / WHITE)), 255)
                assert np.abs(image[..., channel] - wanted).max() <= 1
        np.testing.assert_array_equal(got.mask, change(index, *SIZE) > 0)
    assert {(s.question, s.answer, s.target, s.level) for s in samples} == {
        ("Urban change", "It's <SEG>", None, "E0")
    }


def test_whole_cities_are_split_as_published(sentinel: Path, tmp_path: Path) -> None:
    prepare_oscd(sentinel, tmp_path / "out", FolderSetConfig(tile=32, partial=True, sheet_rows=0))
    cities = {
        part: {
            s.img1_path.parent.name.split("_y")[0] for s in read_samples(tmp_path / "out" / f"{part}.json")
        }
        for part in ("train", "validation", "test")
    }
    assert cities["test"] == {"rio"}
    assert len(cities["validation"]) == 1
    assert cities["train"] | cities["validation"] == {"beirut", "mumbai", "paris"}
    assert {part: len(names) for part, names in CITIES.items()} == {"train": 14, "test": 10}


def test_everything_may_lie_in_one_folder(sentinel: Path, tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    for folder in sentinel.iterdir():
        shutil.copytree(folder, merged, dirs_exist_ok=True)
    record = prepare_oscd(merged, tmp_path / "out", WHOLE)
    assert len(record.groups) == 4 and not record.dropped


def test_the_colour_form_leaves_cities_without_a_mask_out(colour: Path, tmp_path: Path) -> None:
    record = prepare_oscd(colour, tmp_path / "out", WHOLE)
    assert record.dropped == {"cities without a mask": 1}
    assert set(record.groups) == {"beirut", "mumbai", "rio"}
    assert "| cities without a mask | 1 |" in (tmp_path / "out" / "README.md").read_text()


def test_all_cities_are_asked_for(colour: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="colour holds 3 cities with a mask, the published set 24"):
        prepare_oscd(colour, tmp_path / "out")


def _rect(source: Path, city: str, date: int) -> Path:
    return source / f"{PREFIX}Images" / city / f"imgs_{date}_rect"


def _no_band(source: Path) -> None:
    (_rect(source, "beirut", 2) / "B03.tif").unlink()


def _no_second_date(source: Path) -> None:
    shutil.rmtree(_rect(source, "beirut", 2))


def _other_depth(source: Path) -> None:
    _raster(_rect(source, "beirut", 1) / "B02.tif", np.zeros(SIZE, np.uint8))


def _other_size(source: Path) -> None:
    _raster(_rect(source, "beirut", 1) / "B02.tif", np.zeros((20, 24), np.uint16))


def _no_raster(source: Path) -> None:
    (_rect(source, "beirut", 1) / "B04.tif").write_text("no raster")


def _smaller_date(source: Path) -> None:
    for band in ("B02", "B03", "B04"):
        _raster(_rect(source, "mumbai", 2) / f"{band}.tif", np.zeros((20, 24), np.uint16))


def _strange_city(source: Path) -> None:
    shutil.copytree(_rect(source, "beirut", 1).parent, source / f"{PREFIX}Images" / "atlantis")


def _mask_code(source: Path) -> None:
    _raster(source / f"{PREFIX}Train Labels" / "paris" / "cm" / "paris-cm.tif", np.full(SIZE, 3, np.uint8))


def _mask_size(source: Path) -> None:
    _raster(source / f"{PREFIX}Train Labels" / "paris" / "cm" / "paris-cm.tif", np.ones((9, 9), np.uint8))


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (_no_band, NotFoundError, r"imgs_2_rect/B03.tif is not there; complete the set"),
        (_no_second_date, NotFoundError, r"imgs_2_rect/B04.tif is not there; complete the set"),
        (_other_depth, InvalidInputError, r"B02.tif holds uint8 values; give the published file"),
        (_other_size, InvalidInputError, r"B02.tif is 24 x 20 pixels but \S.*B04.tif 48 x 40"),
        (
            _smaller_date,
            InvalidInputError,
            r"mumbai/imgs_2_rect is 24 x 20 pixels but \S.*imgs_1_rect 48 x 40",
        ),
        (_no_raster, CorruptDataError, r"B04.tif cannot be read as a raster; fetch the file again"),
        (_strange_city, InvalidInputError, "oscd holds atlantis, which is no city of OSCD"),
        (_mask_code, InvalidInputError, r"paris-cm.tif holds the value 3; fetch it again: 1 is unchanged"),
        (_mask_size, InvalidInputError, r"paris-cm.tif is 9 x 9 pixels but"),
        (shutil.rmtree, NotFoundError, "oscd is no folder"),
    ],
)
def test_bad_files_are_named_and_nothing_is_left_behind(
    sentinel: Path, tmp_path: Path, spoil: Callable[[Path], None], error: type[Exception], said: str
) -> None:
    spoil(sentinel)
    with pytest.raises(error, match=said):
        prepare_oscd(sentinel, tmp_path / "out", WHOLE)
    assert {path.name for path in tmp_path.iterdir()} <= {"oscd"}


def test_bad_colour_folders_are_named(colour: Path, tmp_path: Path, change: Draw, save: Save) -> None:
    save(colour / "label" / "nantes.png", change())
    with pytest.raises(NotFoundError, match=r"nantes.png has no images in A/ and B/"):
        prepare_oscd(colour, tmp_path / "out", WHOLE)
    (colour / "B" / "dubai.png").unlink()
    with pytest.raises(NotFoundError, match="colour has dubai at one date only"):
        prepare_oscd(colour, tmp_path / "out", WHOLE)
    shutil.rmtree(colour / "A")
    with pytest.raises(NotFoundError, match="holds neither A/, B/ and label/ nor `Onera"):
        prepare_oscd(colour, tmp_path / "out", WHOLE)
