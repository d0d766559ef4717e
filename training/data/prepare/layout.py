"""The layouts that folder sets come in, and the checks that every picture has its partners.

    SOURCE/A/ B/ label/                      one folder, perhaps with list/train.txt, val.txt, test.txt
    SOURCE/train/A/ ... val/ ... test/       the parts as folders

The names of the inner folders differ from set to set and are given by the caller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from reasoncd.errors import InvalidInputError, NotFoundError
from training.data.parts import Part

_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
PART_FOLDERS: Mapping[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""How sets call their parts."""
_LISTS = "list"


@dataclass(frozen=True, kw_only=True, slots=True)
class FilesOfPair:
    """The files of one pair, in the order of the inner folders."""

    name: str
    """The stem that the files share, behind the part where parts are folders: `train/train_1`."""
    part: Part | None
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderPairs:
    """What a layout holds."""

    pairs: tuple[FilesOfPair, ...]
    """Sorted by part and name."""
    unlisted: int
    """Pairs that are in none of the lists, where there are lists."""


def files_of_pairs(source: Path, inner: Sequence[str], *, only: str | None = None) -> FolderPairs:
    """Every pair of a set; each has a file in each inner folder.

    Where `list/` stands beside the inner folders, parts are read from it.

    Args:
        source: the folder that was unpacked.
        inner: names of the inner folders.
        only: a pattern such as `ins_*` for stems; others are passed over.

    Raises:
        NotFoundError: the layout is another one, or a file lacks its partner.
        InvalidInputError: two files of one folder have one stem, or nothing fits the pattern.
    """
    found: list[FilesOfPair] = []
    unlisted = 0
    for part, folder in _part_folders(source, inner).items():
        pairs = _matched([folder / name for name in inner], only)
        listed = _listed_parts(folder / _LISTS, pairs, only) if part is None else {}
        prefix = "" if part is None else f"{folder.name}/"
        for stem, files in pairs.items():
            if listed and stem not in listed:
                unlisted += 1
                continue
            found.append(FilesOfPair(name=f"{prefix}{stem}", part=listed.get(stem, part), files=files))
    return FolderPairs(pairs=tuple(found), unlisted=unlisted)


def pictures_in(folder: Path, only: str | None = None) -> dict[str, Path]:
    """The pictures of a folder by their stem, sorted; what is no picture by its name is passed over.

    Raises:
        NotFoundError: there is no such folder, or it cannot be read.
        InvalidInputError: two pictures have one stem.
    """
    try:
        paths = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise NotFoundError(
            f"{folder} cannot be read as a folder ({error.strerror}); complete the set"
        ) from error
    found: dict[str, Path] = {}
    for path in paths:
        if path.name.startswith(".") or path.suffix.lower() not in _PICTURES:
            continue
        if only is not None and not fnmatchcase(path.stem, only):
            continue
        if not path.name.isprintable():
            raise InvalidInputError(f"{folder} holds {path.name!a}; give it a name of printable characters")
        if path.stem in found:
            raise InvalidInputError(f"{path} and {found[path.stem].name} have one name; remove one of them")
        found[path.stem] = path
    return found


def subfolder(source: Path, *names: str) -> Path | None:
    """The first of several folders that is there."""
    return next((source / name for name in names if (source / name).is_dir()), None)


def check_count(source: Path, found: int, published: int, *, partial: bool, what: str = "pairs") -> None:
    """Refuse a set that lacks files, unless that is wanted.

    Raises:
        InvalidInputError: the count is not the published one.
    """
    if found != published and not partial:
        raise InvalidInputError(
            f"{source} holds {found:,} {what}, the published set {published:,}; complete it, or add "
            "--partial to go on with what is there"
        )


def _part_folders(source: Path, inner: Sequence[str]) -> dict[Part | None, Path]:
    if not source.is_dir():
        raise NotFoundError(f"{source} is no folder; name the folder of the unpacked set")
    if all((source / name).is_dir() for name in inner):
        return {None: source}
    parts: dict[Part | None, Path] = {}
    for name, part in PART_FOLDERS.items():
        folder = source / name
        if all((folder / each).is_dir() for each in inner):
            if part in parts:
                raise InvalidInputError(f"{folder} and {parts[part].name}/ are one part; keep one of them")
            parts[part] = folder
        elif folder.is_dir():
            lacking = next(each for each in inner if not (folder / each).is_dir())
            raise NotFoundError(f"{folder} has no folder {lacking}/; complete the set")
    if not parts:
        wanted = ", ".join(f"{name}/" for name in inner)
        raise NotFoundError(
            f"{source} holds neither {wanted} nor train/, val/ or test/ with them; name the folder of the "
            "unpacked set"
        )
    return parts


def _matched(folders: Sequence[Path], only: str | None) -> dict[str, tuple[Path, ...]]:
    by_folder = [pictures_in(folder, only) for folder in folders]
    stems = sorted(set().union(*by_folder))
    if not stems:
        fitting = f" whose name fits {only}" if only else ""
        raise InvalidInputError(
            f"{folders[0]} holds no picture{fitting}; name the folder of the unpacked set"
        )
    for folder, files in zip(folders, by_folder, strict=True):
        if lacking := [stem for stem in stems if stem not in files]:
            others = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            there = next(
                other for other, files in zip(folders, by_folder, strict=True) if lacking[0] in files
            )
            raise NotFoundError(
                f"{folder} lacks {lacking[0]}{others}, which {there.name}/ has; add what is missing or "
                "remove its partners"
            )
    return {stem: tuple(files[stem] for files in by_folder) for stem in stems}


def _listed_parts(lists: Path, pairs: Mapping[str, object], only: str | None) -> dict[str, Part]:
    """Stem -> part from `list/train.txt` and the like; empty where there are no lists."""
    found: dict[str, Part] = {}
    for path in sorted(lists.glob("*.txt")):
        part = PART_FOLDERS.get(path.stem)
        if part is None:
            continue
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"{path} cannot be read as text; write one file name a line") from error
        for line in filter(None, lines):
            stem = Path(line).stem if Path(line).suffix.lower() in _PICTURES else Path(line).name
            if only is not None and not fnmatchcase(stem, only):
                continue
            if stem not in pairs:
                raise NotFoundError(
                    f"{path} names {line}, which is not there; add the file or remove the line"
                )
            if found.setdefault(stem, part) != part:
                raise InvalidInputError(f"{path} names {line}, which is in another list too; keep it in one")
    return found
