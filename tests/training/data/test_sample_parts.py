"""Finding the three parts of a set, and what is refused before anything starts."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError, ReasonCDError
from reasoncd.ontology import TARGET_BY_KEY
from training.data.sample_parts import check_parts, digest_of, load_parts, marks_change
from training.data.samples import SAMPLES_FILE, SampleSplit, export_samples, read_samples
from training.data.scenes import render_pair

pytestmark = pytest.mark.unit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pairs = [render_pair(np.random.default_rng((2, i)), size=64) for i in range(4)]
    export_samples(pairs, tmp_path / "set", targets=[TARGET_BY_KEY["building.gain"]])
    return tmp_path / "set"


def _part(folder: Path, name: str, *entries: int) -> None:
    every = json.loads((folder / SAMPLES_FILE).read_text())
    (folder / name).write_text(json.dumps([every[i] for i in entries]))


def test_one_file_is_split_by_pairs(folder: Path) -> None:
    parts = load_parts(folder / SAMPLES_FILE, seed=1)
    assert [len(p) for p in (parts.train, parts.validation, parts.test)] == [2, 1, 1]
    assert load_parts(folder / SAMPLES_FILE, seed=1) == parts


def test_a_folder_has_a_file_a_part(folder: Path) -> None:
    _part(folder, "train.json", 0, 1)
    _part(folder, "validation.json", 2)
    parts = load_parts(folder)
    assert [len(p) for p in (parts.train, parts.validation, parts.test)] == [2, 1, 0]
    _part(folder, "test.json", 3)
    assert len(load_parts(folder).test) == 1


def test_one_split_of_several_is_named(folder: Path) -> None:
    for split in ("random", "spatial"):
        _part(folder, f"{split}-train.json", 0)
        _part(folder, f"{split}-validation.json", 1)
    assert len(load_parts(folder, split="spatial").train) == 1
    with pytest.raises(NotFoundError, match="name one of its splits with --split: random, spatial"):
        load_parts(folder)


def test_what_is_missing_is_said(folder: Path) -> None:
    with pytest.raises(NotFoundError, match=r"train\.json is not there; prepare it first"):
        load_parts(folder)
    _part(folder, "train.json", 0)
    with pytest.raises(NotFoundError, match=r"validation\.json is not there"):
        load_parts(folder)
    with pytest.raises(InvalidInputError, match="--split spatial chooses among the files of a folder"):
        load_parts(folder / SAMPLES_FILE, split="spatial")


def test_a_pair_in_two_parts_is_refused(folder: Path) -> None:
    _part(folder, "train.json", 0, 1)
    _part(folder, "validation.json", 1)
    said = r"validation\.json, entry 1: its image .*t1\.png is in .*train\.json, entry"
    with pytest.raises(InvalidInputError, match=said):
        check_parts(load_parts(folder))


@pytest.mark.parametrize("exchanged", [False, True])
def test_an_image_in_two_parts_is_refused(folder: Path, exchanged: bool) -> None:
    every = json.loads((folder / SAMPLES_FILE).read_text())
    (folder / "train.json").write_text(json.dumps(every[:1]))
    own = every[0]["img2_path"]
    other = every[0]["img1_path"] if exchanged else every[1]["img2_path"]
    (folder / "validation.json").write_text(json.dumps([every[1] | {"img1_path": own, "img2_path": other}]))
    with pytest.raises(InvalidInputError, match="keep each image in one part"):
        check_parts(load_parts(folder))


def test_pairs_that_share_an_image_are_not_parted(folder: Path) -> None:
    every = json.loads((folder / SAMPLES_FILE).read_text())
    # A series of three dates, and three pairs by themselves.
    series = [every[0], every[0] | {"img1_path": every[0]["img2_path"], "img2_path": every[1]["img2_path"]}]
    (folder / "some.json").write_text(json.dumps([*series, every[2], every[3]]))
    for seed in range(5):
        parts = load_parts(folder / "some.json", seed=seed)
        check_parts(parts)
        sizes = sorted(len(part) for part in (parts.train, parts.validation, parts.test))
        assert sizes == [1, 1, 2]


def _grey(folder: Path) -> None:
    Image.new("RGB", (64, 64)).save(folder / "00001" / "building.gain.png")


def _other_size(folder: Path) -> None:
    Image.new("RGB", (64, 60)).save(folder / "00001" / "t2.png")


def _tiny(folder: Path) -> None:
    for name, mode in (("t1", "RGB"), ("t2", "RGB"), ("building.gain", "L")):
        Image.new(mode, (16, 16)).save(folder / "00001" / f"{name}.png")


def _torn(folder: Path) -> None:
    (folder / "00001" / "t1.png").write_bytes(b"no picture")


def _deep(folder: Path) -> None:
    (folder / "00001" / "t1.png").unlink()
    values = np.full((3, 64, 64), 3000, dtype=np.uint16)
    with rasterio.open(
        folder / "00001" / "t1.png", "w", driver="GTiff", width=64, height=64, count=3, dtype="uint16",
        photometric="rgb",
    ) as sink:  # fmt: skip
        sink.write(values)


def _floating(folder: Path) -> None:
    Image.fromarray(np.full((64, 64), 0.5, dtype=np.float32)).save(folder / "00001" / "t1.png", format="TIFF")


def _transparent(folder: Path) -> None:
    Image.new("RGBA", (64, 64), (9, 9, 9, 0)).save(folder / "00001" / "t1.png")


def _strange_value(folder: Path) -> None:
    Image.new("L", (64, 64), 7).save(folder / "00001" / "building.gain.png")


def _cut_short(folder: Path) -> None:
    path = folder / "00001" / "building.gain.png"
    path.write_bytes(path.read_bytes()[:60])


def test_an_answer_without_seg_over_a_marked_mask_is_refused(folder: Path) -> None:
    every = json.loads((folder / SAMPLES_FILE).read_text())
    Image.new("L", (64, 64), 255).save(folder / every[0]["mask_path"])
    (folder / "one.json").write_text(json.dumps([every[0] | {"answer": "No such change."}]))
    samples = read_samples(folder / "one.json")
    with pytest.raises(InvalidInputError, match="marks a change, but the answer has no <SEG>"):
        check_parts(SampleSplit(train=samples, validation=(), test=()))


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (_grey, InvalidInputError, "entry 2: mask_path .* is of mode RGB; give one 8-bit channel"),
        (_other_size, InvalidInputError, "entry 2: img2_path is 64 x 60 pixels and img1_path 64 x 64"),
        (_tiny, InvalidInputError, "entry 2: img1_path is 16 x 16 pixels; give 32 or more"),
        (_torn, CorruptDataError, "entry 2: img1_path .* is no image"),
        (_deep, InvalidInputError, "entry 2: img1_path .* has 16 bits a channel; rescale both dates alike"),
        (_floating, InvalidInputError, "entry 2: img1_path .* is of mode F; give an 8-bit colour picture"),
        (_transparent, InvalidInputError, "entry 2: img1_path .* is transparent in places"),
        (_strange_value, InvalidInputError, "entry 2: mask_path .* holds the value 7; recode it"),
        (_cut_short, CorruptDataError, "entry 2: mask_path .* cannot be decoded"),
    ],
)
def test_pictures_are_looked_at_before_the_start(
    folder: Path, spoil: object, error: type[ReasonCDError], said: str
) -> None:
    samples = read_samples(folder / SAMPLES_FILE)
    check_parts(SampleSplit(train=samples, validation=(), test=()))
    assert callable(spoil)
    spoil(folder)
    with pytest.raises(error, match=said):
        check_parts(SampleSplit(train=samples, validation=(), test=()))


def test_a_digest_follows_order_and_words(folder: Path) -> None:
    samples = read_samples(folder / SAMPLES_FILE)
    assert digest_of(samples) == digest_of(read_samples(folder / SAMPLES_FILE))
    assert digest_of(samples) != digest_of(samples[::-1])
    assert digest_of(samples) != digest_of(samples[:-1])


def test_whether_a_part_marks_any_change(folder: Path) -> None:
    samples = read_samples(folder / SAMPLES_FILE)
    for sample in samples:
        Image.new("L", (64, 64)).save(sample.mask_path)
    assert not marks_change(samples)
    Image.new("L", (64, 64), 255).save(samples[-1].mask_path)
    assert marks_change(samples)
