"""What the reasoner understands, by its words alone: no map is made, so hundreds of queries take a minute.

The reasoner reads two images before each query, so it is given the same two rendered pairs in turn; the right
class and direction do not depend on what they show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.measuring.outcomes import Guess, stacked
from benchmarks.progress import Progress
from benchmarks.queries.questions import DIRECTED
from gateway.wording import split_answer
from reasoncd.errors import InvalidInputError, ReasonCDError
from reasoncd.ontology import Target
from reasoncd.ports import Mode, ReasonDone, Reasoner, VisionEncoder
from training.data.fixed_pairs import validation_pairs
from training.queries import PhraseBank, explicit_queries
from training.queries.asked import AskedQuery

PAIRS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Understood:
    """One query and what was made of it."""

    query: AskedQuery
    named: Target | None
    """The target that the answer names; None for a refusal."""
    seg_emitted: bool
    seg_probability: float
    answer: str
    guesses: Mapping[str, Target | None]
    """By each other way."""

    @property
    def right(self) -> bool:
        """Class and direction are accepted ones, or an off-topic query is refused."""
        if not self.query.accept:
            return not self.seg_emitted
        return self.named in self.query.accept

    @property
    def right_class(self) -> bool:
        """The class is that of an accepted target, whatever the direction."""
        return self.named is not None and self.named.cls in {t.cls for t in self.query.accept}

    @property
    def right_direction(self) -> bool:
        """The direction is that of an accepted target, whatever the class."""
        return self.named is not None and self.named.direction in {t.direction for t in self.query.accept}

    def guessed_right(self, name: str) -> bool:
        """Whether another way finds an accepted target, or none for an off-topic query."""
        found = self.guesses[name]
        return found in self.query.accept if self.query.accept else found is None

    def as_json(self) -> dict[str, Any]:
        """Numbers and texts only."""
        return {
            "level": self.query.level, "query": self.query.query,
            "accept": [t.key for t in self.query.accept],
            "named": self.named.key if self.named else None, "right": self.right,
            "seg_emitted": self.seg_emitted, "seg_probability": round(self.seg_probability, 5),
            "answer": self.answer,
            "guesses": {name: t.key if t else None for name, t in self.guesses.items()},
        }  # fmt: skip


def ask_words(
    vision: VisionEncoder,
    reasoner: Reasoner,
    queries: Sequence[AskedQuery],
    *,
    guesses: Mapping[str, Guess] | None = None,
    seed: int = 0,
) -> list[Understood]:
    """Let the reasoner read every query once, in short answers.

    Args:
        vision: gives the tokens of the two pairs.
        reasoner: what is measured.
        queries: what is asked.
        guesses: other ways to find the target, asked the same.
        seed: of the two pairs.

    Returns:
        One answer a query, in order.

    Raises:
        InvalidInputError: there are no queries, or one cannot be read.
    """
    if not queries:
        raise InvalidInputError("there are no queries to ask; name a file that holds some")
    pairs = validation_pairs("scene", "validation", PAIRS, seed).pairs
    tokens = [vision.encode_for_reasoning(stacked(pair)) for pair in pairs]
    progress = Progress("queries", len(queries))
    found = []
    for number, query in enumerate(queries):
        done = _last(reasoner.reason(tokens[number % PAIRS], query.query, Mode.SHORT))
        found.append(Understood(
            query=query, named=split_answer(done.answer)[1], seg_emitted=done.seg_embedding is not None,
            seg_probability=done.seg_probability, answer=done.answer,
            guesses={name: guess(query.query) for name, guess in (guesses or {}).items()},
        ))  # fmt: skip
        progress.advance()
    return found


def bank_queries(phrases: PhraseBank, *, per_target: int, seed: int = 0) -> list[AskedQuery]:
    """What training has seen, as levels E0, E1, I1 and N3: is it learnt at all?

    Args:
        phrases: the bank.
        per_target: most queries of one level and target; ten times as many off-topic ones.
        seed: of the choice.

    Raises:
        InvalidInputError: `per_target` is not positive.
    """
    if per_target < 1:
        raise InvalidInputError(f"per_target is {per_target}; give at least 1")
    rng = np.random.default_rng(seed)

    def some(lines: Sequence[str], most: int) -> list[str]:
        return [lines[int(i)] for i in rng.permutation(len(lines))[:most]]

    found = []
    for target in DIRECTED:
        levels: dict[str, Sequence[str]] = {
            "E0": explicit_queries(target),
            "E1": phrases.synonyms.get(target.key, ()),
            "I1": [p.query for p in phrases.implicit.get(target.key, ())],
        }
        found += [
            AskedQuery(level=level, query=query, accept=(target,))
            for level, lines in levels.items()
            for query in some(lines, per_target)
        ]
    off_topic = some([p.query for p in phrases.off_topic], 10 * per_target)
    return found + [AskedQuery(level="N3", query=query, accept=()) for query in off_topic]


def _last(events: Any) -> ReasonDone:
    for event in events:
        if isinstance(event, ReasonDone):
            return event
    raise ReasonCDError("the reasoner stopped before the end of its answer; ask again")
