"""Training queries: which wording is asked for which target, and the answer that goes with it."""

from dataclasses import dataclass

import numpy as np

from reasoncd.ontology import TARGET_BY_KEY, TARGETS, Target
from reasoncd.ports import Mode
from services.reasoner.prompt import answer_text, explicit_reason
from training.queries.bank import Phrase, PhraseBank, explicit_queries


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingQuery:
    """One question as a user would type it, and its answer."""

    query: str
    mode: Mode
    answer: str
    """As the reasoner writes it in one turn, `<SEG>` included."""
    target: Target | None
    """None for an off-topic question."""
    reason: str | None = None
    """The part of an explained answer that gives the reason."""


EXPLAINED_IMPLICIT = 0.96
"""Share of implicit phrases among explained questions about land cover. The one reason that explicit
questions get would otherwise be the likeliest start of every explanation."""


class QuerySampler:
    """Draws questions from the phrase bank and the generated wordings.

    Args:
        bank: the phrases.
        implicit: share of implicit phrases among questions about land cover.
        off_topic: share of questions that are not about land cover.
        seg_first: give reasons after `<SEG>`, to compare that order with the one that is served.
    """

    def __init__(
        self,
        bank: PhraseBank,
        *,
        implicit: float = 0.74,
        off_topic: float = 0.1,
        seg_first: bool = False,
    ) -> None:
        self.bank = bank
        self.implicit = implicit
        self.off_topic = off_topic
        self.seg_first = seg_first
        self._phrases = [(TARGET_BY_KEY[k], p) for k, ps in bank.implicit.items() for p in ps]
        self._reasoned = [(t, p) for t, p in self._phrases if p.why is not None]
        self._reasoned_off_topic = [p for p in bank.off_topic if p.why is not None]

    def draw(self, rng: np.random.Generator, mode: Mode) -> TrainingQuery:
        """One question about anything; in the explained mode, one that has a written reason."""
        explained = mode is Mode.EXPLAINED
        if rng.random() < self.off_topic:
            lines = self._reasoned_off_topic if explained else self.bank.off_topic
            return self._phrased(None, lines[rng.integers(len(lines))], mode, rng)
        if rng.random() < (EXPLAINED_IMPLICIT if explained else self.implicit):
            phrases = self._reasoned if explained else self._phrases
            target, phrase = phrases[rng.integers(len(phrases))]
            return self._phrased(target, phrase, mode, rng)
        return self._explicit(TARGETS[rng.integers(len(TARGETS))], mode, rng)

    def draw_for(self, target: Target, rng: np.random.Generator) -> TrainingQuery:
        """One question that means a given target, answered briefly."""
        phrases = self.bank.implicit.get(target.key, ())
        if phrases and rng.random() < self.implicit:
            return self._phrased(target, phrases[rng.integers(len(phrases))], Mode.SHORT, rng)
        return self._explicit(target, Mode.SHORT, rng)

    def _phrased(
        self, target: Target | None, phrase: Phrase, mode: Mode, rng: np.random.Generator
    ) -> TrainingQuery:
        reason = phrase.why if mode is Mode.EXPLAINED else None
        return self._query(vary(phrase.query, rng), target, mode, reason)

    def _explicit(self, target: Target, mode: Mode, rng: np.random.Generator) -> TrainingQuery:
        lines = self.bank.synonyms.get(target.key, ())
        if not lines or rng.random() < 0.4:
            lines = explicit_queries(target)
        query = vary(lines[rng.integers(len(lines))], rng)
        return self._query(query, target, mode, explicit_reason(target) if mode is Mode.EXPLAINED else None)

    def _query(self, query: str, target: Target | None, mode: Mode, reason: str | None) -> TrainingQuery:
        answer = answer_text(target, reason=reason, seg_first=self.seg_first)
        return TrainingQuery(query=query, mode=mode, answer=answer, target=target, reason=reason)


_OPENINGS = ("show me ", "find ", "mark ", "please show ", "highlight ", "I am looking for ", "can you find ")


def vary(query: str, rng: np.random.Generator) -> str:
    """The same words as another person types them: an opening, a capital, a final mark.

    An opening goes before noun phrases only; a question or an order has its own.
    """
    first = query.split()[0].lower()
    own_start = {
        "where",
        "what",
        "which",
        "who",
        "show",
        "find",
        "how",
        "is",
        "are",
        "did",
        "does",
        "can",
        "i",
        "we",
    }
    if first not in own_start and rng.random() < 0.15:
        query = _OPENINGS[rng.integers(len(_OPENINGS))] + query
    if rng.random() < 0.35:
        query = query[0].upper() + query[1:]
    if query[-1].isalnum() and rng.random() < 0.3:
        query += "?" if first in own_start else "."
    return query
