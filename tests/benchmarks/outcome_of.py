"""Outcomes made up for tests of what is computed from them."""

from typing import Any

from benchmarks.measuring.outcomes import MODEL, Outcome
from benchmarks.measuring.score_counts import ScoreCounts
from benchmarks.queries.questions import Question
from reasoncd.ontology import TARGET_BY_KEY
from training.metrics import Confusion


def outcome_of(
    pair: int,
    level: str,
    key: str | None,
    score: Confusion,
    *,
    controls: dict[str, Confusion] | None = None,
    present: bool = True,
    query: str = "q",
    **fields: Any,
) -> Outcome:
    """An outcome of one question; fields beside the given ones are those of a right answer."""
    accept = (TARGET_BY_KEY[key],) if key else ()
    question = Question(pair=pair, level=level, wording=level, query=query, accept=accept, present=present)
    given: dict[str, Any] = {
        "empty": score.tp + score.fp == 0, "named": accept[0] if accept else None, "right_words": True,
        "seg_emitted": bool(key), "presence": 0.9 if present else 0.1, "confidence": score.iou,
        "wrong_direction": 0, "marked": score.tp + score.fp, "answer": "", "score_counts": ScoreCounts(),
    }  # fmt: skip
    scores = {MODEL: score, **(controls or {})}
    return Outcome(question=question, scores=scores, **(given | fields))
