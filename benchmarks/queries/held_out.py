"""Queries that are kept back from training, and the count of how often they were looked at.

Every run on them is written into a log that is kept with the source: a figure on held-out queries is worth
less each time a choice was made after seeing it.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reasoncd.errors import CorruptDataError, NotFoundError, OutputError
from reasoncd.ontology import CLASSES, TARGET_BY_KEY, Target
from training.queries.asked import AskedQuery


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutSet:
    """The queries of one file, which training has never seen."""

    queries: tuple[AskedQuery, ...]
    sha256: str
    """Of the file."""


def load_held_out(path: Path) -> HeldOutSet:
    """Read a JSON list of objects with level, cls, direction, query and, where wanted, accept.

    `accept` is a target or a list of targets, each as an object with cls and direction, as a list of the
    two, or as text such as `building.gain`. A line without cls is off-topic.

    Raises:
        NotFoundError: there is no such file.
        CorruptDataError: it is no such list; the message names the position, never the words.
    """
    if not path.is_file():
        raise NotFoundError(f"{path} is not there; name the file of held-out queries")
    data = path.read_bytes()
    try:
        lines = json.loads(data)
    except ValueError as error:
        raise CorruptDataError(f"{path} is no JSON; restore the file") from error
    if isinstance(lines, dict):
        lines = lines.get("queries")
    if not isinstance(lines, list):
        raise CorruptDataError(f"{path} holds no list of queries; see the accuracy protocol")
    queries = tuple(_parsed(line, f"{path}: query {number}") for number, line in enumerate(lines))
    return HeldOutSet(queries=queries, sha256=hashlib.sha256(data).hexdigest())


def log_run(log: Path, held_out: HeldOutSet, *, fingerprints: dict[str, str], pairs: int) -> int:
    """Add a run to the log, one JSON object a line.

    Returns:
        How many runs on these queries the log holds now, this one included.

    Raises:
        CorruptDataError: the log holds a line that is no run; nothing is added to it.
        OutputError: the log cannot be written.
    """
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "queries_sha256": held_out.sha256,
        "pairs": pairs,
        "fingerprints": fingerprints,
    }
    try:
        with log.open("a+", encoding="utf-8") as file:
            file.seek(0)
            before = file.read()
            logged = [_logged(line, f"{log}: line {n}") for n, line in enumerate(before.splitlines(), 1)]
            # An editor may have left the last line without its end.
            ended = "" if before.endswith("\n") or not before else "\n"
            file.write(f"{ended}{json.dumps(entry, sort_keys=True)}\n")
    except UnicodeDecodeError as error:
        raise CorruptDataError(f"{log} is no text; restore the log of runs") from error
    except OSError as error:
        raise OutputError(f"{log} cannot be written ({error.strerror}); make it a writable file") from error
    return logged.count(held_out.sha256) + 1


def _logged(line: str, where: str) -> str:
    """The hash of the queries that a line of the log tells of."""
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or not isinstance(entry.get("queries_sha256"), str):
        raise CorruptDataError(f"{where} tells of no run; restore the log, or mend that line")
    return str(entry["queries_sha256"])


def _parsed(line: Any, where: str) -> AskedQuery:
    if not isinstance(line, dict) or not {"level", "query"} <= line.keys():
        raise CorruptDataError(f"{where} needs level, cls, direction and query")
    if not all(isinstance(line[name], str) and line[name].strip() for name in ("level", "query")):
        raise CorruptDataError(f"{where} has a level or query that is no text; write it as one")
    accept: list[Target] = []
    if line.get("cls"):
        accept.append(_target((line["cls"], line.get("direction")), where))
        others = line.get("accept") or []
        if not isinstance(others, str | dict | list):
            raise CorruptDataError(f"{where} accepts what is no target and no list of targets; mend `accept`")
        is_one = isinstance(others, str | dict) or (len(others) == 2 and others[0] in CLASSES)
        accept += [_target(other, where) for other in ([others] if is_one else others)]
    # The same target named twice counts once.
    return AskedQuery(level=line["level"], query=line["query"], accept=tuple(dict.fromkeys(accept)))


def _target(named: Any, where: str) -> Target:
    if isinstance(named, dict):
        named = (named.get("cls"), named.get("direction"))
    if isinstance(named, str):
        match = re.fullmatch(rf"({'|'.join(CLASSES)})[^a-z]+(gain|loss|change)", named.strip().lower())
        key = f"{match[1]}.{match[2]}" if match else named
    elif isinstance(named, Sequence) and len(named) == 2:
        key = f"{named[0]}.{named[1] or 'change'}"
    else:
        key = "unreadable"
    target = TARGET_BY_KEY.get(key)
    if target is None:
        raise CorruptDataError(
            f"{where} names a target that the ontology does not have; mend class or direction"
        )
    return target
