"""The dashboard is what Grafana takes, and its queries are valid."""

from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.observability.monitoring import DASHBOARD, panel_expressions, promtool

pytestmark = pytest.mark.contract

PANELS = DASHBOARD["panels"]


def test_its_queries_are_valid(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, (_, expression) in enumerate(panel_expressions())
    ]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    result = promtool("check", "rules", str(path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(rules)} rules found" in result.stdout


def test_a_broken_query_would_be_noticed(tmp_path: Path) -> None:
    path = tmp_path / "panels.yaml"
    rules = [{"record": "panel:0", "expr": "rate(reasoncd_requests_total[5m]"}]
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    assert promtool("check", "rules", str(path)).returncode != 0


def test_panels_are_told_apart_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    for one, other in pairwise(PANELS):
        first, second = one["gridPos"], other["gridPos"]
        beside = second["y"] == first["y"] and second["x"] >= first["x"] + first["w"]
        assert beside or second["y"] >= first["y"] + first["h"]


def test_the_data_source_can_be_chosen() -> None:
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource"]
    for panel in PANELS:
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["description"]
