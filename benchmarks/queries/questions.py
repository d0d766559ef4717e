"""Which questions are asked about which pair: a fixed, seeded choice.

Levels: E0 class and direction in plain words; E0-any the class alone ("building"), which means gain or loss;
E1 a synonym; I1 an implicit phrase of the training's bank; T a transition. N0 asks for a class that is in
neither image, N1 for one that is there and did not change, N2 for the wrong direction, N3 for something off
topic. A held-out file adds levels of its own, and "<level>-N2", its phrases where only the opposite happened.
Only what the labels know is asked: a target counts as absent where no pixel may belong to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from reasoncd.ontology import MAIN_CLASSES, MAIN_TARGETS, TARGETS, ClassName, Target
from training.data.batches import SMALLEST_CHANGE, presence_of_targets
from training.data.labels import MEMBERSHIP, NO, YES, LabelledPair
from training.queries import PhraseBank, explicit_queries
from training.queries.asked import AskedQuery

T = TypeVar("T")

DIRECTED = MAIN_TARGETS
"""The ten targets of the protocol."""
UNDIRECTED: tuple[Target, ...] = tuple(
    t for t in TARGETS if t.cls in MAIN_CLASSES and t.direction == "change"
)
"""Gain or loss of each of the five classes."""
TRANSITIONS: tuple[Target, ...] = tuple(t for t in TARGETS if t.direction == "transition")

PRESENT_LEVELS = ("E0", "E0-any", "E1", "I1", "T")
"""Levels of which the asked change is there, in the order of the tables."""
ABSENT_LEVELS = ("N0", "N1", "N2", "N3")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One question about one pair, and what is true of it."""

    pair: int
    """Position in the list of pairs."""
    level: str
    wording: str
    """The kind of words: for N0-N2 the level from which they are taken, else the level itself."""
    query: str
    accept: tuple[Target, ...]
    """Targets that count as right, the asked one first; empty for off-topic questions."""
    present: bool
    """Whether the asked change is there."""

    @property
    def target(self) -> Target | None:
        """The asked target; None for an off-topic question."""
        return self.accept[0] if self.accept else None


def canonical_query(target: Target) -> str:
    """The first plain wording of a target, with which the controls are prompted."""
    return explicit_queries(target)[0]


def opposite(target: Target) -> Target | None:
    """Loss for gain and gain for loss; None for targets without a direction of their own."""
    return target.reversed if target.direction in ("gain", "loss") else None


def plan(
    pairs: Sequence[LabelledPair],
    phrases: PhraseBank,
    *,
    per_level: int,
    seed: int,
    held_out: Sequence[AskedQuery] = (),
    lines_from: int = 0,
) -> list[list[Question]]:
    """Choose the questions of every pair.

    Args:
        pairs: labelled pairs.
        phrases: where synonyms, implicit phrases and off-topic lines come from.
        per_level: most questions of one level about one pair.
        seed: of the choice; a pair's questions do not depend on the pairs after it.
        held_out: further queries. Their off-topic lines are asked in turn, all of them before any again.
        lines_from: with which of those lines the first pair begins.

    Returns:
        One list of questions a pair; a level is missing where the pair has nothing to ask.
    """
    found = []
    for number, pair in enumerate(pairs):
        rng = np.random.default_rng((seed, number))
        first = lines_from + number * per_level
        found.append(_Chooser(pair, number, phrases, per_level, rng, held_out, first).choose())
    return found


def plan_plain(pairs: Sequence[LabelledPair], targets: Sequence[Target]) -> list[list[Question]]:
    """Ask for targets in plain words wherever the labels know the answer: E0 or, where absent, N0-N2."""
    bank = PhraseBank(implicit={}, synonyms={}, off_topic=())
    return [
        _Chooser(pair, number, bank, 1, np.random.default_rng(number), ()).choose_plain(targets)
        for number, pair in enumerate(pairs)
    ]


