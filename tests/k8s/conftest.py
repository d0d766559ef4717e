"""The overlays as kustomize renders them, once a test process."""

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from k8s.validation.objects import Object
from k8s.validation.rendering import render

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ("cpu-small", "gpu")

Rendered = Callable[[str], list[Object]]


@cache
def _rendered(overlay: str) -> list[Object]:
    return [*render(ROOT / "k8s" / "overlays" / overlay), *render(ROOT / "k8s" / "training")]


@pytest.fixture
def rendered() -> Rendered:
    """An overlay and the training job beside it, by the overlay's name; the caller may change them."""
    return lambda overlay: copy.deepcopy(_rendered(overlay))
