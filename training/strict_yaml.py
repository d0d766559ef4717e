"""YAML as people expect it, for the files that they write: recipes, and what labels mean."""

import re
from collections.abc import Hashable
from typing import Any

import yaml


class StrictLoader(yaml.SafeLoader):
    """A SafeLoader for which a field stands once, and 5e-5 is a number."""


def _without_duplicates(loader: StrictLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[Hashable] = set()
    for key, _ in node.value:
        name = loader.construct_object(key)
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
