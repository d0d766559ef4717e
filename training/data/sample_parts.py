"""Samples in three parts as a run takes them: found, split, and looked over before anything starts.

A folder holds one file a part, as `reasoncd-train prepare` writes it; a single file is split here. Knows no
model.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError
from reasoncd.ontology import SEG_TOKEN
from training.data.labels import YES
from training.data.mask_files import check_mode, decoded, truth_of_grey
from training.data.parts import PARTS, Part
from training.data.samples import PATH_FIELDS, Sample, SampleSplit, read_samples, split_samples

_SMALLEST_SIDE = 32


def load_parts(path: Path, *, split: str = "", seed: int = 0) -> SampleSplit:
    """The three parts of a sample file or of a prepared folder.

    Args:
        path: a JSON file, which is split 8:1:1 by pairs, or a folder with `train.json`, `validation.json` and
            perhaps `test.json`.
        split: the name before these, where a set is split in several ways: `spatial` of `spatial-train.json`.
        seed: of the split of a single file.

    Raises:
        NotFoundError, CorruptDataError, InvalidInputError: as `read_samples`, or a part is missing.
    """
    if not path.is_dir():
        if split:
            raise InvalidInputError(f"--split {split} chooses among the files of a folder; {path} is a file")
        return split_samples(read_samples(path), seed=seed)
    files = {part: path / (f"{split}-{part}.json" if split else f"{part}.json") for part in PARTS}
    for part in ("train", "validation"):
        if not files[part].is_file():
            offered = sorted({p.name.removesuffix("-train.json") for p in path.glob("*-train.json")})
            mend = (
                f"name one of its splits with --split: {', '.join(offered)}"
                if offered
                else "prepare it first"
            )
            raise NotFoundError(f"{files[part]} is not there; {mend}")
    found: dict[Part, tuple[Sample, ...]] = {
        part: read_samples(file) if file.is_file() else () for part, file in files.items()
    }
    return SampleSplit(train=found["train"], validation=found["validation"], test=found["test"])


def check_parts(parts: SampleSplit) -> None:
    """Look at the headers of all pictures, at all masks, and at who shares pictures with whom.

    Raises:
        InvalidInputError: sizes differ, a picture is tiny or of another kind, a mask holds another value or
            contradicts its answer, or an image is in two parts.
        NotFoundError, CorruptDataError: a file is gone or no picture.
    """
    seen: dict[Path, tuple[str, Sample]] = {}
    marked: dict[tuple[Path, ...], bool] = {}
    for name in PARTS:
        for sample in getattr(parts, name):
            for path in (sample.img1_path, sample.img2_path):
                part, other = seen.setdefault(path, (name, sample))
                if part != name:
                    raise InvalidInputError(
                        f"{sample.origin}: its image {path} is in {other.origin} of {part} too; keep each "
                        "image in one part"
                    )
            files = tuple(getattr(sample, field) for field in PATH_FIELDS)
            # Many questions are asked about one pair.
            if files not in marked:
                _check_headers(sample)
                marked[files] = _is_marked(sample)
            if marked[files] and SEG_TOKEN not in sample.answer:
                raise InvalidInputError(
                    f"{sample.origin}: mask_path {sample.mask_path} marks a change, but the answer has no "
                    f"{SEG_TOKEN}; add it or empty the mask"
                )


def marks_change(samples: Sequence[Sample]) -> bool:
    """Whether any mask marks a change: without one, F1 says nothing."""
    return any(_is_marked(sample) for sample in samples)


def digest_of(samples: Sequence[Sample]) -> str:
    """SHA-256 in hex over what samples are and in which order; pictures by the ends of their paths."""
    digest = hashlib.sha256()
    for sample in samples:
        # Not by whole paths: a set may be moved.
        names = ["/".join(getattr(sample, name).parts[-3:]) for name in PATH_FIELDS]
        digest.update("\0".join((*names, sample.question, sample.answer)).encode() + b"\1")
    return digest.hexdigest()


def _is_marked(sample: Sample) -> bool:
    what = f"{sample.origin}: mask_path {sample.mask_path}"
    return bool((truth_of_grey(decoded(sample.mask_path, what, one_channel=True), what) == YES).any())


def _check_headers(sample: Sample) -> None:
    sizes: dict[str, tuple[int, int]] = {}
    for name in PATH_FIELDS:
        path: Path = getattr(sample, name)
        what = f"{sample.origin}: {name} {path}"
        try:
            with Image.open(path) as picture:
                sizes[name] = picture.size
                check_mode(picture, path, what, one_channel=name == "mask_path")
        except FileNotFoundError as error:
            raise NotFoundError(f"{what} is not there; add the file") from error
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise CorruptDataError(f"{what} is no image; write the file again") from error
    first = sizes["img1_path"]
    if min(first) < _SMALLEST_SIDE:
        raise InvalidInputError(
            f"{sample.origin}: img1_path is {first[0]} x {first[1]} pixels; give 32 or more"
        )
    for name, size in sizes.items():
        if size != first:
            raise InvalidInputError(
                f"{sample.origin}: {name} is {size[0]} x {size[1]} pixels and img1_path {first[0]} x "
                f"{first[1]}; bring both to one size"
            )
