"""Objects that use every field KubeRay knows, and what is said of each when one is wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.validation.schemas import RAY_FIELDS, RAY_KINDS, check_schemas
from tests.k8s.test_broken_variants import REMOVED, put

pytestmark = pytest.mark.unit

# What excludes each other is spread over several objects.
CLUSTER = """
rayVersion: 2.60.0
enableInTreeAutoscaling: true
headServiceAnnotations: {example.com/owner: maps}
suspend: false
managedBy: ray.io/kuberay-operator
authOptions: {mode: token, secretName: ray-token, enableK8sTokenAuth: false}
tlsOptions: {enabled: true}
upgradeStrategy: {type: Recreate}
autoscalerOptions:
  version: v2
  upscalingMode: Conservative
  idleTimeoutSeconds: 60
  image: rayproject/ray:2.60.0
  imagePullPolicy: IfNotPresent
  command: [/bin/bash, -c]
  args: [$KUBERAY_GEN_AUTOSCALER_START_CMD]
  env: [{name: LEVEL, value: info}]
  envFrom: [{configMapRef: {name: autoscaler}}]
  resources: {limits: {cpu: 500m, memory: 512Mi}}
  securityContext: {runAsNonRoot: true}
  volumeMounts: [{name: tmp, mountPath: /tmp}]
gcsFaultToleranceOptions:
  backend: redis
  redisAddress: redis:6379
  redisUsername: {value: ray}
  redisPassword: {valueFrom: {secretKeyRef: {name: redis, key: password}}}
  externalStorageNamespace: ray
networkPolicy:
  mode: DenyAll
  head: {ingressRules: [{from: [{podSelector: {}}]}], egressRules: [{ports: [{port: 53, protocol: UDP}]}]}
  worker: {egressRules: [{ports: [{port: 53, protocol: UDP}]}]}
  workerGroups:
    - {groupName: big, ingressRules: [{ports: [{port: 8000}]}], egressRules: [{ports: [{port: 53}]}]}
historyServerOptions:
  collectorOptions:
    image: quay.io/kuberay/collector:v1.7.1
    imagePullPolicy: Always
    resources: {requests: {cpu: 100m}}
    env: [{name: STORAGE_BACKEND, value: s3}]
headGroupSpec:
  rayStartParams: {}
  resources: {CPU: "4"}
  labels: {zone: a}
  serviceType: ClusterIP
  headService: {metadata: {annotations: {a: b}}, spec: {type: ClusterIP, ports: [{name: dash, port: 8265}]}}
  enableIngress: false
  ingressOptions:
    host: ray.example.com
    path: /
    pathType: Prefix
    tls: [{hosts: [ray.example.com], secretName: ray-tls}]
  template: {spec: {containers: [{name: ray-head, image: "rayproject/ray:2.60.0"}]}}
workerGroupSpecs:
  - groupName: big
    replicas: 1
    minReplicas: 0
    maxReplicas: 2147483647
    numOfHosts: 4
    idleTimeoutSeconds: 30
    priority: -1
    suspend: false
    rayStartParams: {block: "true"}
    resources: {GPU: "8"}
    labels: {zone: b}
    scaleStrategy: {workersToDelete: [big-worker-x1]}
    template: {metadata: {labels: {a: b}}, spec: {containers: [{name: ray, image: "rayproject/ray:2.60.0"}]}}
"""
EMBEDDED_STORE = """
backend: rocksdb
storage:
  claimName: gcs
  size: 1Gi
  storageClassName: fast
  accessModes: [ReadWriteOnce]
  subPath: ray
  deletionPolicy: Retain
"""
SERVICE = """
serveConfigV2: "applications: []"
serveService: {metadata: {name: front}, spec: {selector: {a: b}, ports: [{name: serve, port: 8000}]}}
excludeHeadPodFromServeSvc: true
rayClusterDeletionDelaySeconds: 0
suspend: false
managedBy: kueue.x-k8s.io/multikueue
serviceUnhealthySecondThreshold: 900
deploymentUnhealthySecondThreshold: 300
upgradeStrategy:
  type: NewClusterWithIncrementalUpgrade
  clusterUpgradeOptions: {maxSurgePercent: 9, stepSizePercent: 5, intervalSeconds: 9, gatewayClassName: istio}
