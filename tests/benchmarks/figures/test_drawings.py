"""The drawings: well formed, in the right place, and in colours that the page has."""

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks.figures.drawings import (
    SIDE,
    Curve,
    Dots,
    compared_figure,
    confusion_figure,
    precision_recall_figure,
    reliability_figure,
)
from benchmarks.figures.svg import Drawing, Frame, series_class
from benchmarks.pages.style import STYLE

pytestmark = pytest.mark.unit

CURVES = (
    Curve(name='new "<b>" & old', points=((0.0, 1.0), (0.5, 0.5), (1.0, 0.0)), mark=(0.5, 0.5), dotted=True),
    Curve(name="other", points=((0.2, 0.2), (0.4, 0.9))),
)


def _parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def _figures() -> list[str]:
    dots = Dots(name="model", values={"E0": 0.5, "I2": 0.25}, intervals={"E0": (0.4, 0.6)})
    return [
        precision_recall_figure(CURVES, "a & b"),
        reliability_figure(CURVES, "a", x_label="said", y_label="true"),
        confusion_figure(["gain", "loss"], ["gain", "loss", "none"], {("gain", "gain"): 3}, "a"),
        compared_figure(["E0", "I2"], [dots, Dots(name="lexicon", values={"E0": 0.1})], "a", y_label="F1"),
    ]


def test_every_figure_is_well_formed_and_has_a_label() -> None:
    for svg in _figures():
        root = _parsed(svg)
        assert root.attrib["role"] == "img"
        assert root.attrib["aria-label"].startswith("a")


def test_every_class_has_a_look() -> None:
    used = {
        name for svg in _figures() for value in re.findall(r'class="([^"]*)"', svg) for name in value.split()
    }
    assert used >= {"line", "dot", "grid", "frame", "soft", "s1", "s2"}
    assert {name for name in used if f".{name}" not in STYLE} == set()


def test_all_that_is_drawn_lies_inside() -> None:
    for svg in _figures():
        root = _parsed(svg)
        _, _, width, height = (float(v) for v in root.attrib["viewBox"].split())
        for part in root:
            for x, y in _places(part):
                assert 0 <= x <= width
                assert 0 <= y <= height


def _places(part: ET.Element) -> list[tuple[float, float]]:
    a = part.attrib
    if part.tag == "polyline":
        return [(float(x), float(y)) for x, y in (p.split(",") for p in a["points"].split())]
    if part.tag == "rect":
        x, y = float(a["x"]), float(a["y"])
        return [(x, y), (x + float(a["width"]), y + float(a["height"]))]
    return [(float(a.get("cx", a.get("x", 0))), float(a.get("cy", a.get("y", 0))))]


def test_curves_lie_where_their_values_are() -> None:
    root = _parsed(reliability_figure(CURVES, "a", x_label="said", y_label="true"))
    line = next(p for p in root if p.attrib.get("class") == "line s1")
    first, middle, last = _places(line)
    assert (last[0] - first[0], last[1] - first[1]) == pytest.approx((SIDE, SIDE), abs=0.2)
    assert middle == pytest.approx(((first[0] + last[0]) / 2, (first[1] + last[1]) / 2), abs=0.2)
    titles = [t.text for t in root.iter("title")]
    assert 'new "<b>" & old: 0.50, 0.50' in titles


def test_lines_of_equal_f1_are_those_of_f1() -> None:
    root = _parsed(precision_recall_figure((), "a"))
    bottom = max(y for p in root if p.attrib.get("class") == "frame" for _, y in _places(p))
    left = min(x for p in root if p.attrib.get("class") == "frame" for x, _ in _places(p))
    faint = [p for p in root if p.attrib.get("class") == "faint"]
    assert len(faint) == 4
    for line, f1 in zip(faint, (0.2, 0.4, 0.6, 0.8), strict=True):
        for x, y in _places(line):
            recall, precision = (x - left) / SIDE, (bottom - y) / SIDE
            assert 2 * recall * precision / (recall + precision) == pytest.approx(f1, abs=0.005)


def test_a_confusion_shows_counts_and_shares_of_the_row() -> None:
    counts = {("gain", "gain"): 3, ("gain", "none"): 1, ("loss", "gain"): 400, ("loss", "loss"): 1}
    svg = confusion_figure(["gain", "loss"], ["gain", "loss", "none"], counts, "a")
    texts = [t.text for t in _parsed(svg).iter("text")]
    for words in ("3", "75 %", "25 %", "400", "100 %", "< 1 %"):
        assert words in texts
    shades = {
        (p.attrib["class"], p.attrib["fill-opacity"]) for p in _parsed(svg) if "fill-opacity" in p.attrib
    }
    assert {("right", "0.750"), ("wrong", "0.250"), ("wrong", "0.998"), ("right", "0.002")} <= shades


def test_a_level_without_a_value_has_no_dot() -> None:
    dots = Dots(name="model", values={"E0": 0.5})
    root = _parsed(compared_figure(["E0", "I2"], [dots], "a", y_label="F1"))
    titles = [t.text for t in root.iter("title")]
    assert titles == ["model, E0: 0.500"]


def test_names_are_text_and_nothing_else() -> None:
    drawing = Drawing(width=10, height=10, label='"><script>')
    drawing.text(1, 1, "<script>alert(1)</script>")
    assert "<script" not in drawing.svg()


def test_a_frame_turns_values_into_pixels() -> None:
    frame = Frame(left=10, top=20, width=100, height=50, x_range=(0, 2), y_range=(-1, 1))
    assert frame.place([(0, -1), (2, 1), (1, 0)]) == [(10, 70), (110, 20), (60, 45)]


def test_more_series_than_colours_begin_anew() -> None:
    assert [series_class(n) for n in (0, 7, 8)] == ["s1", "s8", "s1"]
