"""Sample files: reading, writing, splitting, and pairs with explicit masks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError, OutputError, ReasonCDError
from reasoncd.ontology import TARGET_BY_KEY
from training.data.labels import LabelledPair, LandCover, target_mask
from training.data.samples import (
    Sample,
    SampleDataset,
    export_samples,
    read_samples,
    split_samples,
    write_samples,
)

pytestmark = pytest.mark.unit

SIDE = 12
B, W, U = LandCover.BUILDING, LandCover.WATER, LandCover.UNKNOWN


def _pair(seed: int = 0) -> LabelledPair:
    """A building stands on the left half at the later date only; the last row is unknown."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    before = np.full((SIDE, SIDE), W, np.uint8)
    after = before.copy()
    after[:, : SIDE // 2] = B
    after[-1] = U
    return LabelledPair(image_t1=images[0], image_t2=images[1], land_t1=before, land_t2=after, origin="scene")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    targets = [TARGET_BY_KEY[k] for k in ("building.gain", "road.loss", "water>building")]
    return export_samples([_pair(0), _pair(1)], tmp_path / "set", targets=targets)


def _change(file: Path, **fields: Any) -> None:
    """Put other values into the second entry; None removes one."""
    entries = json.loads(file.read_text())
    entries[1] = {k: v for k, v in {**entries[1], **fields}.items() if v is not None}
    file.write_text(json.dumps(entries))


def test_exported_pairs_come_back_pixel_by_pixel(exported: Path) -> None:
    samples = read_samples(exported)
    assert [(s.question, s.answer) for s in samples[:3]] == [
        ("New buildings", "New buildings: <SEG>"),
        ("Lost roads", "Lost roads: <SEG>"),
        ("Water to buildings", "Water to buildings: <SEG>"),
    ]
    data = SampleDataset(samples)
    assert len(data) == 6
    for index, (seed, key) in enumerate(
        (seed, key) for seed in (0, 1) for key in ("building.gain", "road.loss", "water>building")
    ):
        got, pair = data[index], _pair(seed)
        np.testing.assert_array_equal(got.image_t1, pair.image_t1)
        np.testing.assert_array_equal(got.image_t2, pair.image_t2)
        np.testing.assert_array_equal(got.mask, target_mask(pair, TARGET_BY_KEY[key]))
    assert set(np.unique(data[0].mask)) == {0, 1, 255}
    # Nothing is a road at the earlier date, so nothing of it can be lost, whatever came later.
    assert not data[1].mask.any()


def test_the_file_has_the_papers_fields_and_relative_paths(exported: Path) -> None:
    entry = json.loads(exported.read_text())[2]
    assert entry == {
        "img1_path": "00000/t1.png",
        "img2_path": "00000/t2.png",
        "mask_path": "00000/water-to-building.png",
        "question": "Water to buildings",
        "answer": "Water to buildings: <SEG>",
        "class": "water",
        "direction": "transition",
        "to": "building",
        "level": None,
    }


def test_what_a_question_means_is_kept_and_may_be_absent(exported: Path) -> None:
    _change(exported, level="E0")
    samples = read_samples(exported)
    assert (samples[1].target, samples[1].level) == (TARGET_BY_KEY["road.loss"], "E0")
    assert SampleDataset(samples)[2].target == TARGET_BY_KEY["water>building"]
    write_samples(exported, samples)
    assert read_samples(exported) == samples
    _change(exported, **{"class": None, "direction": None, "level": None})
    assert (read_samples(exported)[1].target, read_samples(exported)[1].level) == (None, None)


def test_what_a_pair_does_not_know_is_left_out(tmp_path: Path) -> None:
    blank = np.zeros((SIDE, SIDE), np.uint8)
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    pair = LabelledPair(
        image_t1=image, image_t2=image, land_t1=blank, land_t2=blank, origin="real", building_change=blank
    )
    keys = ("building.gain", "building.change")
    file = export_samples(
        [pair], tmp_path / "set", targets=[TARGET_BY_KEY[k] for k in keys], ask=lambda t: t.key
    )
    assert [s.question for s in read_samples(file)] == ["building.change"]
    with pytest.raises(InvalidInputError, match="no known target"):
        export_samples([pair], tmp_path / "other", targets=[TARGET_BY_KEY["building.gain"]])
    assert not (tmp_path / "other").exists()
    with pytest.raises(OutputError, match="not empty"):
        export_samples([pair], tmp_path / "set")


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"answer": None}, InvalidInputError, "entry 2: answer is missing; add it"),
        ({"question": 3}, InvalidInputError, "entry 2: question is no text"),
        ({"question": "  "}, InvalidInputError, "entry 2: question is no text"),
        ({"question": "a\x07b"}, InvalidInputError, "entry 2: question: query holds the control character"),
        ({"img1_path": "/etc/hostname"}, InvalidInputError, "entry 2: img1_path leads out of"),
        ({"img2_path": "../outside.png"}, InvalidInputError, "entry 2: img2_path leads out of"),
        ({"mask_path": "link.png"}, InvalidInputError, "entry 2: mask_path leads out of"),
        ({"mask_path": "a\x00b.png"}, InvalidInputError, "entry 2: mask_path holds control characters"),
        (
            {"class": "castle"},
            InvalidInputError,
            "entry 2: class is 'castle'; give one of building, road",
        ),
        ({"direction": "up"}, InvalidInputError, "entry 2: direction is 'up' and to is None; give gain"),
        ({"to": "water"}, InvalidInputError, "entry 2: direction is 'loss' and to is 'water'; give gain"),
        ({"class": None}, InvalidInputError, "entry 2: class is missing beside direction"),
        ({"level": "E9"}, InvalidInputError, "entry 2: level is 'E9'; give one of E0, E1"),
        ({"mask_path": "nothing.png"}, NotFoundError, r"entry 2: mask_path: \S+nothing.png is not there"),
    ],
)
def test_entries_that_cannot_be_used_are_refused_by_name(
    exported: Path, fields: dict[str, Any], error: type[ReasonCDError], said: str
) -> None:
    outside = exported.parent.parent / "outside.png"
    Image.new("L", (SIDE, SIDE)).save(outside)
    (exported.parent / "link.png").symlink_to(outside)
    _change(exported, **fields)
    with pytest.raises(error, match=said) as caught:
        read_samples(exported)
    assert str(exported) in caught.value.message


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("{", CorruptDataError, "no JSON"),
        ("[" * 100_000, CorruptDataError, "no JSON"),
        ("{}", InvalidInputError, "no list of samples"),
        ("[]", InvalidInputError, "no list of samples"),
        ("[1]", InvalidInputError, "entry 1 is no object"),
    ],
)
def test_files_that_are_no_sample_files_are_refused(
    tmp_path: Path, text: str, error: type[ReasonCDError], said: str
) -> None:
    file = tmp_path / "samples.json"
    with pytest.raises(NotFoundError, match="is not there"):
        read_samples(file)
    file.write_text(text)
    with pytest.raises(error, match=said):
        read_samples(file)


