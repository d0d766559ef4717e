"""YAML as people expect it, for the files that they write: recipes, and what labels mean."""

import re
from collections.abc import Hashable
from typing import Any

import yaml


class StrictLoader(yaml.SafeLoader):
    """A SafeLoader for which a field stands once, and 5e-5 is a number.

    Whatever it cannot read is a `yaml.MarkedYAMLError`.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError) as error:
            # PyYAML's own for 2001-99-99, `!!bool 3` and `!!timestamp 3`, in this order.
            raise yaml.MarkedYAMLError(
                problem=f"`{node.value}` looks like a date or number and is none",
                problem_mark=node.start_mark,
            ) from error


def _without_duplicates(loader: StrictLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[Hashable] = set()
    for key, _ in node.value:
        name = loader.construct_object(key)
        if not isinstance(name, Hashable):
            raise yaml.MarkedYAMLError(
                problem="a list or a mapping is no name of a field", problem_mark=key.start_mark
            )
        if name in seen:
            raise yaml.MarkedYAMLError(problem=f"field `{name}` stands twice", problem_mark=key.start_mark)
        seen.add(name)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node)


StrictLoader.add_constructor("tag:yaml.org,2002:map", _without_duplicates)
# YAML 1.1, which PyYAML reads, wants a point and a sign in 5.0e-5; without them it would be a text.
StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
