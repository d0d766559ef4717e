"""Figures as text and rows as Markdown tables."""

import math
from collections.abc import Sequence

MISSING = "-"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, text: Sequence[str] = ()) -> str:
    """A Markdown table; a sentence where it has no rows.

    Args:
        header: of each column.
        rows: cells as text.
        text: headers of columns that are set to the left, beside the first one.
    """
    if not rows:
        return "Nothing was measured.\n"
    marks = ["---", *("---" if name in text else "--:" for name in header[1:])]
    lines = [header, marks, *rows]
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines) + "\n"
    )


def figure(value: float | None, digits: int = 3) -> str:
    """A number with so many digits after the point, or a dash."""
    return MISSING if value is None or math.isnan(value) else f"{value:.{digits}f}"


def share(value: float | None) -> str:
    """A part of 1 in per cent, or a dash."""
    return MISSING if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def with_interval(value: float, interval: tuple[float, float]) -> str:
    """A figure and its interval."""
    if math.isnan(value):
        return MISSING
    return f"{value:.3f} ({figure(interval[0])} to {figure(interval[1])})"


def share_with_interval(value: float, interval: tuple[float, float]) -> str:
    """A share and its interval."""
    if math.isnan(value):
        return MISSING
    return f"{share(value)} ({100 * interval[0]:.0f} to {100 * interval[1]:.0f})"
