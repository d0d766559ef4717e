"""Configurations as JSON: frozen dataclasses to plain dicts and back, with nothing lost or guessed.

Reading is strict: an unknown field, a missing field without a default, a value of another
type, or a value that the dataclass itself refuses in `__post_init__` is an error that names
the field. This module knows no particular configuration.
"""

import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from reasoncd.errors import CheckpointError, NotFoundError, ReasonCDError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)
else:
    T = TypeVar("T")

MAX_JSON_BYTES = 16 * 2**20
"""A configuration or manifest larger than this is not one."""

_SHOWN_ERRORS = 3
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, ser_json_inf_nan="constants")


@lru_cache(maxsize=64)
def _adapter(cls: type[T]) -> TypeAdapter[dict[str, T]]:
    # Pydantic takes no configuration for a bare dataclass; inside a container the
    # container's configuration holds for it and for the dataclasses nested in it.
    return TypeAdapter(dict[str, cls], config=_STRICT)  # type: ignore[valid-type]


def to_dict(cfg: "DataclassInstance") -> dict[str, Any]:
    """The configuration as a dict of JSON values (tuples become lists).

    Args:
        cfg: a dataclass instance; its fields are JSON scalars, tuples, dicts, enums or dataclasses.

    Returns:
        A new dict with every field, defaults included, in the order of declaration.
    """
    dumped: dict[str, Any] = _adapter(type(cfg)).dump_python({"": cfg}, mode="json")[""]
    return dumped


def from_dict(cls: type[T], mapping: Mapping[str, Any], *, where: str) -> T:
    """Build a configuration from JSON values.

    Args:
        cls: the dataclass to build.
        mapping: its fields, nested dataclasses as mappings and tuples as lists.
        where: where the values stand, for the error: "config.json: reasoner".

    Raises:
        CheckpointError: a field is unknown, missing, of the wrong type or refused by its dataclass.
    """
    try:
        text = json.dumps({"": mapping})
        # Strict JSON mode: a list may be a tuple and an integer a float, but "8" is no integer.
        built: T = _adapter(cls).validate_json(text)[""]
    except ValidationError as error:
        raise CheckpointError(f"{where}: {_sentence(error)}") from error
    except ReasonCDError as error:
        raise CheckpointError(f"{where}: {error.message}") from error
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{where} holds what JSON cannot: {error}") from error
    return built


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        NotFoundError: there is no such file.
        CheckpointError: it is not UTF-8 JSON, not an object, names a key twice, or is far too large.
    """
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise CheckpointError(f"{path} has {size} bytes; at most {MAX_JSON_BYTES} are read")
        value = parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} is not there; check the path") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); write it again") from error
    return value


def parse_json(data: bytes) -> dict[str, Any]:
    """Parse one JSON object; duplicate keys, NaN and infinities are refused.

    Raises:
        ValueError: the bytes are not such an object.
    """
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object so that equal values give equal bytes on every platform.

    The file appears complete or not at all, and replaces the one before in one step.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(text.encode() + b"\n")
    part.replace(path)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(n for n in names if names.count(n) > 1)!r} stands twice")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _sentence(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    parts = []
    for problem in problems[:_SHOWN_ERRORS]:
        # The first part of a location is the empty key of the container.
        field = ".".join(str(part) for part in problem["loc"][1:]) or "(all)"
        if problem["type"] == "unexpected_keyword_argument":
            parts.append(f"field `{field}` is unknown")
        elif problem["type"] == "missing":
            parts.append(f"field `{field}` is missing")
        else:
            said = re.sub(r"^(Value error|Assertion failed), ", "", problem["msg"])
            parts.append(f"field `{field}`: {said}")
    rest = len(problems) - len(parts)
    return "; ".join(parts) + (f"; and {rest} more" if rest else "")
