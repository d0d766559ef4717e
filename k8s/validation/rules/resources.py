"""Resources: what every container asks for, and may take at most."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from k8s.validation.objects import Object, Problem
from k8s.validation.pods import pods

_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "m": 1e-3}


def quantity(text: str | float) -> float:
    """A Kubernetes quantity as a number: `500m` is 0.5, `2Gi` is 2147483648."""
    text = str(text)
    for unit, factor in _UNITS.items():
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)


def check_resources(objects: Sequence[Object]) -> Iterator[Problem]:
    """Containers that could take a node for themselves, and volumes that could fill one."""
    for pod in pods(objects):
        memory = 0.0
        for container in pod.containers:
            resources: Mapping[str, Any] = container.get("resources") or {}
            for kind, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
                if name not in resources.get(kind, {}):
                    what = f"{pod.role}: {container.get('name')} must set resources.{kind}.{name}"
                    yield Problem(where=pod.where, what=what)
            memory += quantity(resources.get("limits", {}).get("memory", 0))
        yield from (
            Problem(where=pod.where, what=f"{pod.role}: {what}") for what in _volumes(pod.spec, memory)
        )


def _volumes(spec: Mapping[str, Any], memory: float) -> Iterator[str]:
    for volume in spec.get("volumes", []):
        if "emptyDir" not in volume:
            continue
        size = (volume["emptyDir"] or {}).get("sizeLimit")
        if size is None:
            yield f"volume {volume['name']} must have a sizeLimit"
        elif volume["emptyDir"].get("medium") == "Memory" and quantity(size) > memory / 2:
            # What is written there counts as the container's memory.
            yield f"volume {volume['name']} may take more than half of the memory limit"
