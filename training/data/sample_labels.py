"""What a sample's question means, beside its words: class, direction and level, as fields of the JSON.

`class` and `direction` (and `to` for transitions) name a target of the ontology. `level` names the question
in the terms of the accuracy protocol: E0 class and direction in plain words, E1 a synonym, I1-I3 an
implicit phrase, T a transition; N0 asks for a class that is in neither image, N1 for one that did not
change, N2 for the wrong direction, N3 is off topic. A field that nobody knows is null or left out.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from reasoncd.errors import InvalidInputError
from reasoncd.ontology import TARGET_BY_KEY, TARGETS, Target

Level = Literal["E0", "E1", "I1", "I2", "I3", "T", "N0", "N1", "N2", "N3"]
LEVELS: tuple[Level, ...] = get_args(Level)

LABEL_FIELDS = ("class", "direction", "to", "level")
_CLASSES = tuple(dict.fromkeys(t.cls for t in TARGETS))


def label_fields(target: Target | None, level: Level | None) -> dict[str, str | None]:
    """The JSON fields of a sample: `class`, `direction`, `level`, and `to` where it is a transition."""
    fields: dict[str, str | None] = {
        "class": target.cls if target else None,
        "direction": target.direction if target else None,
    }
    if target is not None and target.to is not None:
        fields["to"] = target.to
    return {**fields, "level": level}


def read_label(entry: Mapping[str, Any], origin: str) -> tuple[Target | None, Level | None]:
    """The target and the level of a JSON entry, each None where it says nothing.

    Args:
        entry: one sample as JSON gave it.
        origin: names it in a message.

    Raises:
        InvalidInputError: a field holds what neither the ontology nor the protocol has.
    """
    cls, direction, to = (entry.get(name) for name in ("class", "direction", "to"))
    level = entry.get("level")
    if level is not None and level not in LEVELS:
        raise InvalidInputError(
            f"{origin}: level is {level!r}; give one of {', '.join(LEVELS)} or leave it out"
        )
    if cls is None:
        if direction is not None or to is not None:
            raise InvalidInputError(f"{origin}: class is missing beside direction; add it or remove both")
        return None, level
    if cls not in _CLASSES:
        raise InvalidInputError(
            f"{origin}: class is {cls!r}; give one of {', '.join(_CLASSES)} or leave it out"
        )
    key = f"{cls}>{to}" if direction == "transition" else f"{cls}.{direction}"
    if key not in TARGET_BY_KEY or (to is not None and direction != "transition"):
        raise InvalidInputError(
            f"{origin}: direction is {direction!r} and to is {to!r}; give gain, loss or change without `to`, "
            "or transition with another main class in `to`"
        )
    return TARGET_BY_KEY[key], level
