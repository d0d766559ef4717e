"""One figure of a page, and the three kinds that are drawn of series: None where there is nothing to draw."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.figures.drawings import (
    Curve,
    Dots,
    compared_figure,
    precision_recall_figure,
    reliability_figure,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One figure of a page."""

    title: str
    svg: str
    caption: str
    broad: bool = False
    """Whether it takes the whole width of a page."""


def compared(
    title: str, caption: str, columns: Sequence[str], series: Sequence[Dots], *, y_label: str
) -> Figure | None:
    """Several methods side by side in each column, over the whole width."""
    if not series:
        return None
    svg = compared_figure(columns, series, title, y_label=y_label)
    return Figure(title=title, svg=svg, caption=caption, broad=True)


def precision_recall(title: str, caption: str, curves: Sequence[Curve | None]) -> Figure | None:
    """Precision against recall; curves that are None had nothing to show and are left out."""
    drawn = [curve for curve in curves if curve]
    if not drawn:
        return None
    return Figure(title=title, svg=precision_recall_figure(drawn, title), caption=caption)


def reliability(
    title: str, caption: str, curves: Sequence[Curve | None], *, x_label: str, y_label: str
) -> Figure | None:
    """What was predicted against what came true; curves that are None are left out."""
    drawn = [curve for curve in curves if curve]
    if not drawn:
        return None
    svg = reliability_figure(drawn, title, x_label=x_label, y_label=y_label)
    return Figure(title=title, svg=svg, caption=caption)
