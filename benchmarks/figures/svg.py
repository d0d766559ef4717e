"""A small drawing board for figures: plain SVG whose colours are those of the page around it.

Shapes carry classes (`s1` to `s8` for series, `grid`, `frame`, `soft`) that the page's style gives colours
for light, for dark and for paper, so one drawing serves all three. It knows nothing of what is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

Anchor = Literal["start", "middle", "end"]
SERIES = 8
"""Number of series colours; further series begin anew."""


@dataclass(kw_only=True, slots=True)
class Drawing:
    """Shapes in pixels, the origin at the upper left."""

    width: float
    height: float
    label: str
    """What a person who does not see the figure is told."""
    _parts: list[str] = field(default_factory=list)

    def rect(
        self, x: float, y: float, width: float, height: float, *, cls: str, opacity: float | None = None
    ) -> None:
        """A filled rectangle."""
        more = "" if opacity is None else f' fill-opacity="{opacity:.3f}"'
        self._parts.append(
            f'<rect class="{cls}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"{more}/>'
        )

    def line(self, points: Sequence[tuple[float, float]], *, cls: str) -> None:
        """A line through points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline class="{cls}" points="{path}"/>')

    def dot(self, x: float, y: float, radius: float, *, cls: str, title: str = "") -> None:
        """A disc; the title shows where a pointer rests on it."""
        inner = f"<title>{escape(title)}</title>" if title else ""
        self._parts.append(
            f'<circle class="{cls}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">{inner}</circle>'
        )

    def text(
        self, x: float, y: float, words: str, *, anchor: Anchor = "start", cls: str = "", turned: bool = False
    ) -> None:
        """One line of text whose base line begins, ends or is centred at a point."""
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        self._parts.append(
            f'<text class="{cls}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}>{escape(words)}</text>'
        )

    def svg(self) -> str:
        """The whole drawing."""
        return (
            f'<svg viewBox="0 0 {self.width:.0f} {self.height:.0f}" width="{self.width:.0f}" '
            f'role="img" aria-label="{escape(self.label, quote=True)}">' + "".join(self._parts) + "</svg>"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """The field of a diagram on a drawing, and the ranges that it shows."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)

    def x(self, value: float) -> float:
        """Across, in pixels."""
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * self.width

    def y(self, value: float) -> float:
        """Down, in pixels."""
        low, high = self.y_range
        return self.top + self.height - (value - low) / (high - low) * self.height

    def place(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """Values to pixels."""
        return [(self.x(x), self.y(y)) for x, y in points]


def draw_axes(
    drawing: Drawing, frame: Frame, *, x_label: str, y_label: str, x_ticks: bool = True, ticks: int = 5
) -> None:
    """Grid lines with their values, a frame, and what the axes are."""
    bottom, right = frame.top + frame.height, frame.left + frame.width
    for number in range(ticks + 1):
        share = number / ticks
        y_value = frame.y_range[0] + share * (frame.y_range[1] - frame.y_range[0])
        y = frame.y(y_value)
        drawing.line([(frame.left, y), (right, y)], cls="grid")
        drawing.text(frame.left - 6, y + 4, f"{y_value:.1f}", anchor="end", cls="soft")
        if x_ticks:
            x_value = frame.x_range[0] + share * (frame.x_range[1] - frame.x_range[0])
            x = frame.x(x_value)
            drawing.line([(x, frame.top), (x, bottom)], cls="grid")
            drawing.text(x, bottom + 16, f"{x_value:.1f}", anchor="middle", cls="soft")
    corners = [(frame.left, frame.top), (right, frame.top), (right, bottom), (frame.left, bottom)]
    drawing.line([*corners, corners[0]], cls="frame")
    if x_label:
        drawing.text(frame.left + frame.width / 2, bottom + 34, x_label, anchor="middle", cls="soft")
    drawing.text(
        frame.left - 36, frame.top + frame.height / 2, y_label, anchor="middle", cls="soft", turned=True
    )


def series_class(number: int) -> str:
    """The colour class of a series, from 0 on."""
    return f"s{number % SERIES + 1}"
