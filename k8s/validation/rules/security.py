"""Restricted pod security: what the namespace asks for, and what every pod says.

A namespace's admission would refuse such pods too, but only when an operator makes them, long after the
manifests were applied.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from k8s.validation.objects import Object, Problem, of_kind, title
from k8s.validation.pods import Pod, pods

ALLOWED_VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
ENFORCE = "pod-security.kubernetes.io/enforce"


def check_security(objects: Sequence[Object]) -> Iterator[Problem]:
    """What is less than restricted."""
    for namespace in of_kind(objects, "Namespace"):
        if namespace["metadata"].get("labels", {}).get(ENFORCE) != "restricted":
            yield Problem(where=title(namespace), what=f"label {ENFORCE} must be restricted")
    for pod in pods(objects):
        for what in (*_pod_problems(pod), *_volume_problems(pod)):
            yield Problem(where=pod.where, what=f"{pod.role}: {what}")
        for container in pod.containers:
            for what in _container_problems(container):
                yield Problem(where=pod.where, what=f"{pod.role}: container {container.get('name')}: {what}")


def _pod_problems(pod: Pod) -> Iterator[str]:
    context: Mapping[str, Any] = pod.spec.get("securityContext") or {}
    if context.get("runAsNonRoot") is not True:
        yield "securityContext.runAsNonRoot must be true"
    if not context.get("runAsUser", 0) > 0:
        yield "securityContext.runAsUser must be a number above 0"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "securityContext.seccompProfile.type must be RuntimeDefault"
    if pod.spec.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken must be false; nothing here talks to the Kubernetes API"
    if not pod.spec.get("serviceAccountName"):
        yield "serviceAccountName must be set"
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(name):
            yield f"{name} must not be set"


def _volume_problems(pod: Pod) -> Iterator[str]:
    for volume in pod.spec.get("volumes", []):
        for kind in sorted(set(volume) - {"name"} - ALLOWED_VOLUMES):
            yield f"volume {volume['name']} is a {kind}, which restricted pods may not have"


def _container_problems(container: Mapping[str, Any]) -> Iterator[str]:
    context: Mapping[str, Any] = container.get("securityContext") or {}
    if context.get("allowPrivilegeEscalation") is not False:
        yield "securityContext.allowPrivilegeEscalation must be false"
    if context.get("privileged"):
        yield "securityContext.privileged must not be set"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "securityContext.readOnlyRootFilesystem must be true"
    capabilities: Mapping[str, Any] = context.get("capabilities") or {}
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield "securityContext.capabilities must drop ALL and add none"
    if context.get("runAsUser") == 0 or context.get("runAsNonRoot") is False:
        yield "securityContext must not run as root"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "hostPort must not be set"
