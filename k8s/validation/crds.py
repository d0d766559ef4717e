"""CustomResourceDefinitions as JSON schemas that refuse unknown fields.

A CRD writes OpenAPI with extensions of its own. What the API server drops in silence, an unknown field, is an
error here: nobody writes one on purpose.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from k8s.validation.strict_yaml import load_all
from reasoncd.errors import InvalidInputError

Schema = dict[str, Any]


def crd_schemas(folder: Path) -> dict[tuple[str, str], Schema]:
    """The schemas of every CRD in a folder's YAML files, by apiVersion and kind.

    Raises:
        InvalidInputError: a file is no YAML, or holds a CRD without a schema.
    """
    found: dict[tuple[str, str], Schema] = {}
    for file in sorted(folder.glob("**/*.yaml")):
        for document in load_all(file.read_text(encoding="utf-8"), where=str(file)):
            for each in _objects(document):
                if each.get("kind") == "CustomResourceDefinition":
                    found.update(_versions(each, file))
    return found


def _objects(document: object) -> Iterator[dict[str, Any]]:
    """A document's objects; `kubectl get` puts several of them into one List."""
    if isinstance(document, dict):
        yield from document.get("items") or () if document.get("kind") == "List" else (document,)


def _versions(crd: dict[str, Any], file: Path) -> Iterator[tuple[tuple[str, str], Schema]]:
    spec = crd["spec"]
    for version in spec["versions"]:
        try:
            schema = version["schema"]["openAPIV3Schema"]
        except KeyError:
            raise InvalidInputError(f"{file}: version {version.get('name')} has no schema") from None
        yield (f"{spec['group']}/{version['name']}", spec["names"]["kind"]), closed(schema)


def closed(schema: Schema) -> Schema:
    """The same schema, refusing every field that it does not name.

    Fields are left open where the schema says so (`x-kubernetes-preserve-unknown-fields`,
    `additionalProperties`) or names none; `metadata` of a whole object is checked by Kubernetes itself.
    """
    if "$ref" in schema:
        return schema
    result = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    result.pop("nullable", None)
    for key in ("properties", "$defs", "patternProperties"):
        if key in result:
            result[key] = {name: closed(each) for name, each in result[key].items()}
    for key in ("items", "additionalProperties", "not"):
        if isinstance(result.get(key), dict):
            result[key] = closed(result[key])
    if "anyOf" in result:
        # In OpenAPI they narrow what `properties` beside them allows, and name no fields of their own.
        result["anyOf"] = [closed(each) if "properties" not in result else each for each in result["anyOf"]]
    if schema.get("x-kubernetes-int-or-string"):
        result.pop("type", None)
        result.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    if _embeds_object(schema) and "properties" in result:
        for name, type_ in (("apiVersion", "string"), ("kind", "string"), ("metadata", "object")):
            result["properties"].setdefault(name, {"type": type_})
    open_ = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if result.get("properties") and not open_:
        result["additionalProperties"] = False
    if schema.get("nullable"):
        return {"anyOf": [result, {"type": "null"}]}
    return result


def _embeds_object(schema: Schema) -> bool:
    return bool(schema.get("x-kubernetes-embedded-resource"))
