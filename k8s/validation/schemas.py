"""Each object against a schema of its kind; a kind that has none is a problem too.

The tool that knows Kubernetes' own schemas only warns about others and reports success, so a misspelt kind
would pass. Here it does not.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

from k8s.validation.crds import Schema, closed, crd_schemas
from k8s.validation.objects import Object, Problem, title

KUBERNETES = ("1.31", "1.37")
"""Oldest and newest version that the manifests are meant for."""

ROOT = Path(__file__).resolve().parents[2]
CRDS = ROOT / "third_party" / "crds"
"""Complete definitions of custom resources, where somebody has put them; see third_party/README.md."""
RAY_FIELDS = Path(__file__).with_name("fields") / "ray.yaml"
"""The fields that KubeRay knows."""
RAY_ASKED = RAY_FIELDS.with_name("ray-asked.yaml")
"""What is asked for beyond them."""
RAY = "ray.io/v1"
RAY_KINDS = ("RayService", "RayJob", "RayCluster")
PROMETHEUS = ROOT / "third_party" / "prometheus-operator"

_FOLDER = "kubernetes-json-schema/v{}.0-local-strict"


def check_schemas(objects: Iterable[Object], *, crds: Path = CRDS) -> Iterator[Problem]:
    """What their schemas refuse.

    Args:
        objects: rendered manifests.
        crds: a folder of CustomResourceDefinitions, each in place of ours; it need not exist.
    """
    further = crd_schemas(crds)
    for each in objects:
        if not isinstance(each.get("apiVersion"), str) or not isinstance(each.get("kind"), str):
            yield Problem(where=title(each), what="apiVersion and kind must be set")
            continue
        schemas = list(_custom_schemas(each, further))
        if schemas:
            for schema in schemas:
                yield from _custom_problems(each, schema)
        else:
            yield from _built_in_problems(each)


def _custom_schemas(object_: Object, further: Mapping[tuple[str, str], Schema]) -> Iterator[Schema]:
    key = (object_["apiVersion"], object_["kind"])
    if (schema := further.get(key, _own_schemas().get(key))) is not None:
        yield schema
    if key[0] == RAY and key[1] in RAY_KINDS:
        yield _ray_schema(RAY_ASKED, key[1])


@cache
def _own_schemas() -> dict[tuple[str, str], Schema]:
    """The custom resources that the manifests use."""
    ray = {(RAY, kind): _ray_schema(RAY_FIELDS, kind) for kind in RAY_KINDS}
    monitoring = {
        ("monitoring.coreos.com/v1", file.stem): closed(json.loads(file.read_text(encoding="utf-8")))
        for file in sorted(PROMETHEUS.glob("*.json"))
    }
    return {**ray, **monitoring}


def _ray_schema(file: Path, kind: str) -> Schema:
    return {**_ray_definitions(file), "$ref": f"#/$defs/{kind}"}


@cache
def _ray_definitions(file: Path) -> Schema:
    """Of all kinds: read once."""
    definitions: Schema = yaml.safe_load(file.read_text(encoding="utf-8"))
    return definitions


def _custom_problems(object_: Object, schema: Schema) -> Iterator[Problem]:
    # What they share with Kubernetes' own kinds, pods above all, is that of the newest version.
    source = f" ({schema['title']})" if "title" in schema else ""
    for what in _errors(Draft202012Validator(schema, registry=_registry(KUBERNETES[-1])), object_):
        yield Problem(where=title(object_), what=f"{what}{source}")


def _built_in_problems(object_: Object) -> Iterator[Problem]:
    for version in KUBERNETES:
        validator = _built_in_validator(object_["apiVersion"], object_["kind"], version)
        if validator is None:
            what = f"apiVersion {object_['apiVersion']} has no schema of this kind in Kubernetes {version}"
            yield Problem(where=title(object_), what=what)
            continue
        for what in _errors(validator, object_):
            yield Problem(where=title(object_), what=f"{what} (Kubernetes {version})")


@cache
def _built_in_validator(api_version: str, kind: str, version: str) -> Draft202012Validator | None:
    """Kubernetes' own schema of a kind; None where that version has no such kind.

    What `kubernetes_validate.validate` does, but each file is read once: the definitions weigh megabytes.
    """
    group, _, name = api_version.rpartition("/")
    file = f"{kind.lower()}-{group.partition('.')[0]}-{name}" if group else f"{kind.lower()}-{name}"
    try:
        schema = schema_contents(f"{_FOLDER.format(version)}/{file}.json", version)
    except FileNotFoundError:
        return None
    return Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _registry(version))


@cache
def _registry(version: str) -> Registry[Any]:
    """The definitions that schemas of kinds refer to."""
    return (
        Resource.from_contents(schema_contents(f"{_FOLDER.format(version)}/_definitions.json", version))
        @ Registry()
    )


def _errors(validator: Draft202012Validator, object_: Object) -> Iterator[str]:
    for error in sorted(validator.iter_errors(object_), key=lambda found: found.json_path):
        yield f"{_path(error.absolute_path)}: {error.message}"


def _path(steps: Iterable[str | int]) -> str:
    return ".".join(str(step) for step in steps) or "the object"
