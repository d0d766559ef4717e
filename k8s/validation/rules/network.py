"""What must be able to talk, can; and nothing else can."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from k8s.validation.objects import Object, Problem, of_kind
from k8s.validation.pods import Pod, pods
from k8s.validation.reachability import Endpoint, may_call
from k8s.validation.rules.references import COMPONENT, NAMESPACE

CLIENT = Endpoint(name="a client", namespace="elsewhere", namespace_labels={"reasoncd/clients": "allowed"})
STRANGER = Endpoint(name="a stranger", namespace="elsewhere")
OPERATOR = Endpoint(
    name="the KubeRay operator",
    namespace="kuberay-system",
    labels={"app.kubernetes.io/name": "kuberay-operator"},
)
PROMETHEUS = Endpoint(
    name="Prometheus", namespace="monitoring", labels={"app.kubernetes.io/name": "prometheus"}
)
DNS = Endpoint(name="DNS", namespace="kube-system", labels={"k8s-app": "kube-dns"})
OUTSIDE = (CLIENT, STRANGER, OPERATOR, PROMETHEUS)

_ANY_PORT = 33333
"""Ray takes ports as they come; this one stands for them."""


def check_network(objects: Sequence[Object]) -> Iterator[Problem]:
    """Flows that are needed and closed, or open and not needed."""
    policies = list(of_kind(objects, "NetworkPolicy"))
    if not any(_denies_all(each["spec"]) for each in policies):
        what = "one must select every pod, both ways, and allow nothing, so that pods to come are closed too"
        yield Problem(where="NetworkPolicy", what=what)
    every = pods(objects)
    ends = [(pod, _endpoint(pod)) for pod in every]
    for pod, end in ends:
        if not may_call(policies, end, DNS, 53, protocol="UDP"):
            yield _closed(end, DNS, 53)
        if may_call(policies, end, STRANGER, 443):
            yield _open(end, STRANGER, 443)
        for source_pod, source in [*((None, each) for each in OUTSIDE), *ends]:
            for port in sorted({*pod.ports.values(), _ANY_PORT}):
                needed = _needed(source_pod, source, pod, port)
                can = may_call(policies, source, end, port)
                if needed and not can:
                    yield _closed(source, end, port)
                if can and not needed:
                    yield _open(source, end, port)


def _needed(source_pod: Pod | None, source: Endpoint, pod: Pod, port: int) -> bool:
    name = next((each for each, number in pod.ports.items() if number == port), None)
    if source_pod is None:
        return name is not None and (
            (source is CLIENT and not pod.by_ray and name in ("grpc", "http"))
            or (source is OPERATOR and pod.by_ray and name in ("dashboard", "serve"))
            or (source is PROMETHEUS and name in ("metrics", "http"))
        )
    if source_pod.by_ray and pod.by_ray:
        return source_pod.labels.get(COMPONENT) == pod.labels.get(COMPONENT)
    return not source_pod.by_ray and name == "serve-grpc" and pod.labels.get("ray.io/node-type") == "worker"


def _denies_all(spec: Mapping[str, Any]) -> bool:
    both = set(spec.get("policyTypes", [])) == {"Ingress", "Egress"}
    return spec.get("podSelector") == {} and both and not spec.get("ingress") and not spec.get("egress")


def _endpoint(pod: Pod) -> Endpoint:
    name = f"{pod.where} ({pod.role})"
    return Endpoint(name=name, namespace=NAMESPACE, labels=pod.labels, ports=pod.ports)


def _closed(source: Endpoint, target: Endpoint, port: int) -> Problem:
    return Problem(
        where="NetworkPolicy", what=f"{source.name} must reach {target.name} on port {port}, and cannot"
    )


def _open(source: Endpoint, target: Endpoint, port: int) -> Problem:
    return Problem(
        where="NetworkPolicy", what=f"{source.name} reaches {target.name} on port {port}, and must not"
    )
