"""What the preparer of a set hands on: pairs with their questions, what it left out, and words about the set.

H, W are the pixels of one pair.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError
from reasoncd.ontology import SEG_TOKEN, Target
from services.reasoner.prompt import answer_text
from training.data.parts import Part
from training.data.sample_labels import Level

U8 = NDArray[np.uint8]

PAPER_ANSWER = f"It's {SEG_TOKEN}"
"""The paper's one answer; also what is said where no class of the ontology fits."""

Progress = Callable[[int, int], None]
"""Is told how many of how many steps are done."""


def unwatched(done: int, total: int) -> None:
    """A `Progress` for when nobody looks."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Question:
    """One question about a pair and the mask that is its answer."""

    mask: U8
    """(H, W): 0 unchanged, 1 changed, 255 unknown."""
    words: str
    answer: str
    target: Target | None
    """None where no class of the ontology fits."""
    level: Level | None
    """None where the labels cannot tell: a mask without change, of a class that may or may not be there."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PreparedPair:
    """Two images of one place and what is asked about them."""

    name: str
    """Unique in its set; becomes a folder, so a plain relative path."""
    group: str
    """What must not be divided between parts, such as the picture that tiles were cut from."""
    part: Part | None
    """As the set publishes it; None where it does not."""
    image_t1: U8
    """(H, W, 3) RGB, 0-255, the earlier date."""
    image_t2: U8
    """(H, W, 3) RGB, 0-255, the later date."""
    questions: tuple[Question, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """Something that was read and left out."""

    reason: str
    """In words for the data card, as a count stands before them: "tiles without a picture"."""
    count: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class SetDescription:
    """What a data card says about a set before it counts."""

    title: str
    about: str
    """One or two sentences: what is in it, where, at which resolution."""
    source: str
    """Who published it."""
    terms: str
    """Licence or terms of use, in one line."""
    labels: str
    """What a label means here, and what it does not say."""
    split: Mapping[str, str]
    """Name of each way to split -> its rule. The name "" stands for the only one."""
    notes: tuple[str, ...] = field(default=())


def binary_question(
    mask: U8, target: Target | None, *, words: str | None = None, answer: str | None = None
) -> Question:
    """The one question of a set that knows changed and unchanged only.

    Args:
        mask: (H, W): 0 unchanged, 1 changed, 255 unknown.
        target: what "changed" means; None where no class of the ontology fits.
        words: the question; the target's own words if not given.
        answer: the target's short answer if not given, or the paper's where there is no target.

    Raises:
        InvalidInputError: there are neither words nor a target.
    """
    if words is None and target is None:
        raise InvalidInputError("without a target nobody knows what to ask; give the question in words")
    return Question(
        mask=mask,
        words=words or (target.words if target else ""),
        answer=answer or (answer_text(target) if target else PAPER_ANSWER),
        target=target,
        level="E0" if (mask == 1).any() else None,
    )
