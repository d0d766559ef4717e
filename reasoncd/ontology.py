"""What a query can mean: land-cover classes, directions of change, and the answers that name them.

A `Target` is one meaning: a class that was gained, lost or changed at all, or a transition from
one class to another. Every target has one row in the decoder's prompt space, one short
answer in words and one rule that derives its mask from the land cover of both dates.
"""

from dataclasses import dataclass
from typing import Literal

ClassName = Literal[
    "building",
    "road",
    "vegetation",
    "water",
    "bare_ground",
    "tree",
    "low_vegetation",
    "playground",
]
Direction = Literal["gain", "loss", "change", "transition"]

MAIN_CLASSES: tuple[ClassName, ...] = ("building", "road", "vegetation", "water", "bare_ground")
"""The five classes of the accuracy protocol; `vegetation` holds trees and low vegetation."""

CLASSES: tuple[ClassName, ...] = (*MAIN_CLASSES, "tree", "low_vegetation", "playground")

PLURAL: dict[ClassName, str] = {
    "building": "buildings",
    "road": "roads",
    "vegetation": "vegetation",
    "water": "water",
    "bare_ground": "bare ground",
    "tree": "trees",
    "low_vegetation": "low vegetation",
    "playground": "playgrounds",
}
"""How an answer names each class."""

SEG_TOKEN = "<SEG>"
REFUSAL = "This question is not about a change of land cover."
"""The short answer to an off-topic question; it holds no `<SEG>`."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Target:
    """One meaning that a query can have."""

    cls: ClassName
    direction: Direction
    to: ClassName | None = None
    """The class at the later date; set for transitions only, where `cls` is the earlier one."""

    def __post_init__(self) -> None:
        if (self.direction == "transition") != (self.to is not None):
            raise ValueError(f"target {self.cls}/{self.direction}: `to` belongs to transitions")

    @property
    def key(self) -> str:
        """Stable identifier: `building.gain`, or `vegetation>building` for a transition."""
        return f"{self.cls}>{self.to}" if self.to else f"{self.cls}.{self.direction}"

    @property
    def reversed(self) -> "Target":
        """What it is where the dates are exchanged: a gain is a loss, `a>b` is `b>a`."""
        if self.to:
            return Target(cls=self.to, direction="transition", to=self.cls)
        turned: dict[Direction, Direction] = {"gain": "loss", "loss": "gain"}
        return Target(cls=self.cls, direction=turned.get(self.direction, self.direction))

    @property
    def words(self) -> str:
        """The target in words, as answers state it: "New buildings"."""
        name = PLURAL[self.cls]
        if self.to:
            return f"{name.capitalize()} to {PLURAL[self.to]}"
        return {"gain": "New", "loss": "Lost", "change": "Changed"}[self.direction] + f" {name}"

    @property
    def short_answer(self) -> str:
        """The whole short answer, `<SEG>` included."""
        return f"{self.words}: {SEG_TOKEN}"


def _all_targets() -> tuple[Target, ...]:
    simple = [Target(cls=c, direction=d) for c in CLASSES for d in ("gain", "loss", "change")]
    moves = [
        Target(cls=a, direction="transition", to=b) for a in MAIN_CLASSES for b in MAIN_CLASSES if a != b
    ]
    return (*simple, *moves)


TARGETS: tuple[Target, ...] = _all_targets()
"""Every target, in the order of the decoder's prompt table (24 simple ones, 20 transitions)."""

MAIN_TARGETS: tuple[Target, ...] = tuple(
    t for t in TARGETS if t.cls in MAIN_CLASSES and t.direction in ("gain", "loss")
)
"""Gain and loss of the five main classes: the ten targets of the accuracy protocol."""

TARGET_BY_KEY: dict[str, Target] = {t.key: t for t in TARGETS}

SHORT_ANSWERS: tuple[str, ...] = (*(t.short_answer for t in TARGETS), REFUSAL)
"""Every short answer that the reasoner is trained to give."""