class _Chooser:
    """The questions of one pair."""

    def __init__(
        self,
        pair: LabelledPair,
        number: int,
        phrases: PhraseBank,
        per_level: int,
        rng: np.random.Generator,
        held_out: Sequence[AskedQuery],
        first_line: int = 0,
    ) -> None:
        presence = presence_of_targets(pair)
        self._there = {t for t, value in zip(TARGETS, presence, strict=True) if value == YES}
        self._absent = {t for t, value in zip(TARGETS, presence, strict=True) if value == NO}
        self._seen = {cls: _class_seen(pair, cls) for cls in MAIN_CLASSES}
        self._number, self._phrases, self._count, self._rng = number, phrases, per_level, rng
        self._held_out, self._first_line = held_out, first_line

    def choose(self) -> list[Question]:
        # The same targets in all words, so that levels differ by their words and not by what they ask.
        directed = self._picked([t for t in DIRECTED if t in self._there])
        found = self._ask("E0", "E0", directed, present=True)
        found += self._ask("E0-any", "E0", [t for t in UNDIRECTED if t in self._there], present=True)
        found += self._ask("E1", "E1", directed, present=True)
        found += self._ask("I1", "I1", directed, present=True)
        found += self._ask("T", "T", [t for t in TRANSITIONS if t in self._there], present=True)
        still = {t.cls for t in UNDIRECTED if t in self._absent}
        for level, targets in (
            ("N0", [t for t in DIRECTED if t.cls in still and self._seen[t.cls] == (NO, NO)]),
            ("N1", [t for t in DIRECTED if t.cls in still and self._seen[t.cls] == (YES, YES)]),
            ("N2", [t for t in DIRECTED if self._is_wrong_direction(t)]),
        ):
            found += self._ask(level, None, targets, present=False)
        off_topic = [p.query for p in self._phrases.off_topic]
        found += [self._question("N3", "N3", query, (), False) for query in self._picked(off_topic)]
        return found + self._ask_held_out(directed)

    def choose_plain(self, targets: Sequence[Target]) -> list[Question]:
        found = []
        for target in targets:
            present = target in self._there
            level = "E0" if present else self._absent_level(target)
            if level:
                query = canonical_query(target)
                found.append(self._question(level, "E0", query, (target,), present))
        return found

    def _absent_level(self, target: Target) -> str | None:
        if target not in self._absent:
            return None
        if self._is_wrong_direction(target):
            return "N2"
        return {(NO, NO): "N0", (YES, YES): "N1"}.get(self._seen[target.cls])

    def _is_wrong_direction(self, target: Target) -> bool:
        other = opposite(target)
        return target in self._absent and other is not None and other in self._there

    def _ask(
        self, level: str, wording: str | None, targets: list[Target], *, present: bool
    ) -> list[Question]:
        found = []
        # Without a wording, E0, E1 and I1 take turns from a random start.
        turn = int(self._rng.integers(3))
        for place, target in enumerate(self._picked(targets)):
            words = wording or ("E0", "E1", "I1")[(turn + place) % 3]
            lines = self._lines(words, target)
            if lines:
                query = lines[int(self._rng.integers(len(lines)))]
                kind = level if present else words
                found.append(self._question(level, kind, query, (target,), present))
        return found

    def _lines(self, wording: str, target: Target) -> Sequence[str]:
        if wording == "E1":
            return self._phrases.synonyms.get(target.key, ())
        if wording == "I1":
            return [p.query for p in self._phrases.implicit.get(target.key, ())]
        return explicit_queries(target)

    def _ask_held_out(self, directed: Sequence[Target]) -> list[Question]:
        found: list[Question] = []
        for name in sorted({q.level for q in self._held_out}):
            lines = [q for q in self._held_out if q.level == name]
            # A level that the project's own phrases have too stays apart from them.
            level = f"{name}-held-out" if name in (*PRESENT_LEVELS, *ABSENT_LEVELS) else name
            due = [q for q in lines if q.accept and q.accept[0] in self._there]
            found += [
                self._question(level, level, q.query, q.accept, True) for q in self._picked_for(directed, due)
            ]
            wrong = [
                q for q in lines
                if q.accept and self._is_wrong_direction(q.accept[0]) and self._absent.issuperset(q.accept)
            ]  # fmt: skip
            found += [
                self._question(f"{level}-N2", level, q.query, q.accept, False) for q in self._picked(wrong)
            ]
            off = [q for q in lines if not q.accept]
            found += [self._question(level, level, q.query, (), False) for q in self._in_turn(off)]
        return found

    def _picked_for(self, targets: Sequence[Target], due: Sequence[AskedQuery]) -> list[AskedQuery]:
        """One line for each target as far as there are lines for it, then any others."""
        lines = [due[int(i)] for i in self._rng.permutation(len(due))]
        first: dict[Target, AskedQuery] = {}
        for line in lines:
            if line.accept[0] in targets:
                first.setdefault(line.accept[0], line)
        chosen = list(first.values())
        return [*chosen, *(line for line in lines if line not in chosen)][: self._count]

    def _in_turn(self, lines: Sequence[AskedQuery]) -> list[AskedQuery]:
        places = range(self._first_line, self._first_line + min(self._count, len(lines)))
        return [lines[place % len(lines)] for place in places]

    def _picked(self, offered: Sequence[T]) -> list[T]:
        chosen = self._rng.permutation(len(offered))[: self._count]
        return [offered[int(i)] for i in chosen]

    def _question(
        self, level: str, wording: str, query: str, accept: tuple[Target, ...], present: bool
    ) -> Question:
        return Question(
            pair=self._number, level=level, wording=wording, query=query, accept=accept, present=present
        )


def _class_seen(pair: LabelledPair, cls: ClassName) -> tuple[int, int]:
    """Per date whether a class is in the image: 1 yes, 0 surely not, 2 anything between."""
    table = np.array(MEMBERSHIP[cls], dtype=np.uint8)

    def seen(land: NDArray[np.uint8]) -> int:
        membership = table[land]
        if np.count_nonzero(membership == YES) >= SMALLEST_CHANGE:
            return YES
        return NO if (membership == NO).all() else 2

    return seen(pair.land_t1), seen(pair.land_t2)
