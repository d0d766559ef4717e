"""Writes a prepared set: pictures, masks, sample files, data card and contact sheets, all of it or nothing.

OUT/README.md                 the data card
OUT/samples.json              every sample
OUT/train.json ...            one file a part; `random-train.json` where a set is split in several ways
OUT/pairs/NAME/t1.png t2.png  and one mask a target
OUT/sheets/                   contact sheets to look at
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from reasoncd.errors import InvalidInputError, OutputError
from reasoncd.folders import whole_folder
from training.data.labels import UNKNOWN, YES
from training.data.mask_files import grey_of_truth
from training.data.parts import PARTS, Part, settle
from training.data.prepare.card import data_card
from training.data.prepare.pair import Dropped, PreparedPair, Question, SetDescription
from training.data.prepare.record import SetRecord, WrittenSample
from training.data.prepare.sheets import draw_sheets
from training.data.samples import SAMPLES_FILE, Sample, write_samples

CARD_FILE = "README.md"
PAIRS_FOLDER = "pairs"
SHEETS_FOLDER = "sheets"
_COMPRESSION = 3
"""Of PNG: half the time of the default for a twentieth more bytes."""

Splitter = Callable[[SetRecord], Mapping[str, Mapping[str, Part]]]
"""Name of each way to split -> pair -> part; pairs that it leaves out are in no part."""


def part_file(part: Part, split: str = "") -> str:
    """Name of the sample file of a part: `train.json`, or `spatial-train.json` where there are two splits."""
    return f"{split}-{part}.json" if split else f"{part}.json"


def check_output(out: Path) -> None:
    """Refuse an output folder that holds something.

    Raises:
        OutputError: it does, or it is a file.
    """
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() or out.is_symlink():
        raise OutputError(f"{out} is there already; name another folder or remove it")


def settled(seed: int) -> Splitter:
    """The one split of a set that publishes its parts, or that is dealt 8:1:1 by groups where it does not."""

    def split(record: SetRecord) -> Mapping[str, Mapping[str, Part]]:
        parts = settle(record.published, seed=seed)
        return {"": {pair: parts[group] for pair, group in record.groups.items() if group in parts}}

    return split


def write_set(
    out: Path,
    description: SetDescription,
    items: Iterable[PreparedPair | Dropped],
    split: Splitter,
    *,
    sheet_rows: int = 16,
    seed: int = 0,
) -> SetRecord:
    """Write a set; pairs are taken one by one, so that only one is in memory.

    Args:
        out: is made; must not hold anything yet.
        description: what the card says.
        items: pairs, and what was left out.
        split: decides the parts once all pairs are known.
        sheet_rows: samples shown on the contact sheets of each part; 0 for no sheets.
        seed: of the choice of those samples.

    Returns:
        What was written.

    Raises:
        InvalidInputError: there is nothing to write, a name comes twice, or the split cannot be made.
        OutputError: the folder holds something or cannot be written.
        ReasonCDError: what reading the set raised; nothing is left behind then.
    """
    check_output(out)
    record = SetRecord()
    try:
        with whole_folder(out) as new:
            for item in items:
                if isinstance(item, Dropped):
                    record.dropped[item.reason] += item.count
                else:
                    _write_pair(new / PAIRS_FOLDER, item, record)
            if not record.samples:
                raise InvalidInputError(f"nothing of the set is left to write: {_reasons(record)}")
            splits = split(record)
            _write_files(new, splits, record)
            card = data_card(description, record, splits)
            (new / CARD_FILE).write_text(card, encoding="utf-8")
            if sheet_rows:
                folder = new / SHEETS_FOLDER
                folder.mkdir()
                for name, parts in splits.items():
                    draw_sheets(folder, description.title, name, parts, record, rows=sheet_rows, seed=seed)
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written ({error.strerror or error}); name another place"
        ) from error
    return record


def _write_pair(folder: Path, pair: PreparedPair, record: SetRecord) -> None:
    if pair.name in record.groups:
        raise InvalidInputError(f"two pairs have the name {pair.name}; rename one of them")
    if not pair.questions:
        record.dropped["pairs about which nothing can be asked"] += 1
        return
    part = record.published.setdefault(pair.group, pair.part)
    if part != pair.part:
        raise InvalidInputError(
            f"{pair.name} is in {pair.part or 'no part'}, but others of its group {pair.group} are in "
            f"{part or 'no part'}; a group must not be divided"
        )
    record.groups[pair.name] = pair.group
    home = folder / pair.name
    home.mkdir(parents=True)
    height, width = pair.image_t1.shape[:2]
    record.sizes[width, height] += 1
    first, second = home / "t1.png", home / "t2.png"
    _save(pair.image_t1, first)
    _save(pair.image_t2, second)
    written: set[Path] = set()
    for question in pair.questions:
        path = home / _mask_name(question)
        # Several questions may mean one target.
        if path not in written:
            _save(grey_of_truth(question.mask), path)
            written.add(path)
        sample = Sample(
            img1_path=first,
            img2_path=second,
            mask_path=path,
            question=question.words,
            answer=question.answer,
            target=question.target,
            level=question.level,
        )
        changed = int(np.count_nonzero(question.mask == YES))
        known = int(np.count_nonzero(question.mask != UNKNOWN))
        record.samples.append(WrittenSample(sample=sample, pair=pair.name, changed=changed, known=known))


def _mask_name(question: Question) -> str:
    # ">" is no character for a file name everywhere.
    key = question.target.key if question.target else "change"
    return f"{key.replace('>', '-to-')}.png"


def _save(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], path: Path) -> None:
    Image.fromarray(array).save(path, compress_level=_COMPRESSION)


def _write_files(new: Path, splits: Mapping[str, Mapping[str, Part]], record: SetRecord) -> None:
    write_samples(new / SAMPLES_FILE, [written.sample for written in record.samples])
    for name, parts in splits.items():
        for part in PARTS:
            if samples := [written.sample for written in record.of_part(parts, part)]:
                write_samples(new / part_file(part, name), samples)


def _reasons(record: SetRecord) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in record.dropped.items()) or "it holds no pair"