"""
JOB = """
entrypoint: python -m training
entrypointNumCpus: 0.5
entrypointNumGpus: 2
entrypointResources: '{"tpu": 1}'
runtimeEnvYAML: "pip: [einops]"
metadata: {team: maps}
jobId: night
submissionMode: K8sJobMode
submitterPodTemplate: {spec: {containers: [{name: submit, image: "rayproject/ray:2.60.0"}]}}
submitterConfig: {backoffLimit: 2}
backoffLimit: 0
activeDeadlineSeconds: 3600
preRunningDeadlineSeconds: 600
shutdownAfterJobFinishes: false
ttlSecondsAfterFinished: 0
suspend: false
managedBy: ray.io/kuberay-operator
deletionStrategy:
  deletionRules:
    - {policy: DeleteWorkers, condition: {jobStatus: SUCCEEDED, ttlSeconds: 60}}
    - {policy: DeleteCluster, condition: {jobDeploymentStatus: Failed}}
"""
OLD_DELETION = "{onSuccess: {policy: DeleteSelf}, onFailure: {policy: DeleteNone}}"


def ray_object(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A whole object of a kind."""
    return {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": "full"}, "spec": spec}


def full(kind: str) -> dict[str, Any]:
    """Every field of a kind that may stand together."""
    cluster = yaml.safe_load(CLUSTER)
    match kind:
        case "RayService":
            return ray_object(kind, {**yaml.safe_load(SERVICE), "rayClusterConfig": cluster})
        case "RayJob":
            return ray_object(kind, {**yaml.safe_load(JOB), "rayClusterSpec": cluster})
        case _:
            return ray_object(kind, cluster)


def with_embedded_store() -> dict[str, Any]:
    """A cluster that keeps its state on a volume."""
    cluster = full("RayCluster")
    cluster["spec"]["gcsFaultToleranceOptions"] = yaml.safe_load(EMBEDDED_STORE)
    return cluster


def on_a_running_cluster() -> dict[str, Any]:
    """A job without a cluster of its own, with the deprecated deletion, as the API server gives it back."""
    job = full("RayJob")
    del job["spec"]["rayClusterSpec"]
    job["spec"]["clusterSelector"] = {"ray.io/cluster": "shared"}
    job["spec"]["deletionStrategy"] = yaml.safe_load(OLD_DELETION)
    return {**job, "status": {"jobStatus": "RUNNING"}}


OBJECTS = [*(full(kind) for kind in RAY_KINDS), with_embedded_store(), on_a_running_cluster()]


def problems(object_: dict[str, Any], crds: Path = Path("none")) -> list[str]:
    return [each.what for each in check_schemas([object_], crds=crds)]


@pytest.mark.parametrize("object_", OBJECTS, ids=lambda each: each["kind"])
def test_every_field_is_taken(object_: dict[str, Any]) -> None:
    assert problems(object_) == []


def test_the_objects_use_every_field() -> None:
    schema = yaml.safe_load(RAY_FIELDS.read_text(encoding="utf-8"))

    def used(node: dict[str, Any], value: Any) -> Iterator[tuple[str, str]]:
        reference = node.get("$ref", "")
        name = reference.rpartition("/")[2]
        node = {**node, **schema["$defs"][name]} if reference.startswith("#") else node
        for each in value if isinstance(value, list) else ():
            yield from used(node["items"], each)
        for field in node.get("properties", {}) if isinstance(value, dict) else ():
            if field in value:
                yield name, field
                yield from used(node["properties"][field], value[field])

    known = {(name, field) for name, each in schema["$defs"].items() for field in each.get("properties", {})}
    found = {each for object_ in OBJECTS for each in used({"$ref": f"#/$defs/{object_['kind']}"}, object_)}
    # Every kind has a status; one of them shows that it is let through.
    assert known - found <= {(kind, "status") for kind in RAY_KINDS}


def test_every_object_is_closed() -> None:
    schema = yaml.safe_load(RAY_FIELDS.read_text(encoding="utf-8"))
    open_ = [
        name
        for name, each in schema["$defs"].items()
        if "properties" in each and "additionalProperties" not in each
    ]
    assert open_ == []


GROUP = ("spec", "workerGroupSpecs", 0)
RULE = ("spec", "deletionStrategy", "deletionRules", 0)
UPGRADE = ("spec", "upgradeStrategy")


@pytest.mark.parametrize(
    ("kind", "path", "value", "says"),
    [
        # Unknown, and known only elsewhere.
        (
            "RayService",
            ("spec", "serveConfig"),
            "x",
            "spec: Additional properties are not allowed ('serveConfig'",
        ),
        ("RayService", ("spec", "entrypoint"), "x", "'entrypoint' was unexpected"),
        ("RayJob", ("spec", "schedule"), "0 * * * *", "'schedule' was unexpected"),
        ("RayCluster", ("spec", "workerGroups"), [], "'workerGroups' was unexpected"),
        ("RayCluster", (*GROUP, "nodes"), 1, "spec.workerGroupSpecs.0: Additional properties"),
        ("RayCluster", ("spec", "autoscalerOptions", "mode"), "v2", "'mode' was unexpected"),
        ("RayCluster", ("spec", "networkPolicy", "head", "rules"), [], "'rules' was unexpected"),
        ("RayJob", (*RULE, "condition", "status"), "FAILED", "'status' was unexpected"),
        # Unknown to Kubernetes.
        ("RayCluster", ("spec", "headGroupSpec", "headService", "spec", "port"), 1, "'port' was unexpected"),
        (
            "RayService",
            ("spec", "serveService", "spec", "ports", 0, "port"),
            "x",
            "'x' is not of type 'integer'",
        ),
        ("RayCluster", (*GROUP, "template", "spec", "container"), [], "'container' was unexpected"),
        (
            "RayJob",
            ("spec", "submitterPodTemplate", "spec", "containers"),
            REMOVED,
            "'containers' is a required",
        ),
        ("RayCluster", ("spec", "autoscalerOptions", "env", 0, "val"), "x", "'val' was unexpected"),
        (
            "RayCluster",
            ("spec", "networkPolicy", "worker", "egressRules", 0, "port"),
            1,
            "'port' was unexpected",
        ),
        # Types.
        ("RayCluster", (*GROUP, "replicas"), "two", "'two' is not of type 'integer'"),
        ("RayCluster", (*GROUP, "replicas"), 1.5, "1.5 is not of type 'integer'"),
        ("RayCluster", (*GROUP, "priority"), 2**31, "2147483648 is greater than the maximum of 2147483647"),
        ("RayCluster", (*GROUP, "resources", "GPU"), 8, "8 is not of type 'string'"),
        ("RayCluster", ("spec", "suspend"), "yes", "'yes' is not of type 'boolean'"),
        ("RayCluster", ("spec", "workerGroupSpecs"), {}, "{} is not of type 'array'"),
        ("RayCluster", ("spec", "tlsOptions"), True, "True is not of type 'object'"),
        ("RayJob", ("spec", "entrypointResources"), {"tpu": 1}, "is not of type 'string'"),
        ("RayJob", ("spec", "entrypointNumGpus"), "2", "'2' is not of type 'number'"),
        ("RayService", ("spec", "serveConfigV2"), {"applications": []}, "is not of type 'string'"),
        ("RayService", ("spec", "serviceUnhealthySecondThreshold"), "9", "'9' is not of type 'integer'"),
        # Values.
        ("RayService", (*UPGRADE, "type"), "Recreate", "'Recreate' is not one of ['NewCluster', "),
        ("RayCluster", (*UPGRADE, "type"), "NewCluster", "'NewCluster' is not one of ['Recreate', 'None']"),
        ("RayJob", ("spec", "submissionMode"), "MagicMode", "'MagicMode' is not one of ['K8sJobMode', "),
        ("RayJob", ("spec", "managedBy"), "me", "'me' is not one of ['ray.io/kuberay-operator', "),
        ("RayJob", (*RULE, "policy"), "DeletePods", "'DeletePods' is not one of ['DeleteCluster', "),
        (
            "RayJob",
            (*RULE, "condition", "jobStatus"),
            "STOPPED",
            "'STOPPED' is not one of ['SUCCEEDED', 'FAILED']",
        ),
        ("RayJob", (*RULE, "condition", "ttlSeconds"), -1, "-1 is less than the minimum of 0"),
        ("RayJob", ("spec", "deletionStrategy", "deletionRules"), [], "[] should be non-empty"),
        ("RayJob", ("spec", "preRunningDeadlineSeconds"), 0, "0 is less than the minimum of 1"),
        ("RayService", ("spec", "rayClusterDeletionDelaySeconds"), -1, "-1 is less than the minimum of 0"),
        (
            "RayCluster",
            ("spec", "authOptions", "mode"),
            "tokens",
            "'tokens' is not one of ['disabled', 'token']",
        ),
        (
            "RayCluster",
            ("spec", "gcsFaultToleranceOptions", "backend"),
            "etcd",
            "'etcd' is not one of ['redis', ",
        ),
        ("RayCluster", ("spec", "autoscalerOptions", "version"), "v3", "'v3' is not one of ['v1', 'v2']"),
        # What must be there.
        ("RayService", ("spec", "rayClusterConfig"), REMOVED, "'rayClusterConfig' is a required property"),
        (
            "RayService",
            (*UPGRADE, "clusterUpgradeOptions", "stepSizePercent"),
            REMOVED,
            "'stepSizePercent' is a",
        ),
        ("RayJob", (*RULE, "condition"), REMOVED, "'condition' is a required property"),
        (
            "RayJob",
            ("spec", "deletionStrategy", "onSuccess"),
            {},
            "'onFailure' is a dependency of 'onSuccess'",
        ),
        ("RayCluster", ("spec", "headGroupSpec"), REMOVED, "'headGroupSpec' is a required property"),
        ("RayCluster", ("spec", "headGroupSpec", "template"), REMOVED, "'template' is a required property"),
        ("RayCluster", (*GROUP, "groupName"), REMOVED, "'groupName' is a required property"),
        (
            "RayCluster",
            ("spec", "networkPolicy", "workerGroups", 0, "groupName"),
            REMOVED,
            "'groupName' is a",
        ),
        ("RayCluster", ("spec",), REMOVED, "'spec' is a required property"),
    ],
)
def test_what_kuberay_does_not_know_is_refused(
    kind: str, path: tuple[str | int, ...], value: object, says: str
) -> None:
    object_ = full(kind)
    put(*path, value=value)(object_)
    found = problems(object_)
    assert any(says in each and each.endswith(" (KubeRay 1.7)") for each in found), found


@pytest.mark.parametrize(
    ("kind", "path", "value", "says"),
    [
        # The operator refuses these in its own code.
        ("RayService", ("metadata", "name"), "s" * 48, "is too long"),
        ("RayJob", ("metadata", "name"), "j" * 48, "is too long"),
        ("RayCluster", ("metadata", "name"), "c" * 54, "is too long"),
        ("RayService", ("metadata", "name"), "1st", "'1st' does not match"),
        ("RayCluster", (*GROUP, "minReplicas"), -1, "-1 is less than the minimum of 0"),
        ("RayCluster", (*GROUP, "numOfHosts"), 0, "0 is less than the minimum of 1"),
        ("RayJob", ("spec", "backoffLimit"), -1, "-1 is less than the minimum of 0"),
        ("RayJob", ("spec", "rayClusterSpec"), REMOVED, "'rayClusterSpec' is a required property"),
        ("RayJob", ("spec", "suspend"), True, "spec.shutdownAfterJobFinishes: True was expected"),
        (
            "RayJob",
            ("spec", "ttlSecondsAfterFinished"),
            60,
            "spec.shutdownAfterJobFinishes: True was expected",
        ),
        (
            "RayJob",
            ("spec", "shutdownAfterJobFinishes"),
            True,
            "spec.shutdownAfterJobFinishes: False was expected",
        ),
        # This project wants them said, or closed.
        ("RayJob", ("spec", "entrypoint"), REMOVED, "'entrypoint' is a required property"),
        ("RayCluster", ("spec", "rayVersion"), "2.60", "'2.60' does not match"),
        ("RayCluster", ("spec", "authOptions"), REMOVED, "'authOptions' is a required property"),
        ("RayCluster", (*GROUP, "maxReplicas"), REMOVED, "'maxReplicas' is a required property"),
        ("RayCluster", ("spec", "headGroupSpec", "serviceType"), "NodePort", "'NodePort' is not one of"),
        ("RayCluster", ("spec", "headGroupSpec", "enableIngress"), True, "enableIngress: False was expected"),
        (
            "RayService",
            ("spec", "serveService", "spec", "type"),
            "LoadBalancer",
            "'LoadBalancer' is not one of",
        ),
    ],
)
def test_what_is_asked_for_besides_is_missed(
    kind: str, path: tuple[str | int, ...], value: object, says: str
) -> None:
    object_ = full(kind)
    put(*path, value=value)(object_)
    (found,) = problems(object_)
    assert says in found and found.endswith(" (asked for here)")


def test_names_as_long_as_may_be_are_taken() -> None:
    for kind, most in (("RayService", 47), ("RayJob", 47), ("RayCluster", 53)):
        object_ = full(kind)
        object_["metadata"]["name"] = "n" * most
        assert problems(object_) == []


def test_a_job_by_hand_needs_no_command() -> None:
    job = full("RayJob")
    job["spec"]["submissionMode"] = "InteractiveMode"
    del job["spec"]["entrypoint"]
    assert problems(job) == []
