"""The queries on which choices are made, so that the held-out ones stay unseen.

Like the held-out queries they are kept out of training, but whoever tunes a model may look at them as often
as they like: runs on them are not counted, and their figures prove nothing.
"""

import hashlib
from pathlib import Path
from typing import Any

import yaml

from benchmarks.queries.held_out import HeldOutQuery, HeldOutSet
from reasoncd.errors import CorruptDataError, NotFoundError
from reasoncd.ontology import TARGET_BY_KEY, Target

DEVELOPMENT_FILE = Path(__file__).parent / "development.yaml"
_OFF_TOPIC = "off_topic"
_FIELDS = frozenset({"level", "target", "accept", "q"})


def load_development(path: Path = DEVELOPMENT_FILE) -> HeldOutSet:
    """Read a YAML file with `queries`: entries of `level`, `target`, `q` and perhaps `accept`.

    `target` is a target's key such as `building.gain`, or `off_topic`; `accept` lists keys that count as
    right too.

    Raises:
        NotFoundError: there is no such file.
        CorruptDataError: it is no such file; the message names the entry.
    """
    if not path.is_file():
        raise NotFoundError(f"{path} is not there; name a YAML file of queries")
    data = path.read_bytes()
    try:
        content = yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise CorruptDataError(f"{path} is no YAML; mend it or name another file of queries") from error
    entries = content.get("queries") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise CorruptDataError(f"{path} holds no list `queries`; see {DEVELOPMENT_FILE.name} for the layout")
    queries = tuple(_parsed(entry, f"{path}: query {number}") for number, entry in enumerate(entries, 1))
    return HeldOutSet(queries=queries, sha256=hashlib.sha256(data).hexdigest())


def _parsed(entry: Any, where: str) -> HeldOutQuery:
    if not isinstance(entry, dict) or not {"level", "target", "q"} <= entry.keys() <= _FIELDS:
        raise CorruptDataError(f"{where} needs level, target and q, perhaps accept, and nothing else")
    keys = [entry["target"], *(entry.get("accept") or ())]
    accept = () if keys == [_OFF_TOPIC] else tuple(dict.fromkeys(_target(key, where) for key in keys))
    return HeldOutQuery(level=str(entry["level"]), query=str(entry["q"]), accept=accept)


def _target(key: Any, where: str) -> Target:
    target = TARGET_BY_KEY.get(str(key))
    if target is None:
        raise CorruptDataError(f"{where} names the target {key!r}, which the ontology does not have")
    return target
