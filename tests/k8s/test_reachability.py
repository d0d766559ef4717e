from typing import Any

import pytest

from k8s.validation.objects import label_selected
from k8s.validation.reachability import Endpoint, may_call

pytestmark = pytest.mark.unit

A = Endpoint(name="a", namespace="ours", labels={"app": "a"}, ports={"web": 80})
B = Endpoint(name="b", namespace="ours", labels={"app": "b"}, ports={"web": 8080})
FAR = Endpoint(name="far", namespace="theirs", namespace_labels={"team": "x"}, labels={"app": "a"})


def policy(**spec: Any) -> dict[str, Any]:
    return {"kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": "ours"}, "spec": spec}


DENY = policy(podSelector={}, policyTypes=["Ingress", "Egress"])


def ingress(*rules: dict[str, Any]) -> dict[str, Any]:
    return policy(podSelector={"matchLabels": {"app": "a"}}, policyTypes=["Ingress"], ingress=list(rules))


def test_without_policies_everything_is_open_and_denied_everything_is_closed() -> None:
    assert may_call([], A, B, 1)
    assert not may_call([DENY], A, B, 1)
    assert not may_call([DENY], FAR, A, 80)
    # What lies in another namespace is not selected.
    elsewhere = {**DENY, "metadata": {"namespace": "theirs"}}
    assert may_call([elsewhere], A, B, 1)


def test_both_ends_must_consent() -> None:
    let_in = ingress({"from": [{"podSelector": {"matchLabels": {"app": "b"}}}]})
    assert not may_call([DENY, let_in], B, A, 80)
    let_out = policy(
        podSelector={"matchLabels": {"app": "b"}},
        policyTypes=["Egress"],
        egress=[{"to": [{"podSelector": {"matchLabels": {"app": "a"}}}], "ports": [{"port": 80}]}],
    )
    assert may_call([DENY, let_in, let_out], B, A, 80)
    assert not may_call([DENY, let_in, let_out], B, A, 81)
    assert not may_call([DENY, let_in, let_out], A, B, 80)


def test_peers_of_other_namespaces_are_named_by_both_selectors() -> None:
    same_pods = ingress({"from": [{"podSelector": {"matchLabels": {"app": "a"}}}]})
    assert not may_call([same_pods], FAR, A, 80)
    by_label = ingress({"from": [{"namespaceSelector": {"matchLabels": {"team": "x"}}}]})
    assert may_call([by_label], FAR, A, 80)
    by_name = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "theirs"}}}
    assert may_call([ingress({"from": [by_name]})], FAR, A, 80)
    assert not may_call(
        [ingress({"from": [{**by_name, "podSelector": {"matchLabels": {"app": "z"}}}]})], FAR, A, 80
    )


def test_ports_by_name_number_range_and_protocol() -> None:
    assert may_call([ingress({"ports": [{"port": "web"}]})], B, A, 80)
    assert not may_call([ingress({"ports": [{"port": "web"}]})], B, A, 8080)
    assert may_call([ingress({"ports": [{"port": 70, "endPort": 90}]})], B, A, 80)
    assert not may_call([ingress({"ports": [{"port": 80, "protocol": "UDP"}]})], B, A, 80)
    assert may_call([ingress({"ports": [{"port": 80, "protocol": "UDP"}]})], B, A, 80, protocol="UDP")


def test_blocks_of_addresses_are_not_taken_for_pods() -> None:
    assert not may_call([ingress({"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]})], FAR, A, 80)


def test_selectors() -> None:
    labels = {"a": "1"}
    assert label_selected({}, labels) and not label_selected(None, labels)
    for operator, values, holds in (
        ("In", ["1"], True),
        ("In", ["2"], False),
        ("NotIn", ["2"], True),
        ("NotIn", ["1"], False),
        ("Exists", None, True),
        ("DoesNotExist", None, False),
    ):
        expression = {"key": "a", "operator": operator, "values": values}
        assert label_selected({"matchExpressions": [expression]}, labels) is holds
