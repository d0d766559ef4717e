"""Samples on disk: a JSON file of two images, a mask, a question and an answer each, as the paper has them.

This is the door for explicit masks, where nobody knows the land cover: BCDD asks "Building" of every pair.
A file holds a list of objects with `img1_path`, `img2_path`, `mask_path` (relative to the file's folder, and
inside it), `question` and `answer`; what the question means may stand beside them (`sample_labels`). A mask
is one channel: 0 unchanged, 255 (or 1) changed, 128 unknown.
Entries are numbered from 1 in what is said of them.
"""

import json
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError, OutputError
from reasoncd.folders import whole_folder
from reasoncd.ontology import MAIN_TARGETS, SEG_TOKEN, Target
from reasoncd.queries import validate_query
from services.reasoner.prompt import answer_text
from training.data.labels import UNKNOWN, YES, LabelledPair, target_masks
from training.data.mask_files import decoded, grey_of_truth, truth_of_grey
from training.data.parts import PARTS, eight_one_one
from training.data.sample_labels import Level, label_fields, read_label

SAMPLES_FILE = "samples.json"
PATH_FIELDS = ("img1_path", "img2_path", "mask_path")
TEXT_FIELDS = ("question", "answer")
_FIELDS = (*PATH_FIELDS, *TEXT_FIELDS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One entry of a sample file."""

    img1_path: Path
    """The earlier image."""
    img2_path: Path
    """The later image."""
    mask_path: Path
    """What changed in the sense of the question."""
    question: str
    answer: str
    """What the reasoner is to say; without `<SEG>` it is a refusal, and the mask must be empty."""
    target: Target | None = None
    """What the question means; None where nobody wrote it down or no class fits."""
    level: Level | None = None
    """What kind of question it is; None where nobody wrote it down."""
    origin: str = field(default="sample", compare=False)
    """File and entry number, for messages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleSplit:
    """Samples in three parts that share no image."""

    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MaskedPair:
    """One sample in memory."""

    image_t1: NDArray[np.uint8]
    """(H, W, 3) RGB, 0-255, the earlier date."""
    image_t2: NDArray[np.uint8]
    """(H, W, 3) RGB, 0-255, the later date."""
    mask: NDArray[np.uint8]
    """(H, W): 0 unchanged, 1 changed, 255 unknown."""
    question: str
    answer: str
    target: Target | None = None
    level: Level | None = None


def read_samples(file: Path) -> tuple[Sample, ...]:
    """Read and check a sample file; images are looked for, not opened.

    Other fields than these and `sample_labels.LABEL_FIELDS` are ignored.

    Raises:
        NotFoundError: the file, or one that it names, is not there.
        CorruptDataError: the file is no JSON.
        InvalidInputError: an entry lacks a field, or a field cannot be used.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"{file} is not there; give the path of a sample file") from error
    except OSError as error:
        raise NotFoundError(f"{file} cannot be read ({error.strerror}); give a readable file") from error
    except (ValueError, RecursionError) as error:
        raise CorruptDataError(f"{file} is no JSON in UTF-8; write it again") from error
    if not isinstance(entries, list) or not entries:
        raise InvalidInputError(f"{file} holds no list of samples; give a JSON list with at least one object")
    folder = file.parent.resolve()
    return tuple(_sample(entry, folder, f"{file}, entry {n}") for n, entry in enumerate(entries, start=1))


def write_samples(file: Path, samples: Sequence[Sample]) -> None:
    """Write a sample file; paths become relative to its folder. The file appears complete or not at all.

    Raises:
        InvalidInputError: an image lies outside the file's folder.
        OutputError: the file cannot be written.
    """
    folder = file.parent.resolve()
    entries = []
    for number, sample in enumerate(samples, start=1):
        entry = {name: _relative(getattr(sample, name), folder, name, number) for name in PATH_FIELDS}
        texts = {"question": sample.question, "answer": sample.answer}
        entries.append({**entry, **texts, **label_fields(sample.target, sample.level)})
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        part.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(file)
    except OSError as error:
        raise OutputError(f"{file} cannot be written ({error.strerror}); name another place") from error


def split_samples(samples: Sequence[Sample], *, seed: int) -> SampleSplit:
    """Split 8:1:1 by chance, whole pairs at a time.

    Two questions on one pair never part, nor do two pairs that share an image.
    The parts depend on the pairs and the seed, not on the order in the file. Neighbouring tiles of one scene
    still leak from part to part; only a split by place keeps them apart.

    Raises:
        InvalidInputError: there are fewer than three pairs without a common image, or the seed is negative.
    """
    group_of = _groups({_pair_of(sample) for sample in samples})
    part_of = eight_one_one(set(group_of.values()), seed=seed)
    train, validation, test = (
        tuple(s for s in samples if part_of[group_of[_pair_of(s)]] == p) for p in PARTS
    )
    return SampleSplit(train=train, validation=validation, test=test)


def words_of(target: Target) -> str:
    """The plainest question for a target: "New buildings"."""
    return target.words


def export_samples(
    pairs: Sequence[LabelledPair],
    folder: Path,
    *,
    targets: Sequence[Target] = MAIN_TARGETS,
    ask: Callable[[Target], str] = words_of,
) -> Path:
    """Write pairs as PNG files and a sample file, one sample per pair and target.

    A target of which a pair knows nothing is left out; one that is known to be absent has an empty mask.

    Args:
        pairs: what is written.
        folder: is made, complete or not at all; must not hold anything yet.
        targets: what is asked of each pair.
        ask: target -> question.

    Returns:
        The sample file, `samples.json` in the folder.

    Raises:
        InvalidInputError: there is nothing to write.
        OutputError: the folder holds something, or cannot be written.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise OutputError(f"{folder} is there already and not empty; name another folder")
    with whole_folder(folder) as new:
        samples: list[Sample] = []
        for number, pair in enumerate(pairs):
            samples += _export_pair(pair, new / f"{number:05d}", targets, ask)
        if not samples:
            raise InvalidInputError("pairs hold no known target; give pairs and targets that fit each other")
        write_samples(new / SAMPLES_FILE, samples)
    return folder / SAMPLES_FILE


class SampleDataset:
    """Samples as arrays, read when they are asked for.

    Args:
        samples: as `read_samples` or `split_samples` gave them.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = tuple(samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> MaskedPair:
        """Decode one sample.

        Raises:
            NotFoundError: a file is not there any more.
            CorruptDataError: a file is no image.
            InvalidInputError: sizes differ, a mask holds other values, or an answer without `<SEG>` has
                a mask that marks a change.
        """
        sample = self.samples[index]
        said = {name: f"{sample.origin}: {name} {getattr(sample, name)}" for name in PATH_FIELDS}
        one = decoded(sample.img1_path, said["img1_path"])
        two = decoded(sample.img2_path, said["img2_path"])
        grey = decoded(sample.mask_path, said["mask_path"], one_channel=True)
        for name, array in (("img2_path", two), ("mask_path", grey)):
            if array.shape[:2] != one.shape[:2]:
                raise InvalidInputError(
                    f"{sample.origin}: {name} is {_size(array)} pixels and img1_path {_size(one)}; "
                    "bring both to one size"
                )
        mask = truth_of_grey(grey, said["mask_path"])
        if SEG_TOKEN not in sample.answer and (mask == YES).any():
            raise InvalidInputError(
                f"{sample.origin}: answer holds no {SEG_TOKEN} but mask_path marks a change; add it or "
                "empty the mask"
            )
        return MaskedPair(
            image_t1=one,
            image_t2=two,
            mask=mask,
            question=sample.question,
            answer=sample.answer,
            target=sample.target,
            level=sample.level,
        )


def _sample(entry: Any, folder: Path, origin: str) -> Sample:
    if not isinstance(entry, dict):
        raise InvalidInputError(f"{origin} is no object; give the fields {', '.join(_FIELDS)}")
    for name in _FIELDS:
        if name not in entry:
            raise InvalidInputError(f"{origin}: {name} is missing; add it")
        if not isinstance(entry[name], str) or not entry[name].strip():
            raise InvalidInputError(f"{origin}: {name} is no text; give a string that is not empty")
    paths = [_inside(entry[name], folder, f"{origin}: {name}") for name in PATH_FIELDS]
    for name in TEXT_FIELDS:
        try:
            validate_query(entry[name])
        except InvalidInputError as error:
            raise InvalidInputError(f"{origin}: {name}: {error.message}") from error
    target, level = read_label(entry, origin)
    return Sample(
        img1_path=paths[0],
        img2_path=paths[1],
        mask_path=paths[2],
        question=entry["question"],
        answer=entry["answer"],
        target=target,
        level=level,
        origin=origin,
    )


def _inside(name: str, folder: Path, what: str) -> Path:
    """A named file, which must lie in the folder after links and dots are followed."""
    # What cannot be printed (NUL, lone surrogates) cannot be a path either.
    if not name.isprintable():
        raise InvalidInputError(f"{what} holds control characters; give a plain relative path")
    path = (folder / name).resolve()
    if Path(name).is_absolute() or not path.is_relative_to(folder):
        raise InvalidInputError(f"{what} leads out of {folder}; give a path relative to it and inside it")
    if not path.is_file():
        raise NotFoundError(f"{what}: {path} is not there; add the file or remove the entry")
    return path


def _relative(path: Path, folder: Path, name: str, number: int) -> str:
    whole = path.resolve()
    if not whole.is_relative_to(folder):
        raise InvalidInputError(
            f"sample {number}: {name} {path} lies outside {folder}; write the file beside its images"
        )
    return whole.relative_to(folder).as_posix()


def _pair_of(sample: Sample) -> tuple[str, str]:
    """The same for a pair and for its exchanged dates."""
    first, second = sorted((str(sample.img1_path), str(sample.img2_path)))
    return first, second


def _groups(pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
    """Each pair's group, named by one of its pairs: pairs that share an image are in one."""
    leader: dict[tuple[str, str], tuple[str, str]] = {pair: pair for pair in pairs}

    def group(pair: tuple[str, str]) -> tuple[str, str]:
        while leader[pair] != pair:
            pair = leader[pair]
        return pair

    first_with: dict[str, tuple[str, str]] = {}
    for pair in sorted(pairs):
        for image in pair:
            other = group(first_with.setdefault(image, pair))
            own = group(pair)
            leader[max(own, other)] = min(own, other)
    return {pair: group(pair) for pair in pairs}


def _export_pair(
    pair: LabelledPair, folder: Path, targets: Sequence[Target], ask: Callable[[Target], str]
) -> list[Sample]:
    masks = target_masks(pair, targets)
    known = [(t, m) for t, m in zip(targets, masks, strict=True) if (m != UNKNOWN).any()]
    if not known:
        return []
    folder.mkdir()
    first, second = folder / "t1.png", folder / "t2.png"
    Image.fromarray(pair.image_t1).save(first)
    Image.fromarray(pair.image_t2).save(second)
    samples = []
    for target, mask in known:
        # ">" is no character for a file name everywhere.
        path = folder / f"{target.key.replace('>', '-to-')}.png"
        Image.fromarray(grey_of_truth(mask)).save(path)
        samples.append(
            Sample(
                img1_path=first,
                img2_path=second,
                mask_path=path,
                question=ask(target),
                answer=answer_text(target),
                target=target,
            )
        )
    return samples


def _size(array: NDArray[np.uint8]) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
