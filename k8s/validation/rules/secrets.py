"""Secrets are named, and never among the manifests."""

import re
from collections.abc import Iterator, Sequence

from k8s.validation.objects import Object, Problem, of_kind, title
from k8s.validation.pods import pods

_SECRET_NAME = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL|API_?KEY|PRIVATE_?KEY", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bBearer [\w.~+/-]{16,}|\b(hf|ghp)_\w{20,}")


def check_secrets(objects: Sequence[Object]) -> Iterator[Problem]:
    """Secrets that stand in the open."""
    for secret in of_kind(objects, "Secret"):
        yield Problem(where=title(secret), what="make Secrets apart; they are not part of the manifests")
    for each in objects:
        if _SECRET_TEXT.search(str(each)):
            yield Problem(where=title(each), what="holds what looks like a key or a token; refer to a Secret")
    for pod in pods(objects):
        for container in pod.containers:
            for variable in container.get("env", []):
                # A path to a mounted file is none.
                value = str(variable.get("value", ""))
                if _SECRET_NAME.search(variable["name"]) and value and not value.startswith("/"):
                    what = f"{pod.role}: variable {variable['name']} must come from a Secret (valueFrom)"
                    yield Problem(where=pod.where, what=what)
