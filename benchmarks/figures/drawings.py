"""The figures of the reports, as SVG: curves, reliability, confusions, and the model beside its controls.

They take numbers and names, and know neither where these come from nor the page that they go into.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.figures.svg import Drawing, Frame, draw_axes, series_class

Point = tuple[float, float]
SIDE = 320.0
"""Of a square diagram, in pixels."""
_LEFT, _TOP, _BOTTOM = 52.0, 14.0, 46.0
_LINE = 20.0
_APART = 8.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One line of a diagram."""

    name: str
    """For the legend."""
    points: tuple[Point, ...]
    """(x, y), in [0, 1]."""
    mark: Point | None = None
    """A point that stands out: where the thresholds in force lie."""
    dotted: bool = False
    """Whether the points are marked, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dots:
    """One series of the diagram that compares over levels: a value where there is one."""

    name: str
    values: Mapping[str, float]
    """By level."""
    intervals: Mapping[str, Point] = field(default_factory=dict)
    """Lower and upper end, by level."""


def precision_recall_figure(curves: Sequence[Curve], label: str) -> str:
    """Precision against recall, with faint lines of equal F1."""
    drawing, frame = _square(label, [curve.name for curve in curves])
    draw_axes(drawing, frame, x_label="recall", y_label="precision")
    for f1 in (0.2, 0.4, 0.6, 0.8):
        # Precision that gives this F1 at each recall; below f1 / (2 - f1) no precision does.
        lowest = f1 / (2 - f1)
        recalls = [lowest + (1 - lowest) * step / 40 for step in range(41)]
        points = [(r, f1 * r / (2 * r - f1)) for r in recalls]
        drawing.line(frame.place(points), cls="faint")
        drawing.text(frame.x(1) - 3, frame.y(points[-1][1]) - 3, f"F1 {f1}", anchor="end", cls="tiny")
    _draw_curves(drawing, frame, curves)
    return drawing.svg()


def reliability_figure(curves: Sequence[Curve], label: str, *, x_label: str, y_label: str) -> str:
    """What was said against what was true; on the diagonal both agree."""
    drawing, frame = _square(label, [curve.name for curve in curves])
    draw_axes(drawing, frame, x_label=x_label, y_label=y_label)
    drawing.line(frame.place([(0, 0), (1, 1)]), cls="faint")
    _draw_curves(drawing, frame, curves)
    return drawing.svg()


def confusion_figure(
    rows: Sequence[str], columns: Sequence[str], counts: Mapping[tuple[str, str], int], label: str
) -> str:
    """What was asked, down, and what was named, across; darker is a larger share of the row.

    Args:
        rows: names of what was asked.
        columns: names of what was answered.
        counts: of each (row, column); missing ones are 0.
        label: for those who do not see the figure.
    """
    cell, high, left, top = 78.0, 44.0, 118.0, 46.0
    drawing = Drawing(width=left + cell * len(columns) + 8, height=top + high * len(rows) + 8, label=label)
    drawing.text(left - 10, top - 12, "asked \\ named", anchor="end", cls="soft")
    for place, column in enumerate(columns):
        drawing.text(left + cell * (place + 0.5), top - 12, column, anchor="middle")
    for line, row in enumerate(rows):
        y = top + high * line
        total = sum(counts.get((row, column), 0) for column in columns)
        drawing.text(left - 10, y + high / 2 + 4, row, anchor="end")
        for place, column in enumerate(columns):
            count = counts.get((row, column), 0)
            share = count / total if total else 0.0
            x = left + cell * place
            kind = "right" if row == column else "wrong"
            drawing.rect(x + 1, y + 1, cell - 2, high - 2, cls="cell")
            drawing.rect(x + 1, y + 1, cell - 2, high - 2, cls=kind, opacity=share)
            on = "on" if share > 0.55 else ""
            if count:
                drawing.text(x + cell / 2, y + high / 2, str(count), anchor="middle", cls=on)
                percent = f"{100 * share:.0f} %" if share >= 0.005 else "< 1 %"
                drawing.text(x + cell / 2, y + high / 2 + 14, percent, anchor="middle", cls=f"tiny {on}")
    return drawing.svg()


def compared_figure(levels: Sequence[str], series: Sequence[Dots], label: str, *, y_label: str) -> str:
    """Each series' value on each level; the first series is the larger one, with its intervals."""
    step = max(64.0, _APART * (len(series) + 2))
    width = step * len(levels)
    frame = Frame(left=_LEFT, top=_TOP, width=width, height=260)
    height = max(_TOP + frame.height + 26, _TOP + _LINE * len(series) + 10)
    names = [one.name for one in series]
    drawing = Drawing(width=_LEFT + width + _legend_width(names), height=height, label=label)
    draw_axes(drawing, frame, x_label="", y_label=y_label, x_ticks=False)
    for place, level in enumerate(levels):
        drawing.text(
            frame.left + step * (place + 0.5),
            frame.top + frame.height + 16,
            level,
            anchor="middle",
            cls="soft",
        )
    # The first series is drawn last, on top of the others.
    for number in reversed(range(len(series))):
        one, cls = series[number], series_class(number)
        for place, level in enumerate(levels):
            value = one.values.get(level)
            if value is None:
                continue
            # Side by side, so that equal values do not hide each other.
            x = frame.left + step * (place + 0.5) + _APART * (number - (len(series) - 1) / 2)
            if level in one.intervals:
                low, high = one.intervals[level]
                drawing.line([(x, frame.y(low)), (x, frame.y(high))], cls=f"line {cls}")
            title = f"{one.name}, {level}: {value:.3f}"
            drawing.dot(x, frame.y(value), 6 if number == 0 else 4, cls=f"dot {cls}", title=title)
    _legend(drawing, frame.left + width + 18, names)
    return drawing.svg()


def _square(label: str, names: Sequence[str]) -> tuple[Drawing, Frame]:
    frame = Frame(left=_LEFT, top=_TOP, width=SIDE, height=SIDE)
    height = max(_TOP + SIDE + _BOTTOM, _TOP + _LINE * len(names) + 10)
    return Drawing(width=_LEFT + SIDE + _legend_width(names), height=height, label=label), frame


def _draw_curves(drawing: Drawing, frame: Frame, curves: Sequence[Curve]) -> None:
    for number, curve in enumerate(curves):
        cls = series_class(number)
        drawing.line(frame.place(curve.points), cls=f"line {cls}")
        for x, y in curve.points if curve.dotted else ():
            title = f"{curve.name}: {x:.2f}, {y:.2f}"
            drawing.dot(frame.x(x), frame.y(y), 3.5, cls=f"dot {cls}", title=title)
        if curve.mark:
            x, y = curve.mark
            title = f"{curve.name}, thresholds in force: {x:.2f}, {y:.2f}"
            drawing.dot(frame.x(x), frame.y(y), 5.5, cls=f"dot {cls}", title=title)
    _legend(drawing, frame.left + frame.width + 18, [curve.name for curve in curves])


def _legend_width(names: Sequence[str]) -> float:
    # Fonts differ; seven pixels a letter are enough for all common ones at this size.
    return 40 + 7.2 * max((len(name) for name in names), default=0)


def _legend(drawing: Drawing, left: float, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        y = _TOP + 8 + _LINE * number
        drawing.dot(left + 5, y, 5, cls=f"dot {series_class(number)}")
        drawing.text(left + 17, y + 4, name)
