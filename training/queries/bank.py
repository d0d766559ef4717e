"""The phrase bank: hand-written wordings of every target, in YAML beside this file.

`phrases/<target>.yaml` holds implicit phrases by cause family, some with a reason; `off_topic.yaml`
what is no question about land cover; `synonyms.yaml` explicit wordings that name class and
direction. Nothing here is ever put together from slots but the plain explicit queries.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from reasoncd.errors import CorruptDataError
from reasoncd.ontology import PLURAL, TARGET_BY_KEY, Target

FOLDER = Path(__file__).parent / "phrases"
_OFF_TOPIC = "off_topic"
_SYNONYMS = "synonyms"


@dataclass(frozen=True, kw_only=True, slots=True)
class Phrase:
    """One hand-written wording."""

    query: str
    why: str | None
    """One or two sentences that lead from the phrase to its target; None where none was written."""
    family: str
    """The cause that the phrase speaks of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PhraseBank:
    """All phrases, by what they mean."""

    implicit: Mapping[str, tuple[Phrase, ...]]
    """Target key -> phrases that never name the class."""
    synonyms: Mapping[str, tuple[str, ...]]
    """Target key -> explicit wordings."""
    off_topic: tuple[Phrase, ...]
    """Lines that no map of land cover can answer."""


def phrases_sha256(folder: Path = FOLDER) -> str:
    """Hex SHA-256 over the names and contents of the bank's files, in order."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.yaml")):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)};".encode() + content)
    return digest.hexdigest()


@cache
def load_phrases(folder: Path = FOLDER) -> PhraseBank:
    """Read and check every file of the bank.

    Raises:
        CorruptDataError: a file does not parse, names an unknown target, or repeats a phrase.
    """
    implicit: dict[str, tuple[Phrase, ...]] = {}
    off_topic: tuple[Phrase, ...] = ()
    synonyms: dict[str, tuple[str, ...]] = {}
    seen: dict[str, str] = {}
    for path in sorted(folder.glob("*.yaml")):
        content = _mapping(path)
        if path.stem == _SYNONYMS:
            synonyms = {_known(key, path): tuple(map(str, lines)) for key, lines in content.items()}
            continue
        phrases = _phrases(path, content)
        for phrase in phrases:
            other = seen.setdefault(phrase.query.casefold(), path.name)
            if other != path.name:
                raise CorruptDataError(f"{path}: {phrase.query!r} stands in {other} too; keep one of them")
        if content["target"] == _OFF_TOPIC:
            off_topic = phrases
        else:
            implicit[_known(content["target"], path)] = phrases
    return PhraseBank(implicit=implicit, synonyms=synonyms, off_topic=off_topic)


def explicit_queries(target: Target) -> tuple[str, ...]:
    """The plainest wordings of a target, which name it outright.

    Class and direction, or the class alone where any change is meant (level E0); both classes of a
    transition (level T).
    """
    name = PLURAL[target.cls]
    if target.to is not None:
        later = PLURAL[target.to]
        return (
            f"{name} to {later}",
            f"{name} that became {later}",
            f"{name} replaced by {later}",
            f"from {name} to {later}",
        )
    singular = target.cls.replace("_", " ")
    return {
        "gain": (f"new {name}", f"{singular} gain", f"gained {name}"),
        "loss": (f"lost {name}", f"{singular} loss", f"removed {name}"),
        "change": (singular, f"changed {name}", f"{singular} change", name),
    }[target.direction]


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise CorruptDataError(f"{path} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise CorruptDataError(f"{path} holds no mapping; see the other files of the phrase bank")
    return content


def _phrases(path: Path, content: dict[str, Any]) -> tuple[Phrase, ...]:
    if set(content) != {"target", "families"}:
        raise CorruptDataError(f"{path} needs the entries `target` and `families` and no others")
    found: list[Phrase] = []
    for family, entries in content["families"].items():
        for entry in entries:
            if not isinstance(entry, dict) or not set(entry) <= {"q", "why"} or "q" not in entry:
                raise CorruptDataError(f"{path}: {entry!r} is no phrase; write `q` and perhaps `why`")
            found.append(Phrase(query=str(entry["q"]), why=entry.get("why"), family=str(family)))
    repeated = {p.query.casefold() for p in found}
    if len(repeated) != len(found):
        raise CorruptDataError(f"{path} repeats a phrase; keep each once")
    return tuple(found)


def _known(key: str, path: Path) -> str:
    if key not in TARGET_BY_KEY:
        raise CorruptDataError(f"{path} names the target {key!r}, which the ontology does not have")
    return key
