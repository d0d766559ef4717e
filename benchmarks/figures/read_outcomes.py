"""Outcomes as the JSON of a report holds them: read leniently, so that older and newer reports can be drawn.

What a report does not have is left out; what is there but no outcome at all is an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.measuring.outcomes import MODEL
from benchmarks.measuring.score_counts import ScoreCounts
from reasoncd.errors import CorruptDataError, InvalidInputError
from reasoncd.ontology import TARGET_BY_KEY, Target
from training.metrics import Confusion


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOutcome:
    """One question and what came of it."""

    pair: int
    level: str
    present: bool
    """Whether the asked change is there."""
    off_topic: bool
    asked: Target | None
    """None for an off-topic question, and for a target that the ontology no longer has."""
    named: Target | None
    """The target that the answer names."""
    presence: float | None
    confidence: float | None
    """Predicted IoU; None where nothing is marked."""
    scores: Mapping[str, Confusion]
    """Of the model and of each control."""
    score_counts: ScoreCounts | None

    @property
    def score(self) -> Confusion | None:
        """Of the model."""
        return self.scores.get(MODEL)


def read_lists(data: Mapping[str, Any]) -> list[tuple[str, list[ReadOutcome]]]:
    """The kind and the outcomes of every list of a report that has outcomes.

    Raises:
        CorruptDataError: a list is none, or one of its outcomes; the message names it.
    """
    lists = data.get("lists", [])
    if not isinstance(lists, list) or not all(isinstance(one, dict) for one in lists):
        raise CorruptDataError("`lists` holds something else than lists of pairs; measure again")
    read = [(str(one.get("kind")), _read_all(one.get("outcomes") or [])) for one in lists]
    return [(kind, outcomes) for kind, outcomes in read if outcomes]


def _read_all(rows: Any) -> list[ReadOutcome]:
    if not isinstance(rows, list):
        raise CorruptDataError("`outcomes` is no list; measure again")
    found = []
    for number, row in enumerate(rows):
        try:
            found.append(_read(row))
        except (KeyError, TypeError, ValueError, AttributeError, InvalidInputError) as error:
            raise CorruptDataError(f"outcome {number} is unreadable; measure again") from error
    return found


def _read(row: Mapping[str, Any]) -> ReadOutcome:
    accept = row["accept"]
    counts = row.get("score_counts")
    scores = {
        name: Confusion(tp=int(tp), fp=int(fp), fn=int(fn), tn=int(tn))
        for name, (tp, fp, fn, tn) in row.get("scores", {}).items()
    }
    return ReadOutcome(
        pair=int(row["pair"]),
        level=str(row["level"]),
        present=bool(row["present"]),
        off_topic=not accept,
        asked=TARGET_BY_KEY.get(accept[0]) if accept else None,
        named=TARGET_BY_KEY.get(row.get("named") or ""),
        presence=row.get("presence"),
        confidence=row.get("confidence"),
        scores=scores,
        score_counts=ScoreCounts.from_json(counts) if counts else None,
    )
