"""One mistake at a time in manifests that are right, and what the validation must say of each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from k8s.validation.checking import check
from k8s.validation.objects import Object, title
from tests.k8s.conftest import Rendered

pytestmark = pytest.mark.contract

HEAD = ("spec", "rayClusterConfig", "headGroupSpec", "template", "spec")
WORKERS = ("spec", "rayClusterConfig", "workerGroupSpecs", 0)
WORKER = (*WORKERS, "template", "spec")
GATEWAY = ("spec", "template", "spec")
DEPLOYMENT = ("applications", 0, "deployments", 0)
REMOVED = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One change, and what is said of it."""

    name: str
    of: str
    """The object, as `Kind/name`."""
    change: Callable[[Any], None]
    says: str
    overlay: str = "cpu-small"


def put(*path: str | int, value: object) -> Callable[[Any], None]:
    """Set what lies at a path; REMOVED takes it away."""

    def change(node: Any) -> None:
        for step in path[:-1]:
            node = node[step]
        if value is REMOVED:
            del node[path[-1]]
        else:
            node[path[-1]] = value

    return change


def add(*path: str | int, value: object) -> Callable[[Any], None]:
    """Append to the list at a path."""

    def change(node: Any) -> None:
        for step in path:
            node = node[step]
        node.append(value)

    return change


def serve(change: Callable[[Any], None]) -> Callable[[Any], None]:
    """A change inside `serveConfigV2`."""

    def changed(node: Any) -> None:
        config = yaml.safe_load(node["spec"]["serveConfigV2"])
        change(config)
        node["spec"]["serveConfigV2"] = yaml.safe_dump(config)

    return changed


def text(old: str, new: str) -> Callable[[Any], None]:
    """Another text inside `serveConfigV2`."""

    def changed(node: Any) -> None:
        assert old in node["spec"]["serveConfigV2"]
        node["spec"]["serveConfigV2"] = node["spec"]["serveConfigV2"].replace(old, new)

    return changed


def variable(name: str, value: object) -> Callable[[Any], None]:
    """Another variable of the first deployment."""
    return serve(put(*DEPLOYMENT, "ray_actor_options", "runtime_env", "env_vars", name, value=value))


