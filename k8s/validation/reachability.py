"""Who may call whom on which port, as NetworkPolicies say together.

Policies are additive: a pod that any policy of a direction selects may only do what one of them allows; a
connection needs both its ends' consent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from k8s.validation.objects import Object, label_selected

NAMESPACE_NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One end of a connection: a pod, of this namespace or another."""

    name: str
    """For messages."""
    namespace: str
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    """By name, for policies that name them."""


def may_call(
    policies: Sequence[Object], source: Endpoint, target: Endpoint, port: int, *, protocol: str = "TCP"
) -> bool:
    """Whether a connection is let out by its source and let in by its target.

    Args:
        policies: of all namespaces.
        source: who calls.
        target: who is called.
        port: number of the target's port.
        protocol: `TCP` or `UDP`.
    """
    return _consents(policies, source, target, target, port, protocol, direction="Egress") and _consents(
        policies, target, source, target, port, protocol, direction="Ingress"
    )


def _consents(
    policies: Iterable[Object],
    selected: Endpoint,
    peer: Endpoint,
    target: Endpoint,
    port: int,
    protocol: str,
    *,
    direction: str,
) -> bool:
    effective = [
        policy["spec"]
        for policy in policies
        if policy["metadata"].get("namespace", "default") == selected.namespace
        and direction in policy["spec"].get("policyTypes", ["Ingress"])
        and label_selected(policy["spec"].get("podSelector", {}), dict(selected.labels))
    ]
    if not effective:
        return True
    rules = [rule for spec in effective for rule in spec.get(direction.lower()) or ()]
    peers = "to" if direction == "Egress" else "from"
    return any(
        (not rule.get(peers) or any(_is(each, peer, selected.namespace) for each in rule[peers]))
        and (not rule.get("ports") or any(_has(each, target, port, protocol) for each in rule["ports"]))
        for rule in rules
    )


def _is(peer: Mapping[str, Any], endpoint: Endpoint, own_namespace: str) -> bool:
    if "ipBlock" in peer:
        # Which pods lie in a block of addresses is not known here; none of these policies uses one.
        return False
    if "namespaceSelector" in peer:
        labels = {NAMESPACE_NAME: endpoint.namespace, **endpoint.namespace_labels}
        if not label_selected(peer["namespaceSelector"], labels):
            return False
    elif endpoint.namespace != own_namespace:
        return False
    return label_selected(peer.get("podSelector", {}), dict(endpoint.labels))


def _has(rule: Mapping[str, Any], target: Endpoint, port: int, protocol: str) -> bool:
    if rule.get("protocol", "TCP") != protocol:
        return False
    named = rule.get("port")
    if isinstance(named, str):
        return target.ports.get(named) == port
    return named is None or named <= port <= rule.get("endPort", named)
