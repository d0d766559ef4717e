"""The table of metrics in docs/observability.md is what the code defines.

Run this file with `python -m tests.observability.test_docs_table` to write the table anew.
"""

from collections.abc import Iterator

import pytest
from prometheus_client.core import Metric

from reasoncd.observability import caches, metrics
from reasoncd.observability.node import replica_gauges
from tests.observability.monitoring import ROOT

pytestmark = pytest.mark.contract

DOCS = ROOT / "docs" / "observability.md"
BEGIN, END = "<!-- metrics: begin -->\n", "<!-- metrics: end -->\n"


def rows() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Name, type, labels and meaning of every metric of ours."""
    defined = [value for value in vars(metrics).values() if hasattr(value, "_labelnames")]
    for metric in defined:
        (family,) = metric.describe()
        yield shown(family), family.type, tuple(metric._labelnames), family.documentation
    for family in caches.CacheMetrics().describe():
        yield shown(family), family.type, caches.LABELS, family.documentation
    for family in replica_gauges(answering=0, silent=0):
        yield shown(family), family.type, (), family.documentation


def shown(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def table() -> str:
    lines = ["| metric | type | labels | means |", "|---|---|---|---|"]
    for name, kind, labels, meaning in rows():
        told = ", ".join(f"`{label}`" for label in labels)
        lines.append(f"| `{name}` | {kind} | {told} | {meaning} |")
    return "\n".join(lines) + "\n"


def test_the_table_is_what_the_code_defines() -> None:
    text = DOCS.read_text(encoding="utf-8")
    written = text.partition(BEGIN)[2].partition(END)[0]
    assert written == table(), "write it anew: python -m tests.observability.test_docs_table"


def test_names_say_their_unit() -> None:
    for name, kind, _, meaning in rows():
        assert name.startswith("reasoncd_")
        assert (kind == "counter") == name.endswith("_total")
        assert kind != "histogram" or name.endswith(("_seconds", "_requests"))
        assert meaning.endswith(".")


if __name__ == "__main__":
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    DOCS.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")
