"""The project's own Markdown pages as HTML: headings to link to, tables that can be read when wide.

Raw HTML, pictures and links stay text, so what a user asked or an answer said cannot do anything in a
reader's browser. The reports need none of them.
"""

import re
from dataclasses import dataclass

from markdown_it import MarkdownIt

_GOOD = re.compile(r"(?:met|better)\b")
_BAD = re.compile(r"(?:missed|not better)\b")
_CELL = re.compile(r"<td( style=\"[^\"]*\")?>(.*?)</td>", re.DOTALL)
_LONG = 44
"""Characters from which a cell is broken into lines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """What stands under one heading of the first or second order, the heading included."""

    title: str
    """Without marks; empty for what stands before the first heading."""
    anchor: str
    order: int
    """1 or 2; 0 before the first heading."""
    html: str


def sections(markdown: str, prefix: str) -> list[Section]:
    """Render a page.

    Args:
        markdown: the page.
        prefix: begins every anchor, so that several pages fit into one.

    Returns:
        Its sections in order.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.disable(["image", "link", "autolink"])
    tokens = parser.parse(markdown)
    starts = [i for i, t in enumerate(tokens) if t.type == "heading_open" and t.tag in ("h1", "h2")]
    found: list[Section] = []
    for start, end in zip([0, *starts], [*starts, len(tokens)], strict=True):
        part = tokens[start:end]
        if not part:
            continue
        title, anchor, order = "", prefix, 0
        if start in starts:
            title = re.sub(r"[*`]", "", part[1].content)
            anchor = f"{prefix}-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}"
            order = int(part[0].tag[1])
            part[0].attrSet("id", anchor)
        html = parser.renderer.render(part, parser.options, {})
        found.append(Section(title=title, anchor=anchor, order=order, html=_tables(html)))
    return found


def _tables(html: str) -> str:
    html = html.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    return _CELL.sub(_cell, html)


def _cell(match: re.Match[str]) -> str:
    style, content = match[1] or "", match[2]
    kinds = []
    if _GOOD.match(content):
        kinds.append("good")
    elif _BAD.match(content):
        kinds.append("bad")
    if len(content) > _LONG:
        kinds.append("words")
    cls = f' class="{" ".join(kinds)}"' if kinds else ""
    return f"<td{cls}{style}>{content}</td>"
