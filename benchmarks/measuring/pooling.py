"""Outcomes of several lists as those of one: each list's pairs get numbers of their own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from benchmarks.measuring.accuracy import ListResult
from benchmarks.measuring.outcomes import Outcome

_STRIDE = 1_000_000
"""More than the pairs of any list."""

T = TypeVar("T", bound=Any)


def pooled_outcomes(lists: Sequence[ListResult]) -> list[Outcome]:
    """All outcomes, their pairs numbered apart."""
    return [
        replace(o, question=replace(o.question, pair=o.question.pair + place * _STRIDE))
        for place, one in enumerate(lists)
        for o in one.outcomes
    ]


def pooled(parts: Sequence[Sequence[T]]) -> list[T]:
    """Results that have a `pair`, one sequence a list, numbered in the same way."""
    return [
        replace(found, pair=found.pair + place * _STRIDE)
        for place, part in enumerate(parts)
        for found in part
    ]
