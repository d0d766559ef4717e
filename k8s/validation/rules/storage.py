"""Volumes: checkpoints and secrets are read and never written; what is mounted is there."""

from collections.abc import Iterator, Sequence

from k8s.validation.objects import Object, Problem
from k8s.validation.pods import Pod, pods

READ_ONLY_CLAIMS = {"reasoncd-checkpoints", "reasoncd-data"}


def check_storage(objects: Sequence[Object]) -> Iterator[Problem]:
    """Volumes that are missing, not mounted, or writable where they must not be."""
    for pod in pods(objects):
        for what in _problems(pod):
            yield Problem(where=pod.where, what=f"{pod.role}: {what}")


def _problems(pod: Pod) -> Iterator[str]:
    volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
    mounted: set[str] = set()
    for container in pod.containers:
        writable = {"/tmp"}
        for mount in container.get("volumeMounts", []):
            volume = volumes.get(mount["name"])
            mounted.add(mount["name"])
            if volume is None:
                yield f"{container.get('name')} mounts {mount['name']}, which is no volume of the pod"
                continue
            writable.discard(mount["mountPath"])
            claim = volume.get("persistentVolumeClaim", {})
            read_only = claim.get("claimName") in READ_ONLY_CLAIMS or "secret" in volume
            if read_only and not mount.get("readOnly"):
                yield f"{container.get('name')} must mount {mount['name']} with readOnly: true"
            if claim.get("claimName") in READ_ONLY_CLAIMS and not claim.get("readOnly"):
                yield f"volume {mount['name']} must claim with readOnly: true"
        if writable:
            yield f"{container.get('name')} needs an emptyDir at /tmp: its own file system is read-only"
    if unused := sorted(set(volumes) - mounted):
        yield f"volume {', '.join(unused)} is not mounted"
