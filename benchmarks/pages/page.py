"""One HTML file out of reports: their pages and tables, their figures, and pictures.

Tables come from the Markdown page, figures from the JSON beside it, so neither can disagree with what was
written there. The file asks for nothing else: style, figures and pictures are inside, and its own policy
forbids the browser to fetch anything.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any

from benchmarks.figures.accuracy import accuracy_figures
from benchmarks.figures.baselines import baselines_figures
from benchmarks.figures.figure import Figure
from benchmarks.pages.markdown import Section, sections
from benchmarks.pages.pictures import Picture, read_pictures
from benchmarks.pages.style import STYLE
from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_TILES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Chapter:
    """One report."""

    name: str
    """For messages: where it was read."""
    markdown: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    """The JSON beside it; empty where there is none."""


def read_chapter(path: Path) -> Chapter:
    """A Markdown report, and the JSON of the same name if it is there.

    Raises:
        NotFoundError: there is no such report.
        CorruptDataError: the JSON is none.
    """
    try:
        markdown = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"{path} cannot be read as text; name a Markdown report") from error
    figures = path.with_suffix(".json")
    if path.suffix == ".json" or not figures.is_file():
        return Chapter(name=str(path), markdown=markdown)
    try:
        data = json.loads(figures.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptDataError(f"{figures} is no JSON; write the report again") from error
    if not isinstance(data, dict):
        raise CorruptDataError(f"{figures} is no report's JSON; write the report again")
    return Chapter(name=str(figures), markdown=markdown, figures=data)


def make_page(reports: Sequence[Path], pictures: Path | None = None) -> str:
    """The page of reports on the disk.

    Args:
        reports: Markdown files, in the order of the chapters; at least one.
        pictures: a folder of drawn pictures.

    Raises:
        InvalidInputError: no report is named.
        NotFoundError, CorruptDataError: as `read_chapter` and `read_pictures`.
    """
    if not reports:
        raise InvalidInputError("no report is named; give at least one Markdown file")
    chapters = [read_chapter(path) for path in reports]
    return html_report(chapters, read_pictures(pictures) if pictures else ())


def html_report(chapters: Sequence[Chapter], pictures: Sequence[Picture] = ()) -> str:
    """The whole page.

    Raises:
        CorruptDataError: the figures of a chapter are unreadable.
    """
    parts: list[str] = []
    entries: list[tuple[int, str, str]] = []
    for number, chapter in enumerate(chapters):
        for section in _with_figures(sections(chapter.markdown, f"c{number + 1}"), chapter):
            parts.append(f"<section>{section.html}</section>")
            if section.order:
                entries.append((section.order, section.anchor, section.title))
    if pictures:
        parts.append(_pictures(pictures))
        entries.append((2, "pictures", "Pictures"))
    title = next((title for order, _, title in entries if order == 1), "Report")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{_contents(entries)}\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _with_figures(found: Sequence[Section], chapter: Chapter) -> list[Section]:
    """The tiles under the title, and the figures after the first section."""
    draw = baselines_figures if chapter.figures.get("report") == "baselines" else accuracy_figures
    try:
        figures = draw(chapter.figures)
    except CorruptDataError as error:
        raise CorruptDataError(f"{chapter.name}: {error.message}") from error
    placed = list(found)
    tiles = _tiles(chapter.figures)
    if tiles:
        place = next((i for i, s in enumerate(placed) if s.order == 1), 0)
        head = placed[place]
        placed[place] = Section(
            title=head.title, anchor=head.anchor, order=head.order, html=head.html + tiles
        )
    if figures:
        seconds = [i for i, s in enumerate(placed) if s.order == 2]
        anchor = f"{found[0].anchor.split('-')[0]}-figures" if found else "figures"
        inner = "".join(_figure(figure) for figure in figures)
        html = f'<h2 id="{anchor}">Figures</h2><div class="side-by-side">{inner}</div>'
        section = Section(title="Figures", anchor=anchor, order=2, html=html)
        placed.insert(seconds[1] if len(seconds) > 1 else len(placed), section)
    return placed


def _tiles(data: Mapping[str, Any]) -> str:
    """How many targets are met, and the first of them; nothing where the JSON has none."""
    given = data.get("targets", [])
    targets = [t for t in given if isinstance(t, dict) and "measure" in t] if isinstance(given, list) else []
    if not targets:
        return ""
    met = sum(t.get("met") is True for t in targets)
    judged = sum(t.get("met") is not None for t in targets)
    tiles = [_tile(f"{met} of {judged}", "targets met")]
    for target in targets:
        value = target.get("value")
        # Counts of controls are told in the table.
        if isinstance(value, int | float) and isfinite(value) and target.get("target", 1) <= 1:
            tiles.append(_tile(f"{value:.2f}", f"{target['measure']}; {target.get('on', '')}"))
    return f'<div class="tiles">{"".join(tiles[: _TILES + 1])}</div>'


def _tile(value: str, words: str) -> str:
    return f'<div class="tile"><b>{escape(value)}</b><span>{escape(words.rstrip("; "))}</span></div>'


def _figure(figure: Figure) -> str:
    broad = ' class="broad"' if figure.broad else ""
    return (
        f"<figure{broad}><h3>{escape(figure.title)}</h3>{figure.svg}"
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
    )


def _pictures(pictures: Sequence[Picture]) -> str:
    parts = ['<section><h2 id="pictures">Pictures</h2>']
    for group in dict.fromkeys(p.group for p in pictures):
        parts.append(f"<h3>{escape(group)}</h3>")
        parts += [
            f'<figure><img src="{p.data}" alt="{escape(p.caption, quote=True)}">'
            f"<figcaption>{escape(p.caption)}</figcaption></figure>"
            for p in pictures
            if p.group == group
        ]
    return "".join(parts) + "</section>"


def _contents(entries: Sequence[tuple[int, str, str]]) -> str:
    links = "".join(
        f'<li><a href="#{escape(anchor, quote=True)}">'
        + (f"<b>{escape(title)}</b>" if order == 1 else escape(title))
        + "</a></li>"
        for order, anchor, title in entries
    )
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'
