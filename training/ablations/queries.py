"""The queries that text arms are asked, and which target an answer names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reasoncd.errors import CorruptDataError, NotFoundError
from reasoncd.ontology import TARGET_BY_KEY, TARGETS, Target
from services.reasoner.tokens import ReasonerTokenizer

_OFF_TOPIC = "off_topic"
_LAYOUT = "a mapping with a list `queries` of entries with level, target and q, perhaps accept"
_LONGEST_FIRST = sorted(TARGETS, key=lambda target: -len(target.words))


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedQuery:
    """One query and what counts as a right answer."""

    level: str
    query: str
    accept: tuple[Target, ...]
    """Empty for an off-topic query."""


def load_queries(path: Path) -> tuple[AskedQuery, ...]:
    """Read a YAML file laid out like the development queries.

    Raises:
        NotFoundError: there is no such file.
        CorruptDataError: it is no such file; the message names the entry.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read; name a YAML file of queries with --queries") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CorruptDataError(f"{path} is no YAML; mend it or name another file with --queries") from error
    entries = content.get("queries") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise CorruptDataError(f"{path} holds no queries; give {_LAYOUT}")
    return tuple(_parsed(entry, f"{path}: query {number}") for number, entry in enumerate(entries, 1))


def _parsed(entry: Any, where: str) -> AskedQuery:
    if not isinstance(entry, dict) or not {"level", "target", "q"} <= entry.keys():
        raise CorruptDataError(f"{where} lacks level, target or q; add it")
    keys = [str(entry["target"]), *map(str, entry.get("accept") or ())]
    keys = [] if keys == [_OFF_TOPIC] else keys
    if unknown := [key for key in keys if key not in TARGET_BY_KEY]:
        raise CorruptDataError(f"{where} names the target {unknown[0]!r}, which the ontology does not have")
    accept = tuple(dict.fromkeys(TARGET_BY_KEY[key] for key in keys))
    return AskedQuery(level=str(entry["level"]), query=str(entry["q"]), accept=accept)


def named_target(tokenizer: ReasonerTokenizer, ids: Sequence[int], *, decided: bool = False) -> Target | None:
    """The target named right before the `<SEG>` that counts, wherever the reason stands; None where none is.

    Args:
        tokenizer: of the reasoner.
        ids: of an answer.
        decided: it was decided in a turn of its own, which then ends the answer: the last `<SEG>` counts,
            else the first.
    """
    places = [place for place, token in enumerate(ids) if token == tokenizer.seg_id]
    if not places:
        return None
    claim = tokenizer.visible(ids[: places[-1 if decided else 0]]).casefold()
    return next((t for t in _LONGEST_FIRST if claim.endswith(t.words.casefold())), None)
