"""Sets in the WHU style: a folder of earlier pictures, one of later ones and one of change masks.

    SOURCE/A/x.png  B/x.png  label/x.png     perhaps with list/train.txt, val.txt, test.txt
    SOURCE/train/A/ ...  val/ ...  test/ ...

LEVIR-CD comes like this, and many sets cut to tiles. The three files of a pair share their name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reasoncd.errors import InvalidInputError
from reasoncd.ontology import TARGET_BY_KEY, Target
from reasoncd.queries import validate_query
from training.data.prepare.folder_sets import FolderSetConfig, binary_tiles, split_rule
from training.data.prepare.layout import FolderPairs, files_of_pairs
from training.data.prepare.pair import (
    Dropped,
    PreparedPair,
    Progress,
    SetDescription,
    binary_question,
    unwatched,
)
from training.data.prepare.pictures import check_same_size, read_colour, read_truth
from training.data.prepare.record import SetRecord
from training.data.prepare.writer import check_output, settled, write_set

INNER = ("A", "B", "label")
NO_TARGET = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldersConfig(FolderSetConfig):
    """How an `A/ B/ label/` set is prepared."""

    target: str = "building.change"
    """Key of the target that "changed" means, or `none` where no class fits."""
    question: str | None = None
    """What is asked; the target's own words if not given."""
    group: str | None = None
    """Regular expression on names; what it matches (its first group, if it has one) names the group."""
    only: str | None = None
    """Pattern such as `ins_*`; other pictures are passed over."""

    def __post_init__(self) -> None:
        FolderSetConfig.__post_init__(self)
        if self.target != NO_TARGET and self.target not in TARGET_BY_KEY:
            raise InvalidInputError(
                f"target is {self.target!r}; give {NO_TARGET} or a class with a direction such as "
                "building.change, road.gain, vegetation>building"
            )
        if self.question is not None:
            validate_query(self.question)
        elif self.target == NO_TARGET:
            raise InvalidInputError(
                "target is none, so nobody knows what to ask; add --question with the words"
            )
        if self.group is not None:
            try:
                re.compile(self.group)
            except re.error as error:
                raise InvalidInputError(f"group {self.group!r} is no regular expression: {error}") from error

    @property
    def meaning(self) -> Target | None:
        """The target that "changed" means."""
        return TARGET_BY_KEY.get(self.target)


def prepare_folders(
    source: Path, out: Path, config: FoldersConfig | None = None, *, on_progress: Progress = unwatched
) -> SetRecord:
    """Check, split and write a set of `A/`, `B/` and `label/` folders.

    Args:
        source: the folder that holds them, or `train/`, `val/` and `test/` with them.
        out: is made; must not hold anything yet.
        config: how.
        on_progress: is told the pairs done.

    Returns:
        What was written.

    Raises:
        NotFoundError: the layout is another one, or a file lacks its partner.
        CorruptDataError: a file is no picture.
        InvalidInputError: sizes, modes or mask values are not what they must be.
        OutputError: `out` is there already or cannot be written.
    """
    config = config or FoldersConfig()
    check_output(out)
    found = files_of_pairs(source, INNER, only=config.only)
    description = SetDescription(
        title=source.resolve().name,
        about="A set of earlier pictures, later pictures and change masks.",
        source=f"the folder {source.resolve().name}",
        terms="as the folder's owner says; write them here",
        labels=_meaning_in_words(config),
        split={"": split_rule(found.pairs, config.seed, grouped=grouped_by(config))},
    )
    items = folder_items(found, config, on_progress)
    return write_set(
        out, description, items, settled(config.seed), sheet_rows=config.sheet_rows, seed=config.seed
    )


def folder_items(
    found: FolderPairs, config: FoldersConfig, on_progress: Progress
) -> Iterator[PreparedPair | Dropped]:
    """Read the pairs one by one."""
    if found.unlisted:
        yield Dropped(reason="pairs that no list names", count=found.unlisted)
    for number, pair in enumerate(found.pairs, start=1):
        first, second, label = pair.files
        image_t1, image_t2, mask = read_colour(first), read_colour(second), read_truth(label)
        check_same_size(first, image_t1, second, image_t2)
        check_same_size(first, image_t1, label, mask)
        question = binary_question(mask, config.meaning, words=config.question)
        group = group_of(pair.name, config)
        yield from binary_tiles(pair.name, group, pair.part, image_t1, image_t2, config.tile, question)
        on_progress(number, len(found.pairs))


def group_of(name: str, config: FoldersConfig) -> str:
    """The group of a pair: its own name, or what the regular expression finds in its file's name.

    Raises:
        InvalidInputError: the expression does not match.
    """
    if config.group is None:
        return name
    match = re.search(config.group, name.rpartition("/")[2])
    if match is None:
        raise InvalidInputError(
            f"group {config.group!r} does not match {name}; give one that matches every name"
        )
    return match.group(1) if match.re.groups and match.group(1) is not None else match.group(0)


def grouped_by(config: FoldersConfig) -> str:
    """What stays together in a split by chance, in words."""
    return f"Groups of names ({config.group})" if config.group else "Pictures, with all their tiles,"


def _meaning_in_words(config: FoldersConfig) -> str:
    if config.meaning is None:
        return f'"{config.question}"; no class of the ontology fits'
    return f'1 or 255 is "{config.meaning.words.lower()}" ({config.meaning.key})'
