"""The files in k8s/monitoring, and promtool, which knows whether they are right."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "k8s" / "monitoring"
ALERTS: dict[str, Any] = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana-dashboard.json").read_text(encoding="utf-8"))

_NAME = re.compile(r"\b(?:reasoncd|process)_[a-z_]+")


def promtool(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it; its absence is a failure, for then nothing was checked."""
    own = Path(sys.prefix) / "tools" / "promtool"
    found = str(own) if own.exists() else shutil.which("promtool")
    assert found, "promtool is needed to check the alert rules; run `make tools`"
    return subprocess.run(
        [found, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )


def panel_expressions() -> list[tuple[str, str]]:
    """Title and expression of every query of the dashboard."""
    return [
        (panel["title"], target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", [])
    ]


def names_in(expression: str) -> set[str]:
    """The samples that an expression reads."""
    # What stands in quotes or is a label is no sample.
    return set(_NAME.findall(re.sub(r'"[^"]*"', "", expression)))


def names_asked_for() -> set[str]:
    """The samples that dashboard and alerts read."""
    expressions = [expression for _, expression in panel_expressions()]
    expressions += [rule["expr"] for rule in RULES]
    return set().union(*map(names_in, expressions))
