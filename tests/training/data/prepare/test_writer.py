"""Writing a set: whole or not at all, with files, card and sheets that agree."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reasoncd.errors import InvalidInputError, OutputError
from reasoncd.ontology import TARGET_BY_KEY
from training.data.parts import PARTS
from training.data.prepare.pair import Dropped, PreparedPair, Question, SetDescription, binary_question
from training.data.prepare.record import SetRecord
from training.data.prepare.sheets import choose
from training.data.prepare.writer import settled, write_set
from training.data.samples import read_samples

pytestmark = pytest.mark.unit

DESCRIPTION = SetDescription(
    title="Try", about="About it.", source="us", terms="none", labels="1 is new", split={"": "By chance."}
)
GAIN, LOSS = TARGET_BY_KEY["building.gain"], TARGET_BY_KEY["building.loss"]


def _pair(number: int, *, height: int = 32, width: int = 32) -> PreparedPair:
    images = np.random.default_rng(number).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    gain = np.zeros((height, width), np.uint8)
    gain[: 4 + number % 4, :8] = 1
    gain[-2:] = 255
    loss = np.zeros_like(gain)
    questions = (
        binary_question(gain, GAIN),
        binary_question(gain, GAIN, words="where more people live"),
        Question(mask=loss, words="Lost buildings", answer="Lost buildings: <SEG>", target=LOSS, level="N2"),
    )
    return PreparedPair(
        name=f"n{number:02}",
        group=f"g{number}",
        part=None,
        image_t1=images[0],
        image_t2=images[1],
        questions=questions,
    )


def _write(out: Path, items: list[PreparedPair | Dropped], rows: int = 8) -> SetRecord:
    return write_set(out, DESCRIPTION, items, settled(0), sheet_rows=rows)


def test_files_card_and_record_agree(tmp_path: Path) -> None:
    record = _write(tmp_path / "out", [*(_pair(n) for n in range(20)), Dropped(reason="odd ones", count=7)])
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "pairs", "samples.json", "sheets", "test.json", "train.json", "validation.json",
    ]  # fmt: skip
    # Two questions about one target share one mask.
    assert len(list((out / "pairs").rglob("*.png"))) == 20 * 4
    samples = {part: read_samples(out / f"{part}.json") for part in PARTS}
    assert [len(s) for s in samples.values()] == [48, 6, 6]
    assert sorted(s.mask_path for p in samples.values() for s in p) == sorted(
        s.mask_path for s in read_samples(out / "samples.json")
    )
    card = (out / "README.md").read_text()
    known = 30 * 32
    changed = sum(8 * (4 + n % 4) for n in range(20))
    assert f"| building.gain | 32 | 0 | 4 | 0 | 4 | 0 | {changed / (20 * known):.2%} |" in card
    assert "| building.loss | 0 | 16 | 0 | 2 | 0 | 2 |  |" in card
    assert "| E0 | 32 | 4 | 4 |" in card and "| N2 | 16 | 2 | 2 |" in card
    for part, count in zip(PARTS, (16, 2, 2), strict=True):
        assert re.search(rf"\| {part} \| {count} \| {count} \| {3 * count} \| {count} \| \d+\.\d\d% \|", card)
    assert "| odd ones | 7 |" in card and "By chance." in card
    assert record.sizes == {(32, 32): 20}


def test_sheets_show_every_part_and_meaning(tmp_path: Path) -> None:
    record = _write(tmp_path / "out", [_pair(n, width=48) for n in range(20)], rows=12)
    sheets = sorted(path.name for path in (tmp_path / "out" / "sheets").iterdir())
    assert sheets == ["test-1.png", "train-1.png", "train-2.png", "validation-1.png"]
    with Image.open(tmp_path / "out" / "sheets" / "train-1.png") as sheet:
        pixels = np.array(sheet.convert("RGB")).reshape(-1, 3)
    # The outline of a change, the mask's white and its grey for unknown.
    for colour in ((255, 0, 150), (255, 255, 255), (128, 128, 128)):
        assert (pixels == colour).all(axis=1).any()
    chosen = choose(record.samples, 12, 0)
    assert len(chosen) == 12 and sum(not w.changed for w in chosen) == 3
    assert len({w.pair for w in chosen if w.changed}) == 9
    assert chosen == choose(record.samples, 12, 0) != choose(record.samples, 12, 1)
    assert len(choose(record.samples, 999, 0)) == 60
    assert choose([], 5, 0) == []


def test_no_rows_no_sheets(tmp_path: Path) -> None:
    _write(tmp_path / "out", [_pair(n) for n in range(3)], rows=0)
    assert not (tmp_path / "out" / "sheets").exists()


def test_an_empty_folder_is_taken_and_anything_else_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    _write(out, [_pair(n) for n in range(3)])
    before = (out / "README.md").read_bytes()
    with pytest.raises(OutputError, match="out is there already; name another folder or remove it"):
        _write(out, [_pair(n) for n in range(4)])
    assert (out / "README.md").read_bytes() == before
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(OutputError, match="file is there already"):
        _write(file, [_pair(0)])
    with pytest.raises(OutputError, match="cannot be written"):
        _write(file / "below", [_pair(n) for n in range(3)])


def test_what_goes_wrong_on_the_way_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken() -> Iterator[PreparedPair]:
        yield _pair(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_set(tmp_path / "out", DESCRIPTION, broken(), settled(0))
    with pytest.raises(InvalidInputError, match="two pairs have the name n00"):
        _write(tmp_path / "out", [_pair(0), _pair(1), _pair(0)])
    one = replace(_pair(0), part="train")
    with pytest.raises(InvalidInputError, match="n01 is in test, but others of its group g0 are in train"):
        _write(tmp_path / "out", [one, replace(_pair(1), group="g0", part="test")])
    with pytest.raises(InvalidInputError, match="nothing of the set is left to write: it holds no pair"):
        _write(tmp_path / "out", [])
    assert list(tmp_path.iterdir()) == []


def test_a_question_without_a_target_needs_words() -> None:
    mask = np.zeros((4, 4), np.uint8)
    with pytest.raises(InvalidInputError, match="give the question in words"):
        binary_question(mask, None)
    assert binary_question(mask, None, words="x").answer == "It's <SEG>"
    assert binary_question(mask, GAIN).level is None
