from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.validation.crds import closed, crd_schemas
from k8s.validation.schemas import check_schemas
from reasoncd.errors import InvalidInputError

pytestmark = pytest.mark.unit

# Ours, for what CRDs may say; no operator has it.
WIDGET: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.tests.invalid"},
    "spec": {
        "group": "tests.invalid",
        "names": {"kind": "Widget", "plural": "widgets"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "required": ["spec"],
                        "properties": {
                            "apiVersion": {"type": "string"},
                            "kind": {"type": "string"},
                            "metadata": {"type": "object"},
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "size": {"type": "integer", "format": "int32", "minimum": 1},
                                    "port": {"x-kubernetes-int-or-string": True},
                                    "note": {"type": "string", "nullable": True},
                                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                    "half": {
                                        "type": "object",
                                        "x-kubernetes-preserve-unknown-fields": True,
                                        "properties": {"known": {"type": "integer"}},
                                    },
                                    "parts": {
                                        "type": "array",
                                        "items": {
                                            "type": "object",
                                            "required": ["name"],
                                            "properties": {"name": {"type": "string"}},
                                        },
                                    },
                                },
                            },
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def crds(tmp_path: Path) -> Path:
    (tmp_path / "widget.yaml").write_text(yaml.safe_dump(WIDGET))
    return tmp_path


def problems(crds: Path, **spec: object) -> list[str]:
    widget = {"apiVersion": "tests.invalid/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}
    return [str(each) for each in check_schemas([widget], crds=crds)]


def test_what_a_definition_allows_passes(crds: Path) -> None:
    assert problems(crds, size=1, port="http", labels={"a": "b"}, parts=[{"name": "x"}]) == []
    assert problems(crds, port=80, note=None) == []
    # Left open on purpose.
    assert problems(crds, free={"anything": {"at": "all"}}, half={"known": 1, "other": 2}) == []


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"sise": 1}, "'sise' was unexpected"),
        ({"size": 0}, "0 is less than the minimum"),
        ({"size": "1"}, "'1' is not of type 'integer'"),
        ({"size": None}, "None is not of type 'integer'"),
        ({"port": [80]}, "[80] is not valid under any of the given schemas"),
        ({"labels": {"a": 1}}, "1 is not of type 'string'"),
        ({"half": {"known": "1"}}, "'1' is not of type 'integer'"),
        ({"parts": [{"name": "x", "colour": "red"}]}, "'colour' was unexpected"),
        ({"parts": [{}]}, "'name' is a required property"),
    ],
)
def test_what_it_does_not_allow_is_refused(crds: Path, spec: dict[str, object], says: str) -> None:
    (problem,) = problems(crds, **spec)
    assert says in problem


def test_definitions_in_a_list_are_found(tmp_path: Path) -> None:
    # As `kubectl get crd ... -o yaml` gives more than one.
    (tmp_path / "list.yaml").write_text(
        yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [WIDGET]})
    )
    assert problems(tmp_path, size=1) == []
    assert problems(tmp_path, sise=1)


def test_a_kind_without_a_definition_is_a_problem(tmp_path: Path) -> None:
    found = problems(tmp_path)
    assert found and all("has no schema of this kind" in each for each in found)


def test_a_definition_takes_the_place_of_our_own(tmp_path: Path) -> None:
    # Stricter than ours in one respect and open in all others, to be seen to count.
    names = {"kind": "RayJob", "plural": "rayjobs"}
    schema = {"type": "object", "required": ["extra"]}
    version = {"name": "v1", "schema": {"openAPIV3Schema": schema}}
    crd = {**WIDGET, "spec": {"group": "ray.io", "names": names, "versions": [version]}}
    (tmp_path / "rayjob.yaml").write_text(yaml.safe_dump(crd))
    job = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "j"}, "spec": {"newer": 1}}
    found = [str(each) for each in check_schemas([job], crds=tmp_path)]
    assert any("'extra' is a required property" in each for each in found)
    assert not any("'newer' was unexpected" in each for each in found)
    # What is asked for here stays.
    assert any("'entrypoint' is a required property" in each for each in found)


def test_a_definition_without_a_schema_is_refused(tmp_path: Path) -> None:
    spec = {**WIDGET["spec"], "versions": [{"name": "v1"}]}
    (tmp_path / "w.yaml").write_text(yaml.safe_dump({**WIDGET, "spec": spec}))
    with pytest.raises(InvalidInputError, match="version v1 has no schema"):
        crd_schemas(tmp_path)


def test_an_embedded_object_keeps_its_head() -> None:
    schema = closed({"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {}}})
    assert set(schema["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
