"""A/, B/ and label/ folders: layouts, splits by group, and what is refused by name."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError, ReasonCDError
from reasoncd.ontology import TARGET_BY_KEY
from training.data.prepare.folders import FoldersConfig, prepare_folders
from training.data.samples import SampleDataset, read_samples

pytestmark = pytest.mark.unit

CONFIG = FoldersConfig(sheet_rows=0)
PARTS = ("train", "validation", "test")
Draw = Callable[..., NDArray[np.uint8]]
Save = Callable[[Path, NDArray[np.generic]], Path]


def _names(out: Path, part: str) -> set[str]:
    file = out / f"{part}.json"
    return {s.img1_path.parent.name for s in read_samples(file)} if file.exists() else set()


def test_pairs_come_back_pixel_by_pixel_and_split(folder_set: Path, tmp_path: Path, noise: Draw) -> None:
    prepare_folders(folder_set, tmp_path / "out", CONFIG)
    samples = read_samples(tmp_path / "out" / "samples.json")
    got = SampleDataset(samples)[3]
    np.testing.assert_array_equal(got.image_t1, noise(3))
    np.testing.assert_array_equal(got.image_t2, noise(103))
    assert got.mask[8:20, 7:23].all() and got.mask.sum() == 12 * 16
    assert got.target == TARGET_BY_KEY["building.change"]
    assert (got.question, got.answer) == ("Changed buildings", "Changed buildings: <SEG>")
    assert [s.level for s in samples] == [*["E0"] * 8, None, None]
    assert [len(_names(tmp_path / "out", part)) for part in PARTS] == [8, 1, 1]


def test_another_target_and_a_question_of_ones_own(folder_set: Path, tmp_path: Path) -> None:
    config = FoldersConfig(target="vegetation>building", question="felled for houses", sheet_rows=0)
    prepare_folders(folder_set, tmp_path / "out", config)
    sample = read_samples(tmp_path / "out" / "samples.json")[0]
    assert sample.target == TARGET_BY_KEY["vegetation>building"]
    assert (sample.question, sample.answer) == ("felled for houses", "Vegetation to buildings: <SEG>")
    assert sample.mask_path.name == "vegetation-to-building.png"
    bare = FoldersConfig(target="none", question="anything new", sheet_rows=0)
    prepare_folders(folder_set, tmp_path / "bare", bare)
    sample = read_samples(tmp_path / "bare" / "samples.json")[0]
    assert (sample.target, sample.answer) == (None, "It's <SEG>")


def test_tiles_of_one_picture_stay_in_one_part(folder_set: Path, tmp_path: Path) -> None:
    prepare_folders(folder_set, tmp_path / "out", FoldersConfig(tile=32, sheet_rows=0))
    pictures = [{name.split("_y")[0] for name in _names(tmp_path / "out", part)} for part in PARTS]
    assert [len(p) for p in pictures] == [8, 1, 1]
    assert len(set().union(*pictures)) == 10
    samples = read_samples(tmp_path / "out" / "samples.json")
    assert len(samples) == 40
    assert samples[1].img1_path.parent.name == "p_0_y00000_x00032"


def test_a_regular_expression_keeps_neighbours_together(folder_set: Path, tmp_path: Path) -> None:
    config = FoldersConfig(group=r"_([0-9])", sheet_rows=0)
    for place in ("A", "B", "label"):
        for number in range(10):
            shutil.copy(folder_set / place / f"p_{number}.png", folder_set / place / f"q_{number}.png")
    prepare_folders(folder_set, tmp_path / "out", config)
    numbers = [{name[2:] for name in _names(tmp_path / "out", part)} for part in PARTS]
    assert [len(n) for n in numbers] == [8, 1, 1] and len(set().union(*numbers)) == 10
    with pytest.raises(InvalidInputError, match="group 'x' does not match p_0"):
        prepare_folders(folder_set, tmp_path / "other", FoldersConfig(group="x", sheet_rows=0))


def test_parts_as_folders_and_as_lists_are_kept(folder_set: Path, tmp_path: Path) -> None:
    for number in range(10):
        part = {8: "val", 9: "test"}.get(number, "train")
        for place in ("A", "B", "label"):
            target = tmp_path / "parted" / part / place
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder_set / place / f"p_{number}.png", target)
    prepare_folders(tmp_path / "parted", tmp_path / "out", CONFIG)
    assert _names(tmp_path / "out", "validation") == {"p_8"} and _names(tmp_path / "out", "test") == {"p_9"}
    assert (tmp_path / "out" / "pairs" / "train" / "p_0" / "t1.png").is_file()

    lists = folder_set / "list"
    lists.mkdir()
    (lists / "train.txt").write_text("p_0.png\np_1\n\n")
    (lists / "val.txt").write_text("p_2.png\n")
    (lists / "test.txt").write_text("p_3.png\np_4.png\n")
    record = prepare_folders(folder_set, tmp_path / "listed", CONFIG)
    found = [_names(tmp_path / "listed", part) for part in PARTS]
    assert found == [{"p_0", "p_1"}, {"p_2"}, {"p_3", "p_4"}]
    assert record.dropped == {"pairs that no list names": 5}
    assert len(record.groups) == len(read_samples(tmp_path / "listed" / "samples.json")) == 5


def test_a_missing_validation_part_is_taken_from_training(folder_set: Path, tmp_path: Path) -> None:
    (folder_set / "list").mkdir()
    (folder_set / "list" / "train.txt").write_text("".join(f"p_{n}\n" for n in range(8)))
    (folder_set / "list" / "test.txt").write_text("p_8\np_9\n")
    prepare_folders(folder_set, tmp_path / "out", CONFIG)
    assert [len(_names(tmp_path / "out", part)) for part in PARTS] == [7, 1, 2]
    assert _names(tmp_path / "out", "test") == {"p_8", "p_9"}
    assert "a tenth of the published training part" in (tmp_path / "out" / "README.md").read_text()


def test_only_some_names_and_other_files_beside(folder_set: Path, tmp_path: Path) -> None:
    (folder_set / "A" / "Thumbs.db").write_bytes(b"?")
    (folder_set / "A" / ".p_0.png").write_bytes(b"?")
    (folder_set / "A" / "lonely.png").write_bytes(b"?")
    prepare_folders(folder_set, tmp_path / "out", FoldersConfig(only="p_[0-4]", sheet_rows=0))
    assert sum(len(_names(tmp_path / "out", part)) for part in PARTS) == 5


Spoil = Callable[[Path, Save], object]


def _in(place: str, name: str, array: NDArray[np.generic]) -> Spoil:
    return lambda source, save: save(source / place / name, array)


def _pasted(place: str, name: str, picture: Image.Image) -> Spoil:
    return lambda source, save: picture.save(source / place / name)


def _deep(source: Path, save: Save) -> None:
    # Pillow writes no 16-bit colour, so the header of an 8-bit file is made to say so.
    path = source / "A" / "p_1.png"
    data = bytearray(path.read_bytes())
    data[24] = 16
    path.write_bytes(data)


BLOCK = np.zeros((64, 64), np.uint8)
ODD = np.full((64, 64), 37, np.uint8)
CASES: list[tuple[Spoil, type[ReasonCDError], str]] = [
    (lambda s, _: shutil.rmtree(s / "B"), NotFoundError, "set holds neither A/, B/, label/ nor train/"),
    (lambda s, _: (s / "B" / "p_4.png").unlink(), NotFoundError, r"B lacks p_4, which A/ has; add what"),
    (lambda s, _: (s / "A" / "p_4.png").unlink(), NotFoundError, r"A lacks p_4, which B/ has"),
    (
        _in("B", "p_1.jpg", np.zeros((64, 64, 3), np.uint8)),
        InvalidInputError,
        r"p_1.png and p_1.jpg have one",
    ),
    (_in("A", "p_1.png", BLOCK), InvalidInputError, r"A/p_1.png is of mode L; give an 8-bit colour"),
    (_in("A", "p_1.png", np.zeros((64, 64, 4), np.uint8)), InvalidInputError, r"p_1.png is transparent in"),
    (_deep, InvalidInputError, r"A/p_1.png has 16 bits a channel; rescale both dates"),
    (
        _in("B", "p_1.png", np.zeros((60, 64, 3), np.uint8)),
        InvalidInputError,
        r"B/p_1.png is 64 x 60 pixels but",
    ),
    (_in("label", "p_1.png", np.zeros((64, 60), np.uint8)), InvalidInputError, r"label/p_1.png is 60 x 64"),
    (_in("label", "p_1.png", ODD), InvalidInputError, r"label/p_1.png holds the value 37; recode it"),
    (_pasted("label", "p_1.png", Image.new("RGB", (64, 64), (255, 0, 0))), InvalidInputError, "is coloured"),
    (_pasted("label", "p_1.png", Image.new("I;16", (64, 64))), InvalidInputError, "p_1.png is of mode I;16"),
    (lambda s, _: (s / "B" / "p_2.png").write_bytes(b"x"), CorruptDataError, r"B/p_2.png cannot be decoded"),
    (
        lambda s, _: (s / "B" / "p_2.png").write_bytes((s / "B" / "p_2.png").read_bytes()[:300]),
        CorruptDataError,
        r"B/p_2.png cannot be decoded as a picture; fetch the file again",
    ),
]


@pytest.mark.parametrize(("spoil", "error", "said"), CASES)
def test_bad_files_are_named_and_nothing_is_left_behind(
    folder_set: Path, tmp_path: Path, save: Save, spoil: Spoil, error: type[ReasonCDError], said: str
) -> None:
    spoil(folder_set, save)
    with pytest.raises(error, match=said):
        prepare_folders(folder_set, tmp_path / "out", CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_bad_lists_and_parts_are_named(folder_set: Path, tmp_path: Path) -> None:
    lists = folder_set / "list"
    lists.mkdir()
    (lists / "train.txt").write_text("p_0\np_77.png\n")
    with pytest.raises(NotFoundError, match=r"train.txt names p_77.png, which is not there"):
        prepare_folders(folder_set, tmp_path / "out", CONFIG)
    (lists / "train.txt").write_text("p_0\np_1\n")
    (lists / "test.txt").write_text("p_1\n")
    with pytest.raises(InvalidInputError, match="names p_1, which is in another list too"):
        prepare_folders(folder_set, tmp_path / "out", CONFIG)
    (tmp_path / "parted" / "train").mkdir(parents=True)
    with pytest.raises(NotFoundError, match="train has no folder A/; complete the set"):
        prepare_folders(tmp_path / "parted", tmp_path / "out", CONFIG)
    with pytest.raises(NotFoundError, match="nothing is no folder"):
        prepare_folders(tmp_path / "nothing", tmp_path / "out", CONFIG)
    with pytest.raises(InvalidInputError, match=r"A holds no picture whose name fits zz\*"):
        prepare_folders(folder_set, tmp_path / "out", FoldersConfig(only="zz*"))


def test_two_pairs_are_too_few_to_split(folder_set: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="2 pairs cannot be split 8:1:1"):
        prepare_folders(folder_set, tmp_path / "out", FoldersConfig(only="p_[01]"))
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_group_in_two_published_parts_is_refused(folder_set: Path, tmp_path: Path) -> None:
    (folder_set / "list").mkdir()
    (folder_set / "list" / "train.txt").write_text("p_0\n")
    (folder_set / "list" / "test.txt").write_text("p_1\n")
    with pytest.raises(InvalidInputError, match="p_1 is in test, but others of its group p are in train"):
        prepare_folders(folder_set, tmp_path / "out", FoldersConfig(group="^(p)_"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"target": "castle.gain"}, "target is 'castle.gain'; give none or a class with a direction"),
        ({"target": "none"}, "target is none, so nobody knows what to ask; add --question"),
        ({"question": "a\x07b"}, "query holds the control character"),
        ({"group": "("}, r"group '\(' is no regular expression"),
        ({"tile": 8}, "tile is 8"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_options_that_cannot_be_used_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        FoldersConfig(**fields)  # type: ignore[arg-type]


def test_palettes_and_one_bit_masks_are_understood(folder_set: Path, tmp_path: Path) -> None:
    with Image.open(folder_set / "A" / "p_0.png") as picture:
        flat = picture.quantize(8)
    flat.save(folder_set / "A" / "p_0.png")
    Image.fromarray(np.eye(64, dtype=np.uint8) * np.uint8(255)).convert("1").save(
        folder_set / "label" / "p_0.png"
    )
    Image.fromarray(np.eye(64, dtype=np.uint8)).save(folder_set / "label" / "p_1.png")
    prepare_folders(folder_set, tmp_path / "out", CONFIG)
    data = SampleDataset(read_samples(tmp_path / "out" / "samples.json"))
    np.testing.assert_array_equal(data[0].image_t1, np.array(flat.convert("RGB")))
    for index in (0, 1):
        np.testing.assert_array_equal(data[index].mask, np.eye(64, dtype=np.uint8))
