"""An overlay as the objects that `kubectl apply -k` would send."""

import shutil
import subprocess
import sys
from pathlib import Path

from k8s.validation.objects import Object
from k8s.validation.strict_yaml import load_all
from reasoncd.errors import InvalidInputError, NotFoundError


def kubectl() -> str:
    """The kubectl of this environment, else the one on PATH.

    Raises:
        NotFoundError: there is none.
    """
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.is_file() else shutil.which("kubectl")
    if found is None:
        raise NotFoundError("kubectl is not installed; `make tools` brings it")
    return found


def render(overlay: Path) -> list[Object]:
    """Build one overlay.

    Args:
        overlay: folder of a kustomization.

    Raises:
        InvalidInputError: kustomize refuses it, or what comes out is no list of objects.
        NotFoundError: there is no kubectl.
    """
    done = subprocess.run(
        [kubectl(), "kustomize", str(overlay)], capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode != 0:
        raise InvalidInputError(f"{overlay} cannot be built: {done.stderr.strip()}")
    objects = load_all(done.stdout, where=str(overlay))
    if not objects or not all(isinstance(each, dict) for each in objects):
        raise InvalidInputError(f"{overlay} gives no Kubernetes objects")
    return objects
