"""The card that travels with `mini` states what the report of the same weights states."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[1]
CARD = ROOT / "checkpoints" / "mini" / "README.md"
REPORT = ROOT / "docs" / "accuracy.md"

PRESENT = ("E0", "E0-any", "E1", "E1-held-out", "I1", "I2", "I3", "T")
ABSENT = ("N0", "N1", "N2", "E1-held-out-N2", "I2-N2", "I3-N2", "N3", "DN3", "N3-held-out")
MEASURES = (
    "building change, pixels pooled: F1",
    "new and lost buildings: macro F1",
    "false rejection on E0-I2",
    "wrong-direction share of all maps, those of absent changes among them",
    "IoU of the swap test",
    "`<SEG>` emitted on E0-I3 and N0-N2",
    "calibration error of the confidence",
    "AUROC of `presence`",
    "explained answers: named right, and what the map shows",
    "IoU gained by three clicks",
)

Row = dict[str, str]


def rows_of(page: str) -> Iterator[tuple[str, Row]]:
    """Each table row by its columns, with the heading of second order that it stands under."""
    section = ""
    columns: list[str] = []
    for line in page.splitlines():
        if line.startswith("## "):
            section = line[3:]
        if not line.startswith("|"):
            columns = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not columns:
            columns = cells
        elif not set(line) <= set("|-: "):
            yield section, dict(zip(columns, cells, strict=True))


def lines_of(report: str) -> list[str]:
    """The rows of figures that the card has to hold."""
    f1, named, empty = "F1 macro (95 %)", "right target named (95 %)", "correct-empty (95 %)"
    lists: dict[tuple[str, str], dict[str, Row]] = {}
    measures: dict[str, Row] = {}
    for section, row in rows_of(report):
        for column in (f1, empty):
            if column in row and "level" in row:
                lists.setdefault((section, column), {})[row["level"]] = row
        if "reached" in row:
            measures[re.sub(r", \d+ pairs of empty maps left out", "", row["measure"])] = row
    both = ("Composites of real tiles", "Rendered scenes")

    def cells(level: str, *columns: str) -> list[str]:
        return [lists[section, columns[0]][level][column] for section in both for column in columns]

    table = [[level, *cells(level, f1, named)] for level in PRESENT]
    table += [[level, *cells(level, empty)] for level in ABSENT]
    table += [
        [name, *(measures[name][c] for c in ("pairs", "reached", "95 % interval"))] for name in MEASURES
    ]
    return [f"| {' | '.join(row)} |" for row in table]


def test_the_card_states_the_figures_of_the_report() -> None:
    card = CARD.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines_of(REPORT.read_text(encoding="utf-8")) if line not in card] == []


def test_the_report_is_of_the_shipped_weights() -> None:
    manifest = json.loads((CARD.parent / "manifest.json").read_text(encoding="utf-8"))
    report = REPORT.read_text(encoding="utf-8")
    for part, fingerprint in manifest["fingerprints"].items():
        assert f"- {part}: fingerprint `{fingerprint[:16]}`" in report


def test_the_next_export_gets_the_same_card() -> None:
    assert (ROOT / "training" / "model_cards" / "mini.md").read_bytes() == CARD.read_bytes()
