"""Files of queries that a model is asked and never trained on, each with the targets that count as right.

The layout is that of the development queries: `queries` lists entries of `level`, `target`, `q` and perhaps
`accept`. `target` is a target's key such as `building.gain`, or `off_topic`; `accept` lists keys that count
as right too.
"""

from dataclasses import dataclass
from typing import Any

import yaml

from reasoncd.errors import CorruptDataError
from reasoncd.ontology import TARGET_BY_KEY, Target
from training.strict_yaml import StrictLoader

_OFF_TOPIC = "off_topic"
_TEXTS = ("level", "target", "q")
_FIELDS = frozenset({*_TEXTS, "accept"})


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedQuery:
    """One query and what counts as a right answer."""

    level: str
    query: str
    accept: tuple[Target, ...]
    """The target first, then what counts as right too; empty for an off-topic query."""


def parse_queries(data: bytes, *, where: str) -> tuple[AskedQuery, ...]:
    """The queries of a file's bytes.

    Args:
        data: YAML.
        where: named in errors.

    Raises:
        CorruptDataError: they are no such file; the message names the entry.
    """
    try:
        content = yaml.load(data, Loader=StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise CorruptDataError(f"{where} is no YAML; mend it or name another file of queries") from error
    entries = content.get("queries") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise CorruptDataError(f"{where} holds no list `queries` of entries with level, target and q; add it")
    return tuple(_parsed(entry, f"{where}: query {number}") for number, entry in enumerate(entries, 1))


def _parsed(entry: Any, where: str) -> AskedQuery:
    if not isinstance(entry, dict) or not set(_TEXTS) <= entry.keys() <= _FIELDS:
        raise CorruptDataError(f"{where} needs level, target and q, perhaps accept, and nothing else")
    for name in _TEXTS:
        if not isinstance(entry[name], str) or not entry[name].strip():
            raise CorruptDataError(f"{where} has {entry[name]!r} as its {name}; give a text")
    others = entry.get("accept", [])
    if not isinstance(others, list):
        raise CorruptDataError(f"{where} accepts {others!r}; give a list of targets such as [building.gain]")
    keys = [entry["target"], *others]
    accept = () if keys == [_OFF_TOPIC] else tuple(dict.fromkeys(_target(key, where) for key in keys))
    return AskedQuery(level=entry["level"], query=entry["q"], accept=accept)


def _target(key: Any, where: str) -> Target:
    target = TARGET_BY_KEY.get(key) if isinstance(key, str) else None
    if target is None:
        raise CorruptDataError(f"{where} names the target {key!r}, which the ontology does not have")
    return target
