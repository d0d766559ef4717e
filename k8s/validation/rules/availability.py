"""Two of everything that answers, asked whether it is well, and kept while nodes are emptied."""

from collections.abc import Iterator, Sequence

from k8s.validation.objects import Object, Problem, label_selected, of_kind, title
from k8s.validation.pods import Pod, pods, ray_cluster

LEAST = 2


def check_availability(objects: Sequence[Object]) -> Iterator[Problem]:
    """What one lost pod or node would take down."""
    every = pods(objects)
    yield from _deployments(objects)
    for service in of_kind(objects, "RayService"):
        for group in (ray_cluster(service) or {}).get("workerGroupSpecs", []):
            if group["replicas"] < LEAST or group["minReplicas"] < LEAST:
                what = f"workers {group['groupName']}: give at least {LEAST} replicas"
                yield Problem(where=title(service), what=what)
            if not group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
                what = f"workers {group['groupName']}: replicas must lie between minReplicas and maxReplicas"
                yield Problem(where=title(service), what=what)
        if service["spec"]["upgradeStrategy"]["type"] != "NewCluster":
            yield Problem(
                where=title(service), what="upgradeStrategy must be NewCluster, or upgrades break calls"
            )
    budgets = list(of_kind(objects, "PodDisruptionBudget"))
    for pod in every:
        answers = pod.owner["kind"] == "Deployment" or (
            pod.owner["kind"] == "RayService" and pod.labels.get("ray.io/node-type") == "worker"
        )
        if answers and not any(label_selected(each["spec"].get("selector"), pod.labels) for each in budgets):
            yield Problem(where=pod.where, what=f"{pod.role}: no PodDisruptionBudget keeps them")
        if not pod.by_ray:
            yield from _probes(pod)


def _deployments(objects: Sequence[Object]) -> Iterator[Problem]:
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]: each for each in of_kind(objects, "HorizontalPodAutoscaler")
    }
    for each in of_kind(objects, "Deployment"):
        scaler = scaled.get(each["metadata"]["name"])
        if scaler is not None:
            if "replicas" in each["spec"]:
                yield Problem(where=title(each), what="spec.replicas must be left to the autoscaler")
            if scaler["spec"].get("minReplicas", 1) < LEAST:
                yield Problem(where=title(scaler), what=f"minReplicas must be at least {LEAST}")
        elif each["spec"].get("replicas", 1) < LEAST:
            yield Problem(where=title(each), what=f"spec.replicas must be at least {LEAST}")


def _probes(pod: Pod) -> Iterator[Problem]:
    """Ray's pods get theirs from the operator."""
    for container in pod.spec.get("containers", []):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe not in container:
                yield Problem(where=pod.where, what=f"{pod.role}: {container['name']} needs a {probe}")
                continue
            asked = container[probe].get("grpc") or container[probe].get("httpGet") or {}
            if asked and asked.get("port") not in {*pod.ports, *pod.ports.values()}:
                what = f"{probe} of {container['name']} asks port {asked.get('port')}, which it has not"
                yield Problem(where=pod.where, what=f"{pod.role}: {what}")
