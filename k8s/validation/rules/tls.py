"""Where a container speaks TLS, those who ask it speak TLS too."""

from collections.abc import Iterator, Sequence

from k8s.validation.objects import Object, Problem, label_selected, of_kind, title
from k8s.validation.pods import Pod, pods

CERTIFICATE = "--tls-cert"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def check_tls(objects: Sequence[Object]) -> Iterator[Problem]:
    """Probes and monitors that would be refused, or would speak in the clear."""
    for pod in pods(objects):
        for container in pod.spec.get("containers", []):
            encrypted = any(each.startswith(CERTIFICATE) for each in container.get("args", []))
            for name in PROBES:
                probe = container.get(name, {})
                if encrypted and "grpc" in probe:
                    what = (
                        f"{pod.role}: {name} asks over gRPC, which Kubernetes does without TLS; use httpGet"
                    )
                    yield Problem(where=pod.where, what=what)
                elif "httpGet" in probe and (probe["httpGet"].get("scheme") == "HTTPS") != encrypted:
                    what = f"{pod.role}: {name} must ask with scheme {'HTTPS' if encrypted else 'HTTP'}"
                    yield Problem(where=pod.where, what=what)
            yield from _monitors(objects, pod, encrypted=encrypted)


def _monitors(objects: Sequence[Object], pod: Pod, *, encrypted: bool) -> Iterator[Problem]:
    for each in of_kind(objects, "ServiceMonitor"):
        if label_selected(each["spec"].get("selector"), pod.labels):
            for endpoint in each["spec"]["endpoints"]:
                if (endpoint.get("scheme") == "https") != encrypted:
                    wanted = "https" if encrypted else "http"
                    yield Problem(
                        where=title(each), what=f"port {endpoint.get('port')} must have scheme {wanted}"
                    )
