"""Writes `prometheus-rule.yaml` from `alerts.yaml`: the same groups, as prometheus-operator wants them.

Prometheus and promtool read the one, the operator the other, and kustomize cannot put a file's content
into an object. Run it after every change of the alerts: `python k8s/monitoring/write_rule.py`.
"""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
HEAD = """\
# Written by write_rule.py from alerts.yaml; change that one.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: reasoncd
spec:
"""


def rule_text(alerts: str) -> str:
    """The object as YAML.

    Args:
        alerts: a rule file of Prometheus, as text, comments and all.
    """
    body = alerts[alerts.index("groups:") :]
    return HEAD + "".join(f"  {line}" if line.strip() else line for line in body.splitlines(keepends=True))


if __name__ == "__main__":
    alerts = (FOLDER / "alerts.yaml").read_text(encoding="utf-8")
    (FOLDER / "prometheus-rule.yaml").write_text(rule_text(alerts), encoding="utf-8")
