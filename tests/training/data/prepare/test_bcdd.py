"""BCDD: cutting two scenes by rows, and splitting the tiles at random and by place."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError, OutputError
from reasoncd.ontology import TARGET_BY_KEY
from training.data.prepare.bcdd import PUBLISHED_SIZE, SCENE_FILES, BcddConfig, prepare_bcdd
from training.data.prepare.scene_files import SceneFile
from training.data.samples import Sample, SampleDataset, read_samples

pytestmark = [
    pytest.mark.unit,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]

TILE, COLUMNS, ROWS = 32, 14, 3
CONFIG = BcddConfig(tile=TILE, partial=True, sheet_rows=0)
Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]


def _scene(path: Path, array: NDArray[np.generic], **options: object) -> None:
    bands = array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"count": bands.shape[0], "height": bands.shape[1], "width": bands.shape[2]}
    with rasterio.open(path, "w", driver="GTiff", dtype=bands.dtype.name, **shape, **options) as sink:
        sink.write(bands)


@pytest.fixture
def arrays() -> Arrays:
    """Both scenes, a few pixels larger than whole tiles, and the label of 0 and 1."""
    rng = np.random.default_rng(3)
    size = (ROWS * TILE + 5, COLUMNS * TILE + 9)
    before, after = rng.integers(1, 256, (2, *size, 3), dtype=np.uint8)
    label = (rng.random(size) > 0.9).astype(np.uint8)
    label[:TILE, :TILE] = 0
    return before, after, label


@pytest.fixture
def source(tmp_path: Path, arrays: Arrays) -> Path:
    for name, array in zip(SCENE_FILES, arrays, strict=True):
        _scene(tmp_path / "bcdd" / name, array)
    return tmp_path / "bcdd"


def _tile_of(sample: Sample) -> tuple[int, int]:
    row, column = sample.img1_path.parent.name.split("_")
    return int(row[1:]), int(column[1:])


def test_tiles_hold_the_scenes_pixels_and_the_papers_words(
    source: Path, arrays: Arrays, tmp_path: Path
) -> None:
    record = prepare_bcdd(source, tmp_path / "out", CONFIG)
    samples = read_samples(tmp_path / "out" / "samples.json")
    assert [_tile_of(s) for s in samples] == [(r, c) for r in range(ROWS) for c in range(COLUMNS)]
    assert {(s.question, s.answer) for s in samples} == {("Building", "It's <SEG>")}
    assert {s.target for s in samples} == {TARGET_BY_KEY["building.change"]}
    # A tile without change is no E0: whether a building stands there nobody says.
    assert [s.level for s in samples] == [None, *["E0"] * (ROWS * COLUMNS - 1)]
    data = SampleDataset(samples)
    for index, (row, column) in enumerate(map(_tile_of, samples)):
        here = np.s_[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
        got = data[index]
        for found, whole in zip((got.image_t1, got.image_t2, got.mask), arrays, strict=True):
            np.testing.assert_array_equal(found, whole[here])
    edge = (ROWS + 1) * (COLUMNS + 1) - ROWS * COLUMNS
    assert record.dropped == {"tiles that reach over the edge of the scene": edge}


def test_the_published_scene_gives_the_papers_tiles() -> None:
    width, height = PUBLISHED_SIZE
    assert (width // BcddConfig().tile) * (height // BcddConfig().tile) == 7434


def test_the_random_split_is_eight_one_one(source: Path, tmp_path: Path) -> None:
    prepare_bcdd(source, tmp_path / "out", CONFIG)
    parts = [read_samples(tmp_path / "out" / f"random-{p}.json") for p in ("train", "validation", "test")]
    assert [len(p) for p in parts] == [34, 4, 4]
    assert len({s.img1_path for p in parts for s in p}) == ROWS * COLUMNS


@pytest.mark.parametrize("gap", [1, 2])
def test_the_spatial_split_keeps_a_gap(source: Path, tmp_path: Path, gap: int) -> None:
    config = BcddConfig(tile=TILE, partial=True, sheet_rows=0, gap=gap)
    prepare_bcdd(source, tmp_path / "out", config)
    columns = {
        part: {_tile_of(s)[1] for s in read_samples(tmp_path / "out" / f"spatial-{part}.json")}
        for part in ("train", "validation", "test")
    }
    for one in columns:
        for other in columns:
            if one != other:
                assert min(abs(a - b) for a in columns[one] for b in columns[other]) > gap
    assert sum(map(len, columns.values())) == COLUMNS - 2 * gap
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| in no part | {2 * gap * ROWS} |" in card


def test_a_high_scene_is_split_along_its_height(arrays: Arrays, tmp_path: Path) -> None:
    for name, array in zip(SCENE_FILES, arrays, strict=True):
        _scene(tmp_path / "bcdd" / name, np.swapaxes(array, 0, 1))
    prepare_bcdd(tmp_path / "bcdd", tmp_path / "out", CONFIG)
    test = {_tile_of(s) for s in read_samples(tmp_path / "out" / "spatial-test.json")}
    assert test == {(COLUMNS - 1, column) for column in range(ROWS)}


def test_scenes_are_read_by_rows_of_tiles(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heights: list[int] = []
    rows = SceneFile.rows

    def spy(self: SceneFile, top: int, height: int, *, bands: int) -> NDArray[np.uint8]:
        heights.append(height)
        return rows(self, top, height, bands=bands)

    monkeypatch.setattr(SceneFile, "rows", spy)
    prepare_bcdd(source, tmp_path / "out", CONFIG)
    assert heights == [TILE] * (3 * ROWS)


def test_labels_may_be_0_and_255_and_black_tiles_are_left_out(
    source: Path, arrays: Arrays, tmp_path: Path
) -> None:
    before, _, label = (array.copy() for array in arrays)
    before[TILE : 2 * TILE, 2 * TILE : 3 * TILE] = 0
    _scene(source / SCENE_FILES[0], before)
    _scene(source / SCENE_FILES[2], label * np.uint8(255))
    record = prepare_bcdd(source, tmp_path / "out", CONFIG)
    assert record.dropped["tiles that are black at a date"] == 1
    samples = read_samples(tmp_path / "out" / "samples.json")
    assert (1, 2) not in {_tile_of(s) for s in samples}
    np.testing.assert_array_equal(SampleDataset(samples)[5].mask, label[:TILE, 5 * TILE : 6 * TILE])


def _shorter(source: Path, arrays: Arrays) -> None:
    _scene(source / SCENE_FILES[1], arrays[1][:-1])


def _deep(source: Path, arrays: Arrays) -> None:
    _scene(source / SCENE_FILES[0], arrays[0].astype(np.uint16))


def _grey(source: Path, arrays: Arrays) -> None:
    _scene(source / SCENE_FILES[0], arrays[0][..., 0])


def _coloured_label(source: Path, arrays: Arrays) -> None:
    _scene(source / SCENE_FILES[2], arrays[0])


def _other_value(source: Path, arrays: Arrays) -> None:
    label = arrays[2].copy()
    label[TILE + 1, 7] = 9
    _scene(source / SCENE_FILES[2], label)


def _text(source: Path, arrays: Arrays) -> None:
    (source / SCENE_FILES[1]).write_text("no raster")


def _cut_short(source: Path, arrays: Arrays) -> None:
    path = source / SCENE_FILES[1]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _absent(source: Path, arrays: Arrays) -> None:
    (source / SCENE_FILES[2]).unlink()


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (_shorter, InvalidInputError, r"after\.tif is 457 x 100 pixels but \S+before\.tif 457 x 101"),
        (_deep, InvalidInputError, r"before\.tif holds uint16 values; rescale both dates"),
        (_grey, InvalidInputError, r"before\.tif has 1 bands; give a file with 3 bands"),
        (_coloured_label, InvalidInputError, r"change_label\.tif has 3 bands; give a file with one band"),
        (_other_value, InvalidInputError, r"change_label\.tif, rows 32-63, holds the value 9; recode"),
        (_text, CorruptDataError, r"after\.tif cannot be read as a raster"),
        (_cut_short, CorruptDataError, r"after\.tif cannot be read at rows \d+-\d+; fetch the file again"),
        (_absent, NotFoundError, r"change_label\.tif is not there; name the folder that holds before"),
    ],
)
def test_bad_files_are_named_and_nothing_is_left_behind(
    source: Path,
    arrays: Arrays,
    tmp_path: Path,
    spoil: Callable[[Path, Arrays], None],
    error: type[Exception],
    said: str,
) -> None:
    spoil(source, arrays)
    with pytest.raises(error, match=said):
        prepare_bcdd(source, tmp_path / "out", CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["bcdd"]


def test_a_file_in_one_block_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.data.prepare.scene_files._LARGEST_BLOCK", 100)
    with pytest.raises(InvalidInputError, match=r"before\.tif is stored in one block.*TILED=YES"):
        prepare_bcdd(source, tmp_path / "out", CONFIG)


def test_another_size_needs_a_word_and_a_full_folder_is_kept(source: Path, tmp_path: Path) -> None:
    whole = BcddConfig(tile=TILE)
    with pytest.raises(InvalidInputError, match=r"457 x 101 pixels, the published scene 32507 x 15354"):
        prepare_bcdd(source, tmp_path / "out", whole)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="out is there already"):
        prepare_bcdd(source, tmp_path / "out", CONFIG)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    with pytest.raises(NotFoundError, match="nowhere is no folder"):
        prepare_bcdd(tmp_path / "nowhere", tmp_path / "new", CONFIG)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tile": 8}, "tile is 8"),
        ({"gap": 0}, "gap is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"sheet_rows": -1}, "rows"),
    ],
)
def test_options_out_of_bounds_are_refused(fields: dict[str, int], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        BcddConfig(**fields)  # type: ignore[arg-type]


def test_a_scene_too_short_for_the_gap_is_refused_before_anything_is_cut(
    source: Path, tmp_path: Path
) -> None:
    config = BcddConfig(tile=TILE, partial=True, gap=6)
    with pytest.raises(
        InvalidInputError, match="14 tiles in a row are too few for three parts with gaps of 6"
    ):
        prepare_bcdd(source, tmp_path / "out", config, on_progress=lambda done, total: pytest.fail("cut"))
