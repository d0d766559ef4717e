"""Tables of what the reasoner understood, by level, and of what it took for what."""

from collections.abc import Sequence

import numpy as np

from benchmarks.measuring import measures
from benchmarks.measuring.understanding import Understood
from benchmarks.reporting.crosses import class_cross, direction_cross
from benchmarks.reporting.tables import figure, share, share_with_interval, table

_OFF_TOPIC = "off-topic"


def understanding_report(answers: Sequence[Understood], *, misread: int = 0) -> str:
    """The page: shares of each level, controls, confusions, and some of the misread queries.

    Args:
        answers: as `ask_words` gives them.
        misread: most queries to name that were understood wrongly, spread over the list.
    """
    asked = [a for a in answers if a.query.accept]
    named = [(a.query.accept[0], a.named) for a in asked]
    parts = [
        "## Right by the words alone\n", _levels(answers),
        "## Class asked and class named\n", class_cross(named),
        "## Direction asked and direction named\n", direction_cross(named),
        "## Right of each target\n", _targets(asked),
    ]  # fmt: skip
    if misread:
        parts += ["## Misread\n", _misread([a for a in answers if not a.right], misread)]
    return "\n".join(parts)


def _levels(answers: Sequence[Understood]) -> str:
    names = list(answers[0].guesses) if answers else []
    rows = []
    for level in sorted({a.query.level for a in answers}):
        of = [a for a in answers if a.query.level == level]
        on_topic = any(a.query.accept for a in of)
        verdicts = [(i, a.right) for i, a in enumerate(of)]
        rows.append([
            level, str(len(of)),
            share_with_interval(measures.rate(verdicts), measures.rate_interval(verdicts)),
            share(_mean([a.right_class for a in of]) if on_topic else None),
            share(_mean([a.right_direction for a in of]) if on_topic else None),
            share(_mean([a.seg_emitted for a in of])),
            figure(_mean([a.seg_probability for a in of]), 2),
            *(share(_mean([a.guessed_right(name) for a in of])) for name in names),
        ])  # fmt: skip
    return table(
        ["level", "queries", "right class and direction (95 %)", "right class", "right direction", "`<SEG>`",
         "mean probability of `<SEG>`", *(f"right by {name}" for name in names)],
        rows,
    )  # fmt: skip


def _targets(asked: Sequence[Understood]) -> str:
    levels = sorted({a.query.level for a in asked})
    rows = []
    for target in dict.fromkeys(sorted((a.query.accept[0] for a in asked), key=lambda t: t.key)):
        of = [a for a in asked if a.query.accept[0] == target]
        cells = [[a.right for a in of if a.query.level == level] for level in levels]
        rows.append([target.words, *(f"{share(_mean(c))} (n={len(c)})" if c else "-" for c in cells)])
    return table(["target", *levels], rows)


def _misread(wrong: Sequence[Understood], most: int) -> str:
    places = np.linspace(0, len(wrong) - 1, min(most, len(wrong))).round().astype(int)
    rows = [
        [
            a.query.query, a.query.level,
            a.query.accept[0].key if a.query.accept else _OFF_TOPIC,
            a.named.key if a.named else _OFF_TOPIC,
        ]
        for a in (wrong[int(i)] for i in places)
    ]  # fmt: skip
    return f"{len(rows)} of {len(wrong)}.\n\n" + table(
        ["query", "level", "asked", "named"], rows, text=("level", "asked", "named")
    )


def _mean(verdicts: Sequence[float]) -> float:
    return float(np.mean(verdicts)) if verdicts else float("nan")
