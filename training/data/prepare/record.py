"""What was written of a set, counted: the card and the sheets are made from it, not from memory."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from training.data.parts import Part
from training.data.samples import Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenSample:
    """One sample and what its mask holds."""

    sample: Sample
    pair: str
    """Name of its pair."""
    changed: int
    """Pixels that changed."""
    known: int
    """Pixels of which it is known whether they changed."""

    @property
    def meaning(self) -> str:
        """Key of the target, or "no class" where there is none."""
        return self.sample.target.key if self.sample.target else NO_CLASS


NO_CLASS = "no class"


@dataclass(kw_only=True, slots=True)
class SetRecord:
    """All of a set as it is written; grows while it is."""

    samples: list[WrittenSample] = field(default_factory=list)
    groups: dict[str, str] = field(default_factory=dict)
    """Pair -> group."""
    published: dict[str, Part | None] = field(default_factory=dict)
    """Group -> its published part."""
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    """(width, height) of pairs -> how many."""
    dropped: Counter[str] = field(default_factory=Counter)
    """What was left out and how many of it."""

    def of_part(self, parts: Mapping[str, Part], part: Part) -> list[WrittenSample]:
        """The samples whose pair is in a part."""
        return [written for written in self.samples if parts.get(written.pair) == part]
