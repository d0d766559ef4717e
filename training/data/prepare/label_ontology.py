"""What the values or colours of a set's label maps mean, read from a YAML file.

    unchanged: "#ffffff"            # optional: "labelled at neither date, since nothing changed"
    labels:
      "#800000": building           # one class of the ontology
      "#808080": [road, other]      # one of several, which one is unknown
      "#000000": unknown
      "#ffff00": not building
      "#00ffff": other              # none of the classes

Keys are colours, or whole numbers where maps have one channel. What a label leaves open stays unknown in the
masks, by the same three-valued logic as everywhere in training (`training.data.labels`).

H, W are the pixels of a map, L the labels, in the order of the file.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError
from reasoncd.ontology import CLASSES, TARGETS, ClassName, Target
from training.data.labels import NO, UNKNOWN, YES, change_truth
from training.data.prepare.pair import U8
from training.data.prepare.pictures import read_colours, read_values
from training.strict_yaml import StrictLoader

_OTHER = "other"
_COVERS = frozenset({*CLASSES, _OTHER} - {"vegetation"})
"""What a pixel can be, as finely as anything here tells: vegetation is tree or low vegetation."""
_WORDS: dict[str, frozenset[str]] = {
    **{cover: frozenset({cover}) for cover in _COVERS},
    "vegetation": frozenset({"tree", "low_vegetation"}),
    "unknown": _COVERS,
}
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_FIELDS = {"unchanged", "labels", "about"}
_LARGEST_VALUE = 65535


@dataclass(frozen=True, kw_only=True)
class LabelOntology:
    """The labels of one set."""

    path: Path
    """The file, for messages."""
    coloured: bool
    """Whether labels are colours; else they are whole numbers."""
    codes: tuple[int, ...]
    """Value of each label, colours as red * 65536 + green * 256 + blue."""
    covers: tuple[frozenset[str], ...]
    """What a pixel of each label may be."""
    unchanged: int | None
    """Position of the label that says "nothing changed here" at both dates."""

    def read(self, path: Path) -> U8:
        """A label map as positions of labels, uint8 (H, W).

        Raises:
            NotFoundError, CorruptDataError: the file is not there or no picture.
            InvalidInputError: it is of the other kind, or shows a label that the ontology does not have.
        """
        values = read_colours(path) if self.coloured else read_values(path)
        order = np.argsort(self.codes)
        known = np.array(self.codes, dtype=np.uint32)[order]
        place = np.minimum(np.searchsorted(known, values), len(known) - 1)
        strange = known[place] != values
        if strange.any():
            row, column = map(int, np.argwhere(strange)[0])
            raise InvalidInputError(
                f"{path} shows {self._name(int(values[row, column]))} at row {row}, column {column} "
                f"({int(strange.sum())} such pixels), which {self.path.name} does not list; add it there or "
                "mend the file"
            )
        return np.asarray(order[place], dtype=np.uint8)

    def masks(self, labels_t1: U8, labels_t2: U8, targets: Sequence[Target] = TARGETS) -> U8:
        """The masks of several targets on one pair of maps.

        Args:
            labels_t1: (H, W) as `read` gives it, the earlier date.
            labels_t2: (H, W), the later date.
            targets: Q of them.

        Returns:
            uint8 (Q, H, W): 0 no, 1 yes, 255 unknown.
        """
        code = labels_t1.astype(np.intp) * len(self.codes) + labels_t2
        return np.stack([self._tables[target][code] for target in targets])

    def membership(self, cls: ClassName, label: int) -> int:
        """Whether a pixel of a label belongs to a class: 0 no, 1 yes, 255 unknown."""
        covers = self.covers[label]
        if covers <= _WORDS[cls]:
            return YES
        return UNKNOWN if covers & _WORDS[cls] else NO

    def seen(self, cls: ClassName, labels: U8) -> int:
        """Whether a class is in a map at all: 1 yes, 0 surely not, 255 unknown."""
        # An unchanged pixel may be anything, so it counts as unknown here.
        found = {self.membership(cls, int(label)) for label in np.unique(labels)}
        if YES in found:
            return YES
        return UNKNOWN if UNKNOWN in found else NO

    def half_changed(self, labels_t1: U8, labels_t2: U8) -> int:
        """How many pixels are "unchanged" at one date and something else at the other."""
        if self.unchanged is None:
            return 0
        return int(np.count_nonzero((labels_t1 == self.unchanged) != (labels_t2 == self.unchanged)))

    def in_words(self) -> str:
        """The labels and their meanings in one line."""
        named = []
        for place, (code, covers) in enumerate(zip(self.codes, self.covers, strict=True)):
            shown = f"#{code:06x}" if self.coloured else str(code)
            named.append(f"{shown} {'unchanged' if place == self.unchanged else _in_words(covers)}")
        return "; ".join(named)

    @cached_property
    def _tables(self) -> dict[Target, U8]:
        count = range(len(self.codes))
        return {
            target: np.array([self._truth(target, a, b) for a in count for b in count], dtype=np.uint8)
            for target in TARGETS
        }

    def _truth(self, target: Target, before: int, after: int) -> int:
        if self.unchanged in (before, after):
            return NO if before == after else UNKNOWN
        becomes = None if target.to is None else self.membership(target.to, after)
        return change_truth(
            target, self.membership(target.cls, before), self.membership(target.cls, after), becomes
        )

    def _name(self, code: int) -> str:
        return f"the colour #{code:06x}" if self.coloured else f"the value {code}"


def read_ontology(path: Path) -> LabelOntology:
    """Read and check an ontology file.

    Raises:
        NotFoundError: the file is not there.
        CorruptDataError: it is no YAML.
        InvalidInputError: it lacks labels, mixes colours and numbers, or names a class that is none.
    """
    content = _content(path)
    labels: dict[int, frozenset[str]] = {}
    coloured = {isinstance(key, str) for key in content["labels"]}
    if len(coloured) > 1:
        raise InvalidInputError(f"{path}: labels are both colours and numbers; give one kind")
    for key, words in content["labels"].items():
        code = _code(path, key)
        if code in labels:
            raise InvalidInputError(f"{path}: label {key!r} stands twice; keep one of them")
        labels[code] = _covers(path, key, words)
    unchanged = None
    if content.get("unchanged") is not None:
        if isinstance(content["unchanged"], str) not in coloured:
            raise InvalidInputError(f"{path}: unchanged is of another kind than the labels; give both alike")
        code = _code(path, content["unchanged"])
        if code in labels:
            raise InvalidInputError(
                f"{path}: unchanged stands among the labels too; take it out of one place"
            )
        unchanged = len(labels)
        labels[code] = _COVERS
    return LabelOntology(
        path=path,
        coloured=True in coloured,
        codes=tuple(labels),
        covers=tuple(labels.values()),
        unchanged=unchanged,
    )


def _content(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read ({error.strerror}); name an ontology file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        at = f" at line {where.line + 1}" if where is not None else ""
        raise CorruptDataError(f"{path} is no YAML{at}; mend it there") from error
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict) or not content["labels"]:
        raise InvalidInputError(f"{path} has no `labels`; list there what each value or colour means")
    if strange := sorted(map(str, content.keys() - _FIELDS)):
        raise InvalidInputError(
            f"{path}: {strange[0]} is no entry; give labels, and perhaps unchanged and about"
        )
    if len(content["labels"]) > 250:
        raise InvalidInputError(f"{path} lists {len(content['labels'])} labels; give at most 250")
    return content


def _code(path: Path, key: object) -> int:
    if isinstance(key, str) and _COLOUR.fullmatch(key.lower()):
        return int(key[1:], 16)
    if isinstance(key, int) and not isinstance(key, bool) and 0 <= key <= _LARGEST_VALUE:
        return key
    raise InvalidInputError(
        f'{path}: {key!r} is no label; give a colour in quotes as "#rrggbb" or a number from 0 to '
        f"{_LARGEST_VALUE}"
    )


def _covers(path: Path, key: object, words: object) -> frozenset[str]:
    """What a label may be, from one word or a list of them."""
    found: frozenset[str] = frozenset()
    for word in words if isinstance(words, list) and words else [words]:
        name = word.removeprefix("not ") if isinstance(word, str) else None
        if name not in _WORDS:
            known = ", ".join(sorted(_WORDS))
            raise InvalidInputError(
                f"{path}: label {key} is {word!r}; give {known}, `not` one of them, or a list"
            )
        found |= _WORDS[name] if name == word else _COVERS - _WORDS[name]
    if not found:
        raise InvalidInputError(f"{path}: label {key} can be nothing at all; give unknown instead")
    return found


def _in_words(covers: frozenset[str]) -> str:
    for word, those in _WORDS.items():
        if covers == those:
            return word
        if covers == _COVERS - those:
            return f"not {word}"
    return " or ".join(sorted(covers))