def _variants() -> Iterator[Variant]:
    def of(object_: str, *rows: tuple[str, Callable[[Any], None], str], overlay: str = "cpu-small") -> None:
        found.extend(
            Variant(name=name, of=object_, change=change, says=says, overlay=overlay)
            for name, change, says in rows
        )

    found: list[Variant] = []
    container = (*GATEWAY, "containers", 0)
    of(
        "Deployment/gateway",
        # Kubernetes' own schemas
        (
            "unknown field",
            put(*container, "imagePullPolice", value="Always"),
            "'imagePullPolice' was unexpected",
        ),
        (
            "text for a number",
            put(*GATEWAY, "terminationGracePeriodSeconds", value="60s"),
            "'60s' is not of type",
        ),
        ("misspelt kind", put("kind", value="Deploymant"), "has no schema of this kind"),
        ("withdrawn version", put("apiVersion", value="extensions/v1beta1"), "has no schema of this kind"),
        ("no selector", put("spec", "selector", value=REMOVED), "'selector' is a required property"),
        # security
        (
            "root",
            put(*GATEWAY, "securityContext", "runAsUser", value=0),
            "runAsUser must be a number above 0",
        ),
        (
            "maybe root",
            put(*GATEWAY, "securityContext", "runAsNonRoot", value=REMOVED),
            "runAsNonRoot must be",
        ),
        (
            "no seccomp",
            put(*GATEWAY, "securityContext", "seccompProfile", value=REMOVED),
            "must be RuntimeDefault",
        ),
        (
            "escalation",
            put(*container, "securityContext", "allowPrivilegeEscalation", value=True),
            "must be false",
        ),
        (
            "writable root",
            put(*container, "securityContext", "readOnlyRootFilesystem", value=False),
            "must be true",
        ),
        (
            "capability",
            put(*container, "securityContext", "capabilities", "add", value=["NET_ADMIN"]),
            "drop ALL",
        ),
        (
            "privileged",
            put(*container, "securityContext", "privileged", value=True),
            "privileged must not be",
        ),
        ("host network", put(*GATEWAY, "hostNetwork", value=True), "hostNetwork must not be set"),
        ("host port", put(*container, "ports", 0, "hostPort", value=50051), "hostPort must not be set"),
        (
            "host path",
            add(*GATEWAY, "volumes", value={"name": "x", "hostPath": {"path": "/"}}),
            "is a hostPath",
        ),
        (
            "API token",
            put(*GATEWAY, "automountServiceAccountToken", value=True),
            "must be false; nothing here",
        ),
        (
            "no account",
            put(*GATEWAY, "serviceAccountName", value="default"),
            "there is no ServiceAccount default",
        ),
        # images
        (
            "latest",
            put(*container, "image", value="reasoncd/gateway:latest"),
            "needs a tag other than latest",
        ),
        ("no tag", put(*container, "image", value="reasoncd/gateway"), "needs a tag other than latest"),
        # resources
        (
            "no memory limit",
            put(*container, "resources", "limits", value={}),
            "must set resources.limits.memory",
        ),
        (
            "no CPU request",
            put(*container, "resources", "requests", "cpu", value=REMOVED),
            "resources.requests.cpu",
        ),
        (
            "endless folder",
            put(*GATEWAY, "volumes", 0, "emptyDir", value={}),
            "volume tmp must have a sizeLimit",
        ),
        # secrets
        (
            "token in the open",
            add(*container, "env", value={"name": "API_TOKEN", "value": "abc"}),
            "API_TOKEN must come from a Secret",
        ),
        (
            "private key",
            add(*container, "args", value="-----BEGIN RSA PRIVATE KEY-----"),
            "looks like a key or a token",
        ),
        (
            "writable secret",
            put(*container, "volumeMounts", 1, "readOnly", value=False),
            "must mount tokens with",
        ),
        # volumes
        (
            "no such volume",
            put(*GATEWAY, "volumes", 1, "name", value="other"),
            "mounts tokens, which is no volume",
        ),
        (
            "nothing to write to",
            put(*container, "volumeMounts", 0, value=REMOVED),
            "needs an emptyDir at /tmp",
        ),
        # availability
        ("no readiness", put(*container, "readinessProbe", value=REMOVED), "needs a readinessProbe"),
        ("no liveness", put(*container, "livenessProbe", value=REMOVED), "needs a livenessProbe"),
        (
            "wrong probe",
            put(*container, "readinessProbe", "grpc", "port", value=9),
            "asks port 9, which it has not",
        ),
        ("two counters", put("spec", "replicas", value=2), "spec.replicas must be left to the autoscaler"),
        # references
        (
            "another label",
            put("spec", "template", "metadata", "labels", "app.kubernetes.io/component", value="gate"),
            "does not take the pods of its own template",
        ),
        ("another namespace", put("metadata", "namespace", value="default"), "namespace must be reasoncd"),
    )
    of(
        "Deployment/gateway",
        (
            "gRPC probe with TLS",
            put(*container, "readinessProbe", value={"grpc": {"port": 50051}}),
            "without TLS",
        ),
        (
            "plain probe with TLS",
            put(*container, "livenessProbe", "httpGet", "scheme", value="HTTP"),
            "livenessProbe must ask with scheme HTTPS",
        ),
        overlay="gpu",
    )
    of(
        "ServiceMonitor/gateway",
        (
            "plain scrape of TLS",
            put("spec", "endpoints", 0, "scheme", value="http"),
            "must have scheme https",
        ),
        overlay="gpu",
    )
    of(
        "Namespace/reasoncd",
        (
            "lenient namespace",
            put("metadata", "labels", "pod-security.kubernetes.io/enforce", value="baseline"),
            "must be restricted",
        ),
    )
    of(
        "Service/gateway",
        ("no such port", put("spec", "ports", 0, "targetPort", value="grcp"), "have no port grcp"),
        ("takes nothing", put("spec", "selector", value={"app": "gateway"}), "spec.selector takes no pods"),
    )
    of(
        "HorizontalPodAutoscaler/gateway",
        ("one gateway", put("spec", "minReplicas", value=1), "minReplicas must be at least 2"),
        (
            "scales nothing",
            put("spec", "scaleTargetRef", "name", value="gate"),
            "there is no Deployment gate",
        ),
    )
    of(
        "PodDisruptionBudget/reasoner",
        (
            "keeps nothing",
            put("spec", "selector", "matchLabels", "ray.io/node-type", value="workers"),
            "spec.selector takes no pods",
        ),
    )
    of(
        "RayService/reasoner",
        # fields
        ("unknown to KubeRay", put("spec", "serveConfig", value="x"), "'serveConfig' was unexpected"),
        ("misspelt in the pod", put(*WORKER, "container", value=[]), "'container' was unexpected"),
        (
            "number on Ray's line",
            put(*WORKERS, "rayStartParams", "num-cpus", value=2),
            "2 is not of type 'string'",
        ),
        (
            "Ray's token left open",
            put("spec", "rayClusterConfig", "authOptions", value=REMOVED),
            "'authOptions' is",
        ),
        (
            "open to the world",
            put(*HEAD[:3], "serviceType", value="LoadBalancer"),
            "'LoadBalancer' is not one of",
        ),
        ("text for replicas", put(*WORKERS, "replicas", value="two"), "'two' is not of type 'integer'"),
        # security and storage of pods that the operator makes
        ("head as root", put(*HEAD, "securityContext", "runAsNonRoot", value=False), "head: securityContext"),
        ("worker as root", put(*WORKER, "containers", 0, "securityContext", "runAsUser", value=0), "as root"),
        (
            "worker writes",
            put(*WORKER, "containers", 0, "securityContext", "readOnlyRootFilesystem", value=False),
            "be true",
        ),
        (
            "writable model",
            put(*WORKER, "containers", 0, "volumeMounts", 2, "readOnly", value=False),
            "mount checkpoints",
        ),
        (
            "writable claim",
            put(*WORKER, "volumes", 2, "persistentVolumeClaim", "readOnly", value=False),
            "claim with",
        ),
        (
            "huge shared memory",
            put(*WORKER, "volumes", 1, "emptyDir", "sizeLimit", value="5Gi"),
            "more than half",
        ),
        # availability
        ("one worker", put(*WORKERS, "minReplicas", value=1), "give at least 2 replicas"),
        ("upgrade with a gap", put("spec", "upgradeStrategy", "type", value="None"), "must be NewCluster"),
        # Serve
        ("no YAML", put("spec", "serveConfigV2", value="a: [1"), "is no usable YAML"),
        ("a key of YAML's", put("spec", "serveConfigV2", value="? [a]\n: 1"), "is no key"),
        ("no date", put("spec", "serveConfigV2", value="a: 2001-99-99"), "is no usable YAML"),
        (
            "a key twice",
            text("num_gpus: 0", "num_gpus: 0\n      num_gpus: 1"),
            "the key 'num_gpus' stands twice",
        ),
        ("refused by Ray", serve(put(*DEPLOYMENT, "num_replicas", value=-1)), "num_replicas"),
        ("unknown to Ray", serve(put(*DEPLOYMENT, "max_ongoing_request", value=9)), "Ray does not know"),
        (
            "another class",
            serve(put(*DEPLOYMENT, "name", value="Thinker")),
            "must have the one deployment Reasoner",
        ),
        (
            "another module",
            serve(put("applications", 0, "import_path", value="a.b:app")),
            "import_path of reasoner",
        ),
        (
            "another name",
            serve(put("applications", 0, "name", value="thinker")),
            "application 'thinker' is unknown",
        ),
        (
            "another servicer",
            serve(put("grpc_options", "grpc_servicer_functions", value=["a.b.add"])),
            "grpc_servicer_functions must be",
        ),
        ("unbounded queue", serve(put(*DEPLOYMENT, "max_queued_requests", value=-1)), "must be bounded"),
        (
            "many at once",
            serve(put(*DEPLOYMENT, "max_ongoing_requests", value=99)),
            "max_ongoing_requests must be",
        ),
        ("one replica", serve(put(*DEPLOYMENT, "num_replicas", value=1)), "give at least 2 replicas"),
        ("no room", serve(put(*DEPLOYMENT, "num_replicas", value=3)), "ask for 6 CPUs; the workers have 4"),
        (
            "no GPU",
            serve(put(*DEPLOYMENT, "ray_actor_options", "num_gpus", value=1)),
            "does not go with num_gpus",
        ),
        ("loopback", serve(put("http_options", "host", value="127.0.0.1")), "host must be 0.0.0.0"),
        ("another port", serve(put("grpc_options", "port", value=9001)), "the head name 9000 serve-grpc"),
        (
            "work on the head",
            put(*HEAD[:3], "rayStartParams", "num-cpus", value="4"),
            'must have num-cpus "0"',
        ),
        ("unknown variable", variable("REASONCD_DEVCE", "cuda"), "variable REASONCD_DEVCE is unknown"),
        ("float16", variable("REASONCD_DTYPE", "float16"), "REASONCD_DTYPE is 'float16'"),
        ("no checkpoint", variable("REASONCD_CHECKPOINT", ""), "REASONCD_CHECKPOINT is not set"),
        ("no device", variable("REASONCD_DEVICE", REMOVED), "set REASONCD_DEVICE"),
    )
    of(
        "RayService/reasoner",
        (
            "GPU on the CPU",
            variable("REASONCD_DEVICE", "cpu"),
            "REASONCD_DEVICE is cpu, which does not go with",
        ),
        (
            "GPU not asked for",
            put(*WORKER, "containers", 0, "resources", "limits", "nvidia.com/gpu", value=REMOVED),
            "ask for 2 GPUs; the workers have 0",
        ),
        overlay="gpu",
    )
    of(
        "RayService/mask-decoder",
        ("served twice", text("name: mask-decoder", "name: reasoner"), "is served by"),
    )
    of(
        "RayJob/training",
        ("unknown mode", put("spec", "submissionMode", value="MagicMode"), "'MagicMode' is not one of"),
        ("no command", put("spec", "entrypoint", value=REMOVED), "'entrypoint' is a required property"),
        (
            "data writable",
            put(
                "spec",
                "rayClusterSpec",
                *HEAD[2:],
                "volumes",
                2,
                "persistentVolumeClaim",
                "readOnly",
                value=False,
            ),
            "volume data must claim with readOnly",
        ),
    )
    of(
        "PrometheusRule/reasoncd",
        (
            "unknown field",
            put("spec", "groups", 0, "rules", 0, "severity", value="x"),
            "'severity' was unexpected",
        ),
        (
            "no expression",
            put("spec", "groups", 0, "rules", 0, "expr", value=REMOVED),
            "'expr' is a required",
        ),
        ("no duration", put("spec", "groups", 0, "rules", 0, "for", value="5 minutes"), "does not match"),
    )
    of(
        "ServiceMonitor/gateway",
        ("unknown field", put("spec", "endpoints", 0, "ports", value="http"), "'ports' was unexpected"),
        ("no such port", put("spec", "endpoints", 0, "port", value="web"), "has a port web"),
    )
    of(
        "PodMonitor/services",
        (
            "no such port",
            put("spec", "podMetricsEndpoints", 0, "port", value="web"),
            "selected pod has a port web",
        ),
        (
            "heads too",
            put("spec", "selector", value={"matchLabels": {"app.kubernetes.io/component": "reasoner"}}),
            "not every selected pod has a port metrics",
        ),
    )
    everyone: Object = {"from": [{"namespaceSelector": {}}]}
    of(
        "NetworkPolicy/deny",
        (
            "let in by default",
            put("spec", "policyTypes", value=["Egress"]),
            "one must select every pod, both ways",
        ),
        (
            "let out by default",
            put("spec", "policyTypes", value=["Ingress"]),
            "one must select every pod, both ways",
        ),
    )
    of(
        "NetworkPolicy/dns",
        ("no names", put("spec", "egress", value=[]), "must reach DNS on port 53, and cannot"),
    )
    of(
        "NetworkPolicy/gateway",
        ("open to all", put("spec", "ingress", value=[everyone]), "a stranger reaches Deployment/gateway"),
        (
            "closed to clients",
            put("spec", "ingress", 0, "ports", value=[{"port": "http"}]),
            "a client must reach",
        ),
        ("no way to the services", put("spec", "egress", value=[]), "Deployment/gateway (pods) must reach"),
    )
    of(
        "NetworkPolicy/services",
        ("services open", put("spec", "ingress", value=[everyone]), "a stranger reaches RayService/"),
        ("wrong port", put("spec", "ingress", 0, "ports", 0, "port", value=9001), "on port 9000, and cannot"),
    )
    of(
        "NetworkPolicy/ray-reasoner",
        ("Ray cut off", put("spec", "ingress", value=[]), "must reach RayService/reasoner"),
        ("Ray open", put("spec", "ingress", value=[{}]), "a stranger reaches RayService/reasoner (head)"),
        ("open to the world", put("spec", "egress", value=[{}]), "(head) reaches a stranger on port 443"),
    )
    of(
        "NetworkPolicy/kuberay-operator",
        ("operator cut off", put("spec", "ingress", 0, "ports", 0, value=REMOVED), "operator must reach"),
    )
    of(
        "NetworkPolicy/prometheus",
        (
            "metrics closed",
            put("spec", "ingress", 0, "ports", 1, value=REMOVED),
            "Prometheus must reach RayService",
        ),
    )
    return iter(found)


