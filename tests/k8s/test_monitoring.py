import re
import runpy

import pytest
import yaml

from k8s.validation.objects import of_kind
from tests.k8s.conftest import ROOT, Rendered

pytestmark = pytest.mark.contract

FOLDER = ROOT / "k8s" / "monitoring"


def test_the_operator_gets_the_rules_that_are_tested() -> None:
    alerts = (FOLDER / "alerts.yaml").read_text(encoding="utf-8")
    written = (FOLDER / "prometheus-rule.yaml").read_text(encoding="utf-8")
    rule_text = runpy.run_path(str(FOLDER / "write_rule.py"))["rule_text"]
    assert written == rule_text(alerts), "run `python k8s/monitoring/write_rule.py`"
    assert yaml.safe_load(written)["spec"] == yaml.safe_load(alerts)


def test_jobs_are_called_what_the_alerts_call_them(rendered: Rendered) -> None:
    alerts = (FOLDER / "alerts.yaml").read_text(encoding="utf-8")
    (pattern,) = set(re.findall(r'up\{job=~"([^"]+)"\}', alerts))
    jobs = [
        relabeling["replacement"]
        for each in of_kind(rendered("cpu-small"), "ServiceMonitor", "PodMonitor")
        for endpoint in each["spec"].get("endpoints") or each["spec"]["podMetricsEndpoints"]
        for relabeling in endpoint["relabelings"]
        if relabeling["targetLabel"] == "job"
    ]
    assert len(jobs) == 2 and all(re.fullmatch(pattern, job) for job in jobs)


def test_grafana_finds_the_dashboard(rendered: Rendered) -> None:
    (config,) = of_kind(rendered("cpu-small"), "ConfigMap")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config["data"]["reasoncd.json"] == (FOLDER / "grafana-dashboard.json").read_text(encoding="utf-8")


def test_workers_show_the_page_that_is_scraped(rendered: Rendered) -> None:
    for service in of_kind(rendered("cpu-small"), "RayService"):
        (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        (container,) = group["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        environment = {each["name"]: each.get("value") for each in container["env"]}
        assert environment["REASONCD_METRICS"] == f"0.0.0.0:{ports['metrics']}"
