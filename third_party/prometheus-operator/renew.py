"""Writes the schemas of this folder from a package that holds prometheus-operator's API as pydantic models.

Run it in an environment of its own; the project needs the package for nothing else:

    python -m venv /tmp/renew
    /tmp/renew/bin/pip install cloudcoil.models.prometheus_operator==0.80.1.0
    /tmp/renew/bin/python third_party/prometheus-operator/renew.py
"""

import json
from pathlib import Path
from typing import Any

from cloudcoil.models.prometheus_operator import v1

KINDS = ("ServiceMonitor", "PodMonitor", "PrometheusRule")


def tidy(node: Any) -> Any:
    """Drop what pydantic adds and Kubernetes does not mean: titles, defaults, and null beside every type."""
    if isinstance(node, list):
        return [tidy(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept: dict[str, Any] = {}
    for key, value in node.items():
        if key in ("$defs", "properties"):
            # Names that the API chose, `title` and `default` among them.
            kept[key] = {name: tidy(each) for name, each in value.items()}
        elif key not in ("title", "default"):
            kept[key] = tidy(value)
    if "anyOf" in kept:
        others = [each for each in kept["anyOf"] if each != {"type": "null"}]
        if len(others) == 1:
            del kept["anyOf"]
            kept = {**others[0], **kept}
        else:
            kept["anyOf"] = others
    if pattern := kept.get("pattern"):
        # Go takes a flag anywhere, Python at the start alone.
        kept["pattern"] = "(?i)" + pattern.replace("(?i)", "") if "(?i)" in pattern else pattern
    return kept


for kind in KINDS:
    schema = tidy(getattr(v1, kind).model_json_schema(by_alias=True))
    file = Path(__file__).with_name(f"{kind}.json")
    file.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
