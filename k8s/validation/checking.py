"""Everything that is asked of a set of objects, in one call."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from k8s.validation.objects import Object, Problem
from k8s.validation.rules import RULES
from k8s.validation.schemas import CRDS, check_schemas
from k8s.validation.serve_configs import check_serve_configs


def check(objects: Sequence[Object], *, crds: Path = CRDS) -> list[Problem]:
    """Every problem of the objects, taken together as one installation.

    The rules take for granted what the schemas say, so they are asked only where those are content.

    Args:
        objects: rendered manifests, those of several overlays where they share a namespace.
        crds: a folder of CustomResourceDefinitions, each in place of ours; it need not exist.
    """
    problems = list(check_schemas(objects, crds=crds))
    return problems or list(_rules(objects))


def _rules(objects: Sequence[Object]) -> Iterator[Problem]:
    yield from check_serve_configs(objects)
    for rule in RULES:
        yield from rule(objects)
