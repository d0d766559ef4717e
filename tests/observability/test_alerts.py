"""The alert rules are valid, and each is tried by a case in which it fires and one in which it must not."""

import re
from pathlib import Path

import pytest
import yaml

from tests.observability.monitoring import ALERTS, FOLDER, ROOT, RULES, promtool

pytestmark = pytest.mark.contract

NAMES = [rule["alert"] for rule in RULES]
TESTS = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text(encoding="utf-8"))


def test_the_rules_are_valid() -> None:
    result = promtool("check", "rules", str(FOLDER / "alerts.yaml"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(RULES)} rules found" in result.stdout


def test_the_rules_do_what_their_tests_say() -> None:
    result = promtool("test", "rules", str(FOLDER / "alerts_test.yaml"))
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_is_tried_in_both_ways() -> None:
    tried = [case for test in TESTS["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in tried if case["exp_alerts"]} == set(NAMES)
    assert {case["alertname"] for case in tried if not case["exp_alerts"]} == set(NAMES)


@pytest.mark.parametrize("spoiled", ["vector(0) > 1", "vector(1)"], ids=["never fires", "always fires"])
def test_a_spoiled_alert_would_be_noticed(tmp_path: Path, spoiled: str) -> None:
    groups = [
        {**group, "rules": [{**rule, "expr": spoiled} for rule in group["rules"]]}
        for group in ALERTS["groups"]
    ]
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    (tmp_path / "alerts_test.yaml").write_bytes((FOLDER / "alerts_test.yaml").read_bytes())
    result = promtool("test", "rules", "alerts_test.yaml", cwd=tmp_path)
    assert result.returncode != 0
    noticed = set(re.findall(r"alertname: ?(\w+)", result.stdout + result.stderr))
    assert noticed == set(NAMES)


def test_every_alert_says_what_to_do() -> None:
    docs = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    for rule in RULES:
        assert f"`{rule['alert']}`" in docs
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
