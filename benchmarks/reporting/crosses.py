"""Counts of what was asked against what was named, as tables."""

from collections import Counter
from collections.abc import Sequence

from benchmarks.reporting.tables import table
from reasoncd.ontology import MAIN_CLASSES, Target

_OTHER, _NONE = "another", "none"
_DIRECTIONS = ("gain", "loss", "change", "transition")


def class_cross(cases: Sequence[tuple[Target, Target | None]]) -> str:
    """The class asked, down, and the class named, across; a transition counts for the first."""
    return cross_table(MAIN_CLASSES, [(asked.cls, named.cls if named else None) for asked, named in cases])


def direction_cross(cases: Sequence[tuple[Target, Target | None]]) -> str:
    """The direction asked, down, and the direction named, across."""
    return cross_table(
        _DIRECTIONS, [(asked.direction, named.direction if named else None) for asked, named in cases]
    )


def cross_table(names: Sequence[str], cases: Sequence[tuple[str, str | None]]) -> str:
    """Cases counted by what was asked, down, and what was named, across."""
    columns = (*names, _OTHER, _NONE)
    counts: Counter[tuple[str, str]] = Counter()
    for asked, named in cases:
        column = _NONE if named is None else named if named in names else _OTHER
        counts[asked if asked in names else _OTHER, column] += 1
    rows = [
        [asked, *(str(counts[asked, column]) for column in columns)]
        for asked in (*names, _OTHER)
        if any(counts[asked, column] for column in columns)
    ]
    return table(["asked, down; named, across", *columns], rows)
