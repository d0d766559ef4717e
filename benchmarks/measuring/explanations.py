"""Does an explained answer name what was asked, and does the map show what it names?"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.answers import CLAIM, named_target
from benchmarks.measuring.measures import overlap
from benchmarks.measuring.outcomes import Failure, ask, stacked
from benchmarks.queries.lexicon import lexicon_target
from benchmarks.queries.questions import DIRECTED, Question
from gateway.pipeline import Pipeline
from reasoncd.ontology import Target
from reasoncd.ports import Mode
from training.data.labels import LabelledPair, target_masks
from training.metrics import Confusion


class ReasonKind(StrEnum):
    """What a reason speaks of, by the lexicon's keywords."""

    ASKED = "asked class"
    """And no other direction than the asked one."""
    OTHER_DIRECTION = "other direction"
    OTHER_CLASS = "other class"
    NONE = "no keyword"
    """Or no reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """One explained answer beside its map, the truth and the short answer's map."""

    pair: int
    level: str
    query: str
    answer: str
    named: Target | None
    """The target that the answer claims."""
    asked_named: bool
    """The named target is one that the question accepts."""
    map_named: bool
    """No other target's truth overlaps more with the map than the named one's; never for an empty map."""
    agreement: float
    """IoU of the explained and the short answer's map; 1 where both are empty. A model that decides before it
    explains gives the short answer's map by construction."""
    empty: bool
    """No pixel is marked, so that the answer says so and gives no reason."""
    reason: ReasonKind

    @property
    def right(self) -> bool:
        """The answer names what was asked and what the map shows."""
        return self.asked_named and self.map_named

    def as_json(self) -> dict[str, Any]:
        """Numbers and texts only."""
        return {
            "pair": self.pair, "level": self.level, "query": self.query, "answer": self.answer,
            "named": self.named.key if self.named else None, "asked_named": self.asked_named,
            "map_named": self.map_named, "agreement": self.agreement, "empty": self.empty,
            "reason": self.reason,
        }  # fmt: skip


def explanation_test(
    pipeline: Pipeline, pair: LabelledPair, question: Question
) -> tuple[Explanation, list[Failure]]:
    """Ask one question whose change is there with and without a reason; a failure counts as wrong."""
    images, query = stacked(pair), question.query
    explained = ask(pipeline, images, [query], mode=Mode.EXPLAINED)[query]
    short = ask(pipeline, images, [query])[query]
    if isinstance(explained, Failure) or isinstance(short, Failure):
        failures = [a for a in (explained, short) if isinstance(a, Failure)]
        return Explanation(
            pair=question.pair, level=question.level, query=query, answer="", named=None,
            asked_named=False, map_named=False, agreement=0.0, empty=True, reason=ReasonKind.NONE,
        ), failures  # fmt: skip
    named = named_target(explained.answer)
    return Explanation(
        pair=question.pair,
        level=question.level,
        query=query,
        answer=explained.answer,
        named=named,
        asked_named=named in question.accept,
        map_named=named is not None and _fits_best(pair, explained.change_map, named),
        agreement=overlap(explained.change_map, short.change_map),
        empty=not explained.change_map.any(),
        reason=reason_kind(explained.answer, question.accept),
    ), []


def reason_kind(answer: str, accept: Sequence[Target]) -> ReasonKind:
    """What the sentences before the claim speak of, told by keywords."""
    told = lexicon_target(_before_claim(answer))
    if told is None:
        return ReasonKind.NONE
    same_class = [target for target in accept if told.cls == target.cls]
    if not same_class:
        return ReasonKind.OTHER_CLASS
    # Keywords often tell no direction; then the class alone is judged.
    if told.direction not in ("gain", "loss") or told.direction in {t.direction for t in same_class}:
        return ReasonKind.ASKED
    return ReasonKind.OTHER_DIRECTION


def _before_claim(answer: str) -> str:
    claims = list(CLAIM.finditer(answer))
    return answer[: claims[-1].start()] if claims else answer


def _fits_best(pair: LabelledPair, change_map: NDArray[np.bool_], named: Target) -> bool:
    """Whether the named target's truth overlaps with the map as much as any of the ten targets' does.

    Ground that is built on is lost bare ground and new buildings at once: where two truths are equal, both
    fit.
    """
    others = tuple(t for t in DIRECTED if t != named)
    own, *rest = (Confusion.of(change_map, truth).iou for truth in target_masks(pair, (named, *others)))
    return own > 0 and own >= max(rest)