def _replace_mask(file: Path, picture: Image.Image) -> SampleDataset:
    picture.save(file.parent / "00000" / "building.gain.png")
    return SampleDataset(read_samples(file))


def test_pictures_are_checked_when_they_are_read(exported: Path) -> None:
    data = _replace_mask(exported, Image.new("L", (SIDE, SIDE + 1)))
    with pytest.raises(
        InvalidInputError, match=r"entry 1: mask_path is 12 x 13 pixels and img1_path 12 x 12"
    ):
        data[0]
    data = _replace_mask(exported, Image.new("L", (SIDE, SIDE), 7))
    with pytest.raises(InvalidInputError, match=r"entry 1: mask_path \S+ holds the value 7"):
        data[0]
    data = _replace_mask(exported, Image.new("RGB", (SIDE, SIDE)))
    with pytest.raises(InvalidInputError, match=r"entry 1: mask_path \S+ is of mode RGB"):
        data[0]
    (exported.parent / "00000" / "t1.png").write_bytes(b"no picture")
    with pytest.raises(CorruptDataError, match=r"entry 1: img1_path \S+ cannot be decoded"):
        data[0]
    (exported.parent / "00000" / "t1.png").unlink()
    with pytest.raises(NotFoundError, match=r"entry 1: img1_path \S+ is not there"):
        data[0]
    assert data[3].mask.any()


@pytest.mark.parametrize(("grey", "truth"), [(0, 0), (1, 1), (255, 1), (128, 255)])
def test_greys_of_a_mask_file(exported: Path, grey: int, truth: int) -> None:
    data = _replace_mask(exported, Image.new("L", (SIDE, SIDE), grey))
    assert (data[0].mask == truth).all()


def test_a_refusal_has_an_empty_mask(exported: Path) -> None:
    _change(exported, answer="This is not about land.")
    assert SampleDataset(read_samples(exported))[1].answer == "This is not about land."
    _change(exported, mask_path="00000/building.gain.png")
    with pytest.raises(InvalidInputError, match="entry 2: answer holds no <SEG> but mask_path marks"):
        SampleDataset(read_samples(exported))[1]


def _samples(pairs: int, questions: int = 2) -> list[Sample]:
    return [
        Sample(
            img1_path=Path(f"a{i}.png"),
            img2_path=Path(f"b{i}.png"),
            mask_path=Path(f"m{i}-{q}.png"),
            question=f"question {q}",
            answer="It's <SEG>",
        )
        for i in range(pairs)
        for q in range(questions)
    ]


def test_the_split_is_eight_one_one_by_whole_pairs_and_seed() -> None:
    samples = _samples(50)
    split = split_samples(samples, seed=3)
    parts = (split.train, split.validation, split.test)
    assert [len(p) for p in parts] == [80, 10, 10]
    assert sorted(s.mask_path for p in parts for s in p) == sorted(s.mask_path for s in samples)
    pairs = [{s.img1_path for s in p} for p in parts]
    assert pairs[0].isdisjoint(pairs[1]) and pairs[0].isdisjoint(pairs[2]) and pairs[1].isdisjoint(pairs[2])
    again = split_samples(samples[::-1], seed=3)
    assert set(again.train) == set(split.train) and set(again.test) == set(split.test)
    assert set(split_samples(samples, seed=4).test) != set(split.test)
    small = split_samples(_samples(3), seed=0)
    assert [len(p) for p in (small.train, small.validation, small.test)] == [2, 2, 2]
    with pytest.raises(InvalidInputError, match="2 pairs cannot be split"):
        split_samples(_samples(2), seed=0)


def test_parts_written_beside_the_images_read_back(exported: Path) -> None:
    samples = read_samples(exported)
    write_samples(exported.with_name("part.json"), samples[2:4])
    assert read_samples(exported.with_name("part.json")) == samples[2:4]
    elsewhere = exported.parent / "00000" / "part.json"
    with pytest.raises(InvalidInputError, match=r"sample 2: img1_path .* lies outside"):
        write_samples(elsewhere, samples[2:4])
    assert not elsewhere.exists()
    with pytest.raises(OutputError, match="cannot be written"):
        write_samples(exported.parent / "00000" / "t1.png" / "x.json", ())
