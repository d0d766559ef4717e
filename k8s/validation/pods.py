"""The pods that a set of objects leads to, whoever makes them: Kubernetes itself or KubeRay's operator."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from k8s.validation.objects import Object, title


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """One template of pods."""

    owner: Object
    """The object that asks for them."""
    role: str
    """Where in the owner the template stands, in a word or two."""
    labels: dict[str, str]
    """Those of the template and those that the operator adds."""
    spec: dict[str, Any]
    by_ray: bool
    """Whether the operator makes them, with its own probes and environment."""

    @property
    def where(self) -> str:
        """For messages."""
        return title(self.owner)

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All of them, those of the start included."""
        return [*self.spec.get("initContainers", []), *self.spec.get("containers", [])]

    @property
    def ports(self) -> dict[str, int]:
        """Of all containers, by name; a port without a name goes by its number."""
        return {
            port.get("name", str(port["containerPort"])): port["containerPort"]
            for container in self.containers
            for port in container.get("ports", [])
        }


def pods(objects: Iterable[Object]) -> list[Pod]:
    """Every template of pods in the objects."""
    return [pod for each in objects for pod in _pods_of(each)]


def ray_cluster(object_: Object) -> dict[str, Any] | None:
    """The cluster that a Ray object describes; None for other kinds."""
    spec: dict[str, Any] = object_.get("spec") or {}
    match object_.get("kind"):
        case "RayCluster":
            return spec
        case "RayService":
            return spec.get("rayClusterConfig")
        case "RayJob":
            return spec.get("rayClusterSpec")
        case _:
            return None


def _pods_of(object_: Object) -> Iterator[Pod]:
    spec: dict[str, Any] = object_.get("spec") or {}
    if object_.get("kind") in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        yield _pod(object_, "pods", spec["template"], {}, by_ray=False)
        return
    if (submitter := spec.get("submitterPodTemplate")) is not None:
        yield _pod(object_, "submitter", submitter, {}, by_ray=True)
    cluster = ray_cluster(object_)
    if cluster is None:
        return
    yield _pod(
        object_, "head", cluster["headGroupSpec"]["template"], {"ray.io/node-type": "head"}, by_ray=True
    )
    for group in cluster.get("workerGroupSpecs", []):
        role = f"workers {group.get('groupName')}"
        yield _pod(object_, role, group["template"], {"ray.io/node-type": "worker"}, by_ray=True)


def _pod(owner: Object, role: str, template: dict[str, Any], added: dict[str, str], *, by_ray: bool) -> Pod:
    labels = {**template.get("metadata", {}).get("labels", {}), **added}
    return Pod(owner=owner, role=role, labels=labels, spec=template.get("spec", {}), by_ray=by_ray)
