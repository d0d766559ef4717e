"""Names that point at each other: selectors, ports, targets, accounts, namespaces, labels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from k8s.validation.objects import Object, Problem, label_selected, of_kind, title
from k8s.validation.pods import Pod, pods

NAMESPACE = "reasoncd"
COMPONENT = "app.kubernetes.io/component"
PART_OF = "app.kubernetes.io/part-of"


def check_references(objects: Sequence[Object]) -> Iterator[Problem]:
    """What points at nothing."""
    every = pods(objects)
    yield from _identities(objects)
    yield from _labels(objects, every)
    yield from _services(objects, every)
    yield from _targets(objects, every)
    yield from _monitors(objects, every)


def _identities(objects: Sequence[Object]) -> Iterator[Problem]:
    seen: set[tuple[object, ...]] = set()
    for each in objects:
        metadata = each.get("metadata", {})
        identity = (each.get("apiVersion"), each.get("kind"), metadata.get("namespace"), metadata.get("name"))
        if identity in seen:
            yield Problem(where=title(each), what="stands twice")
        seen.add(identity)
        if each.get("kind") != "Namespace" and metadata.get("namespace") != NAMESPACE:
            yield Problem(where=title(each), what=f"metadata.namespace must be {NAMESPACE}")


def _labels(objects: Sequence[Object], every: Sequence[Pod]) -> Iterator[Problem]:
    accounts = {each["metadata"]["name"] for each in of_kind(objects, "ServiceAccount")}
    for pod in every:
        for name in (COMPONENT, PART_OF):
            if not pod.labels.get(name):
                yield Problem(where=pod.where, what=f"{pod.role}: the pods need the label {name}")
        if accounts and pod.spec.get("serviceAccountName") not in {None, *accounts}:
            what = f"{pod.role}: there is no ServiceAccount {pod.spec['serviceAccountName']}"
            yield Problem(where=pod.where, what=what)
    for each in of_kind(objects, "Deployment"):
        template = each["spec"]["template"].get("metadata", {}).get("labels", {})
        if not label_selected(each["spec"].get("selector"), template):
            yield Problem(where=title(each), what="spec.selector does not take the pods of its own template")


def _services(objects: Sequence[Object], every: Sequence[Pod]) -> Iterator[Problem]:
    for each in of_kind(objects, "Service"):
        chosen = [
            pod for pod in every if label_selected({"matchLabels": each["spec"]["selector"]}, pod.labels)
        ]
        if not chosen:
            yield Problem(where=title(each), what="spec.selector takes no pods")
        for port in each["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            for pod in chosen:
                if target not in pod.ports and target not in pod.ports.values():
                    what = f"port {port.get('name')}: the pods of {pod.where} have no port {target}"
                    yield Problem(where=title(each), what=what)


def _targets(objects: Sequence[Object], every: Sequence[Pod]) -> Iterator[Problem]:
    there = {(each.get("kind"), each["metadata"]["name"]) for each in objects}
    for each in of_kind(objects, "HorizontalPodAutoscaler"):
        target = each["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) not in there:
            yield Problem(where=title(each), what=f"there is no {target['kind']} {target['name']} to scale")
    for each in of_kind(objects, "PodDisruptionBudget", "NetworkPolicy"):
        field = "selector" if each["kind"] == "PodDisruptionBudget" else "podSelector"
        if not any(label_selected(each["spec"].get(field), pod.labels) for pod in every):
            yield Problem(where=title(each), what=f"spec.{field} takes no pods")


def _monitors(objects: Sequence[Object], every: Sequence[Pod]) -> Iterator[Problem]:
    for each in of_kind(objects, "ServiceMonitor"):
        services = [s for s in of_kind(objects, "Service") if _takes(each, s["metadata"].get("labels", {}))]
        names = {port.get("name") for service in services for port in service["spec"]["ports"]}
        for endpoint in each["spec"]["endpoints"]:
            if endpoint.get("port") not in names:
                yield Problem(
                    where=title(each), what=f"no selected Service has a port {endpoint.get('port')}"
                )
    for each in of_kind(objects, "PodMonitor"):
        chosen = [pod for pod in every if _takes(each, pod.labels)]
        for endpoint in each["spec"]["podMetricsEndpoints"]:
            if not chosen or any(endpoint.get("port") not in pod.ports for pod in chosen):
                what = f"not every selected pod has a port {endpoint.get('port')}"
                yield Problem(where=title(each), what=what)


def _takes(monitor: Mapping[str, Any], labels: dict[str, str]) -> bool:
    return label_selected(monitor["spec"].get("selector"), labels)
