"""YAML without its traps: a key that stands twice is an error, not the later of the two."""

from collections.abc import Hashable
from typing import Any

import yaml

from reasoncd.errors import InvalidInputError


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a list or a mapping is no key", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def load_all(text: str, *, where: str) -> list[Any]:
    """Every document of a text that is not empty.

    Args:
        text: YAML.
        where: named in errors.

    Raises:
        InvalidInputError: it is no YAML, or a key stands twice.
    """
    try:
        # A SafeLoader with one more check.
        return [each for each in yaml.load_all(text, Loader=_Loader) if each is not None]
    except (yaml.YAMLError, ValueError) as error:
        # A ValueError is PyYAML's own for what looks like a date and is none.
        raise InvalidInputError(f"{where} is no usable YAML: {' '.join(str(error).split())}") from None
