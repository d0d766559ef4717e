"""No training wording may be a held-out question, or nearly one."""

import json
import re
from pathlib import Path

import pytest

from reasoncd.errors import NotFoundError
from training.data.real_tiles import data_root
from training.queries import load_phrases

NEAR = 0.6
"""Share of common words above which two wordings count as the same; "roads that were removed" against
"streets that were removed" is just there: another class word in a common frame."""


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z']+", text.lower()))


def overlap(a: str, b: str) -> float:
    one, two = words(a), words(b)
    return len(one & two) / len(one | two)


def held_out_questions() -> list[str]:
    try:
        path = data_root().parent / "bench" / "queries_heldout.json"
    except NotFoundError:
        path = Path("absent")
    if not path.exists():
        pytest.skip(
            "the held-out questions are not here; they lie beside the folder that REASONCD_DATA names"
        )
    return [entry["query"] for entry in json.loads(path.read_text())]


def training_wordings() -> list[str]:
    bank = load_phrases()
    phrases = [p.query for ps in bank.implicit.values() for p in ps] + [p.query for p in bank.off_topic]
    return phrases + [line for lines in bank.synonyms.values() for line in lines]


def test_overlap_sees_a_reworded_line() -> None:
    assert overlap("where has the chainsaw been at work", "Where the chainsaw has been at work?") > NEAR
    assert overlap("new roads", "where would frogs move in") < NEAR


def test_no_held_out_question_is_trained_on() -> None:
    held_out = held_out_questions()
    assert [(h, t) for h in held_out for t in training_wordings() if overlap(h, t) > NEAR] == []
