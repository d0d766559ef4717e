"""The HTML page: one file that asks for nothing, says what the Markdown says, and is safe to open."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.jobs import make_report_folder, write_html
from benchmarks.pages.markdown import sections
from benchmarks.pages.page import Chapter, html_report, make_page, read_chapter
from benchmarks.pages.pictures import WIDEST, read_pictures
from benchmarks.pages.style import STYLE
from benchmarks.reporting.tables import table
from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError
from tests.benchmarks.outcome_of import outcome_of
from training.metrics import Confusion

pytestmark = pytest.mark.unit

PAGE = (
    "# Accuracy\n\nIntro.\n\n## Targets\n\n"
    + table(
        ["measure", "verdict"],
        [["E0", "met"], ["I2", "missed; not better than: any"], ["I3", "not measured"]],
    )
    + "\n## Second\n\n"
    + table(
        ["query", "named"],
        [["<img src=http://x/y onerror=alert(1)>", "better"], ["![p](http://x/p.png)", "-"]],
    )
    + "\n## `<SEG>` and more\n\nText.\n"
)
FIGURES = {
    "targets": [
        {"measure": "E0: macro F1", "on": "composites", "target": 0.78, "value": 0.91, "met": True},
        {"measure": "better than", "on": "all", "target": 5, "value": 2, "met": False},
        {"measure": "unseen", "on": "all", "target": 0.5, "value": None, "met": None},
    ],
    "lists": [
        {
            "kind": "scene",
            "outcomes": [outcome_of(0, "E0", "road.gain", Confusion(tp=1, tn=9)).as_json()],
        }
    ],
}


class Reader(HTMLParser):
    """Collects tags, and complains about what is not closed in order."""

    VOID = frozenset({"meta", "img", "br", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def _chapter(**options: object) -> Chapter:
    return Chapter(**{"name": "a.json", "markdown": PAGE, "figures": FIGURES, **options})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    drawn = tmp_path / "pictures"
    drawn.mkdir()
    names = ("composite-worst-1-I2", "fotbcd_512-bin_val_1-1", "composite-best-1-E0", "scene-false-2-N1")
    for number, name in enumerate(names):
        pixels = rng.integers(0, 256, (40, WIDEST + 300 if number == 0 else 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(drawn / f"{name}.png")
    return drawn


def test_nothing_leaves_the_page(folder: Path) -> None:
    reader = _read(html_report([_chapter()], read_pictures(folder)))
    for tag, attributes in reader.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "form", "base"}
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset", "data", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/webp;base64,")), (tag, value)
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    policies = [a["content"] for t, a in reader.tags if t == "meta" and "http-equiv" in a]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_what_users_wrote_stays_text() -> None:
    reader = _read(html_report([_chapter()]))
    assert "<img src=http://x/y onerror=alert(1)>" in "".join(reader.text)
    assert not [tag for tag, _ in reader.tags if tag == "img"]


def test_every_link_has_its_place_and_every_place_one_name(folder: Path) -> None:
    reader = _read(html_report([_chapter(), _chapter(name="b.json")], read_pictures(folder)))
    names = [a["id"] for _, a in reader.tags if "id" in a]
    links = [
        str(a["href"])[1:] for tag, a in reader.tags if tag == "a" and str(a.get("href")).startswith("#")
    ]
    assert len(names) == len(set(names))
    assert set(links) == set(names)
    assert len(links) == 2 * 5 + 1


def test_a_page_for_light_for_dark_and_for_paper() -> None:
    assert "prefers-color-scheme: dark" in STYLE
    assert "@media print" in STYLE
    assert "color-scheme: light dark" in STYLE
    light, dark = (
        dict(re.findall(r"(--[a-z0-9]+): (#[0-9a-f]{6})", part))
        for part in STYLE.split("@media screen and (prefers-color-scheme: dark)")
    )
    used = set(re.findall(r"var\((--[a-z0-9]+)\)", STYLE))
    assert light.keys() == dark.keys() == used
    for colours in (light, dark):
        for name in used - {"--paper", "--raised", "--grid", "--faint", "--on"}:
            # Readable: a contrast of 3 to 1 for shapes and large text, 4.5 for text.
            least = 4.5 if name in {"--ink", "--soft", "--link", "--good", "--bad"} else 3
            assert _contrast(colours[name], colours["--paper"]) >= least, name
        assert _contrast(colours["--on"], colours["--right"]) >= 3


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_tables_are_those_of_the_markdown() -> None:
    page = html_report([_chapter()])
    assert '<td class="good" style="text-align:right">met</td>' in page
    assert '<td class="bad" style="text-align:right">missed; not better than: any</td>' in page
    assert '<td style="text-align:right">not measured</td>' in page
    assert page.count('<div class="wide"><table>') == page.count("</table></div>") == 2


def test_figures_stand_after_the_first_section_and_tiles_under_the_title() -> None:
    page = html_report([_chapter()])
    places = [page.index(words) for words in (
        "<h1", '<div class="tiles">', '<h2 id="c1-targets">', '<h2 id="c1-figures">', '<h2 id="c1-second">',
    )]  # fmt: skip
    assert places == sorted(places)
    assert "<b>1 of 2</b><span>targets met</span>" in page
    assert "<b>0.91</b><span>E0: macro F1; composites</span>" in page
    assert "better than" not in page[: page.index("</div></section>")].replace("not better than", "")


def test_a_page_without_figures_is_a_page() -> None:
    page = html_report([_chapter(figures={})])
    assert "<svg" not in page
    assert 'class="tiles"' not in page
    assert "<title>Accuracy</title>" in page
    assert "<title>Report</title>" in html_report([Chapter(name="x", markdown="Only words.")])


def test_headings_become_anchors() -> None:
    found = sections(PAGE, "c1")
    assert [(s.order, s.title) for s in found] == [
        (1, "Accuracy"), (2, "Targets"), (2, "Second"), (2, "<SEG> and more")
    ]  # fmt: skip
    assert found[-1].anchor == "c1-seg-and-more"
    assert [s.order for s in sections("Before.\n\n# After\n", "c1")] == [0, 1]
    assert sections("", "c1") == []


def test_pictures_are_small_grouped_and_inside(folder: Path) -> None:
    found = read_pictures(folder)
    assert [(p.group, p.caption) for p in found] == [
        ("Best answers", "composite pairs, best 1, level E0"),
        ("Worst answers", "composite pairs, worst 1, level I2"),
        ("Most falsely marked", "scene pairs, false 2, level N1"),
        ("Real pairs", "fotbcd_512-bin_val_1-1"),
    ]
    import base64
    import io

    data = base64.b64decode(found[1].data.partition(",")[2])
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "WEBP"
        assert picture.width == WIDEST


def test_pictures_that_are_none_are_named(folder: Path, tmp_path: Path) -> None:
    for place in (tmp_path / "gone", tmp_path):
        with pytest.raises(NotFoundError, match="holds no pictures; name the folder"):
            read_pictures(place)
    (folder / "broken.png").write_bytes(b"no picture")
    with pytest.raises(CorruptDataError, match=r"broken\.png is no picture; draw it again or remove it"):
        read_pictures(folder)


def test_reports_are_read_with_the_figures_beside_them(tmp_path: Path) -> None:
    report = tmp_path / "accuracy.md"
    report.write_text(PAGE)
    assert "<svg" not in make_page([report])
    figures = report.with_suffix(".json")
    figures.write_text(json.dumps(FIGURES))
    assert "<svg" in make_page([report])
    for content, words in (
        ("{", r"accuracy\.json is no JSON"),
        ("[]", r"accuracy\.json is no report's JSON"),
        ('{"lists": 3}', r"accuracy\.json: `lists` holds something else"),
    ):
        figures.write_text(content)
        with pytest.raises(CorruptDataError, match=words):
            make_page([report])
    with pytest.raises(NotFoundError, match=r"gone\.md cannot be read as text; name a Markdown report"):
        read_chapter(tmp_path / "gone.md")
    with pytest.raises(InvalidInputError, match="no report is named"):
        make_page([])


def test_figures_that_are_no_numbers_write_no_page(tmp_path: Path) -> None:
    # NaN, which Python's JSON knows, is nothing measured.
    report = tmp_path / "accuracy.md"
    report.write_text(PAGE)
    report.with_suffix(".json").write_text('{"targets": [{"measure": "m", "value": NaN, "met": null}, 3]}')
    assert ">nan<" not in make_page([report]).split("</style>")[1]


def test_a_report_gets_its_page_beside_it(tmp_path: Path, folder: Path) -> None:
    report = tmp_path / "accuracy.md"
    report.write_text(PAGE)
    write_html(report, folder)
    assert (tmp_path / "accuracy.html").read_text().count("<img") == 4
    # Nothing was drawn: that is no reason to lose the page.
    (tmp_path / "empty").mkdir()
    write_html(report, tmp_path / "empty")
    assert "<img" not in (tmp_path / "accuracy.html").read_text()


@pytest.mark.parametrize("name", ["accuracy.html", "accuracy.json"])
def test_a_report_must_leave_the_names_beside_it_free(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"a name for what lies beside the report; end it in \.md"):
        make_report_folder(tmp_path / name)
    make_report_folder(tmp_path / "made" / "accuracy.md")
    assert (tmp_path / "made").is_dir()


def test_the_command(tmp_path: Path) -> None:
    report, out = tmp_path / "a.md", tmp_path / "out" / "all.html"
    report.write_text(PAGE)
    done = CliRunner().invoke(app, ["page", str(report), str(report), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_text().count("<h1") == 2
    for words, message in (
        ([str(report), "--out", str(report)], "is one of the reports; name another file with --out"),
        ([str(tmp_path / "gone.md"), "--out", str(out)], "gone.md cannot be read as text"),
        ([str(report), "--pictures", str(tmp_path), "--out", str(out)], "holds no pictures"),
    ):
        done = CliRunner().invoke(app, ["page", *words])
        assert done.exit_code == 2
        assert message in done.output
    assert report.read_text() == PAGE