VARIANTS = list(_variants())


def test_there_are_enough() -> None:
    assert len(VARIANTS) >= 20
    names = [(each.of, each.name, each.overlay) for each in VARIANTS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda each: f"{each.of}: {each.name}")
def test_a_mistake_is_refused(rendered: Rendered, variant: Variant) -> None:
    objects = rendered(variant.overlay)
    (changed,) = [each for each in objects if title(each) == variant.of]
    variant.change(changed)
    problems = [str(each) for each in check(objects)]
    assert any(variant.says in each for each in problems), problems


def test_a_secret_among_the_manifests_is_refused(rendered: Rendered) -> None:
    secret: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "tokens", "namespace": "reasoncd"},
        "stringData": {"a": "b"},
    }
    problems = [str(each) for each in check([*rendered("cpu-small"), secret])]
    assert problems == ["Secret/tokens: make Secrets apart; they are not part of the manifests"]


def test_an_object_that_stands_twice_is_refused(rendered: Rendered) -> None:
    objects = rendered("cpu-small")
    assert "Namespace/reasoncd: stands twice" in [str(each) for each in check([*objects, objects[0]])]


@pytest.mark.parametrize("gone", ["PodDisruptionBudget/gateway", "PodDisruptionBudget/reasoner"])
def test_budgets_are_missed(rendered: Rendered, gone: str) -> None:
    problems = check([each for each in rendered("cpu-small") if title(each) != gone])
    assert any("no PodDisruptionBudget keeps them" in str(each) for each in problems)


def test_a_missing_service_is_missed(rendered: Rendered) -> None:
    objects = [each for each in rendered("cpu-small") if title(each) != "RayService/reasoner"]
    assert any("no service has the application reasoner" in str(each) for each in check(objects))
