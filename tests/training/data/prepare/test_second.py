"""SECOND: the published colours of both dates become masks of gain, loss and transition."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError
from training.data.labels import NO, YES
from training.data.prepare.label_maps import LabelMapsConfig
from training.data.prepare.questions import AskConfig
from training.data.prepare.second import INNER, ONTOLOGY, PUBLISHED_PAIRS, prepare_second
from training.data.samples import SampleDataset, read_samples

pytestmark = pytest.mark.unit

Draw = Callable[..., NDArray[np.uint8]]
Save = Callable[[Path, NDArray[np.generic]], Path]
CONFIG = LabelMapsConfig(inner=INNER, partial=True, sheet_rows=0)
COLOURS = {
    "unchanged": (255, 255, 255),
    "water": (0, 0, 255),
    "ground": (128, 128, 128),
    "low": (0, 128, 0),
    "tree": (0, 255, 0),
    "building": (128, 0, 0),
    "playground": (255, 0, 0),
}
# Blocks of 8 rows each: what stands there at the two dates.
BLOCKS = [
    ("unchanged", "unchanged"),
    ("low", "building"),
    ("tree", "building"),
    ("building", "tree"),
    ("water", "low"),
    ("ground", "building"),
    ("low", "ground"),
    ("tree", "playground"),
]


def _label(date: int) -> NDArray[np.uint8]:
    rows = np.array([COLOURS[block[date]] for block in BLOCKS], np.uint8)
    return np.repeat(np.repeat(rows[:, None], 8, axis=0), 64, axis=1)


@pytest.fixture
def source(tmp_path: Path, noise: Draw, save: Save) -> Path:
    for number in range(10):
        name = f"{number:05}.png"
        for folder, array in zip(
            INNER, (noise(number), noise(50 + number), _label(0), _label(1)), strict=True
        ):
            save(tmp_path / "second" / folder / name, array)
    return tmp_path / "second"


def test_both_dates_give_gain_loss_and_transition(source: Path, tmp_path: Path, noise: Draw) -> None:
    prepare_second(source, tmp_path / "out", CONFIG)
    samples = [
        s for s in read_samples(tmp_path / "out" / "samples.json") if s.img1_path.parent.name == "00003"
    ]
    data = SampleDataset(samples)
    masks = {}
    for index, sample in enumerate(samples):
        assert sample.target is not None
        got = data[index]
        np.testing.assert_array_equal(got.image_t1, noise(3))
        np.testing.assert_array_equal(got.image_t2, noise(53))
        assert (got.mask == got.mask[:, :1]).all()
        masks[sample.target.key] = got.mask[::8, 0].tolist()
    n, y = NO, YES
    wanted = {
        "building.gain": [n, y, y, n, n, y, n, n],
        "building.loss": [n, n, n, y, n, n, n, n],
        "building.change": [n, y, y, y, n, y, n, n],
        "tree.gain": [n, n, n, y, n, n, n, n],
        "low_vegetation.loss": [n, y, n, n, n, n, y, n],
        "vegetation.gain": [n, n, n, y, y, n, n, n],
        "vegetation.loss": [n, y, y, n, n, n, y, y],
        "vegetation>building": [n, y, y, n, n, n, n, n],
        "building>vegetation": [n, n, n, y, n, n, n, n],
        "water.loss": [n, n, n, n, y, n, n, n],
        "water>vegetation": [n, n, n, n, y, n, n, n],
        "playground.gain": [n, n, n, n, n, n, n, y],
    }
    assert {key: masks[key] for key in wanted} == wanted
    # Ground without plants is road or bare ground, nobody knows which: neither is asked for.
    assert not [key for key in masks if "road" in key or "bare_ground" in key]
    levels = {s.target.key: s.level for s in samples if s.target}
    assert (levels["building.gain"], levels["vegetation>building"]) == ("E0", "T")
    assert [levels[key] for key in masks if YES not in masks[key]] == ["N2", "N2"]


def test_another_reading_of_ground(source: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(ONTOLOGY.read_text().replace("[road, bare_ground, other]", "bare_ground"))
    prepare_second(source, tmp_path / "out", CONFIG, ontology=mine)
    keys = {s.target.key for s in read_samples(tmp_path / "out" / "samples.json") if s.target}
    assert {"bare_ground.gain", "bare_ground>building", "vegetation>bare_ground"} <= keys


def test_pairs_are_split_and_counted(source: Path, tmp_path: Path) -> None:
    prepare_second(source, tmp_path / "out", CONFIG)
    parts = [read_samples(tmp_path / "out" / f"{p}.json") for p in ("train", "validation", "test")]
    assert [len({s.img1_path for s in p}) for p in parts] == [8, 1, 1]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| building.gain | 8 | 0 | 1 | 0 | 1 | 0 | 37.50% |" in card
    assert "#808080 bare_ground or other or road" in card


def test_a_labelled_test_folder_stays_the_test_part(source: Path, tmp_path: Path) -> None:
    for part, numbers in (("train", range(8)), ("test", range(8, 10))):
        for folder in INNER:
            (tmp_path / "parted" / part / folder).mkdir(parents=True)
            for number in numbers:
                shutil.copy(source / folder / f"{number:05}.png", tmp_path / "parted" / part / folder)
    prepare_second(tmp_path / "parted", tmp_path / "out", CONFIG)
    test = {s.img1_path.parent.name for s in read_samples(tmp_path / "out" / "test.json")}
    assert test == {"00008", "00009"}


def test_pixels_that_changed_at_one_date_only_are_unknown_and_counted(
    source: Path, tmp_path: Path, save: Save
) -> None:
    label = _label(1)
    label[8, 3:7] = 255
    save(source / "label2" / "00000.png", label)
    record = prepare_second(source, tmp_path / "out", CONFIG)
    assert record.dropped == {"pixels that are unchanged at one date only (unknown in the masks)": 4}
    sample = next(
        s
        for s in read_samples(tmp_path / "out" / "samples.json")
        if s.target and s.target.key == "building.gain"
    )
    assert (SampleDataset([sample])[0].mask[8, 2:8] == [1, 255, 255, 255, 255, 1]).all()


def test_tiles_of_label_maps(source: Path, tmp_path: Path) -> None:
    config = LabelMapsConfig(
        inner=INNER, partial=True, sheet_rows=0, tile=32, ask=AskConfig(absent=0, smallest=1)
    )
    prepare_second(source, tmp_path / "out", config)
    samples = read_samples(tmp_path / "out" / "samples.json")
    lower = {s.target.key for s in samples if s.img1_path.parent.name == "00000_y00032_x00000" and s.target}
    assert "water.loss" in lower and "building.loss" not in lower
    names = [
        {s.img1_path.parent.name.split("_")[0] for s in read_samples(tmp_path / "out" / f"{p}.json")}
        for p in ("train", "validation", "test")
    ]
    assert [len(n) for n in names] == [8, 1, 1] and len(set().union(*names)) == 10


def _other_colour(source: Path, save: Save) -> None:
    label = _label(0)
    label[5, 6] = (1, 2, 3)
    save(source / "label1" / "00002.png", label)


def _no_pair(source: Path, save: Save) -> None:
    label = _label(1)
    label[32:] = 255
    save(source / "label2" / "00002.png", label)


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (_other_colour, InvalidInputError, r"label1/00002.png shows the colour #010203 at row 5, column 6"),
        (_no_pair, InvalidInputError, r"label2/00002.png and \S+00002.png disagree on 50% of the pixels"),
        (
            lambda s, save: save(s / "label2" / "00002.png", _label(1)[:60]),
            InvalidInputError,
            r"label2/00002.png is 64 x 60 pixels but \S+im1/00002.png 64 x 64",
        ),
        (
            lambda s, save: save(s / "label1" / "00002.png", _label(0)[..., 0]),
            InvalidInputError,
            r"label1/00002.png is of mode L; give an 8-bit colour picture",
        ),
        (lambda s, _: (s / "im2" / "00002.png").unlink(), NotFoundError, "im2 lacks 00002, which im1/ has"),
        (lambda s, _: (s / "im2" / "00002.png").write_bytes(b"?"), CorruptDataError, "00002.png cannot be"),
        (
            lambda s, _: shutil.rmtree(s / "label2"),
            NotFoundError,
            "holds neither im1/, im2/, label1/, label2/",
        ),
    ],
)
def test_bad_files_are_named_and_nothing_is_left_behind(
    source: Path,
    tmp_path: Path,
    save: Save,
    spoil: Callable[[Path, Save], object],
    error: type[Exception],
    said: str,
) -> None:
    spoil(source, save)
    with pytest.raises(error, match=said):
        prepare_second(source, tmp_path / "out", CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["second"]


def test_all_labelled_pairs_are_asked_for(source: Path, tmp_path: Path) -> None:
    assert PUBLISHED_PAIRS == 2968
    with pytest.raises(InvalidInputError, match="second holds 10 labelled pairs, the published set 2,968"):
        prepare_second(source, tmp_path / "out")
