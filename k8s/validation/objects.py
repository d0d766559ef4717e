"""Kubernetes objects as plain data, and what is said about them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""One object as YAML gives it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something that must not be applied."""

    where: str
    """The object, as `Kind/name`."""
    what: str
    """What is wrong with which field, in a sentence."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def title(object_: Object) -> str:
    """`Kind/name`."""
    return f"{object_.get('kind')}/{object_.get('metadata', {}).get('name')}"


def of_kind(objects: Iterable[Object], *kinds: str) -> Iterator[Object]:
    """The objects of these kinds, in their order."""
    return (each for each in objects if each.get("kind") in kinds)


def label_selected(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    """Whether a label selector takes these labels; an empty selector takes all, None takes nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_expression_holds(each, labels) for each in selector.get("matchExpressions", []))


def _expression_holds(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None
