"""Configurations survive JSON unchanged, and every wrong value is named."""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest

from reasoncd.config import from_dict, parse_json, read_json, to_dict, write_json
from reasoncd.errors import CheckpointError, InvalidInputError, NotFoundError


class Shade(StrEnum):
    DARK = "dark"
    LIGHT = "light"


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapter:
    rank: int
    targets: tuple[str, ...] = ("q_proj", "v_proj")

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank {self.rank} is below 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    kind: Literal["small", "large"]
    size: tuple[int, int]
    adapter: Adapter
    levels: tuple[Adapter, ...] = ()
    rate: float = 0.5
    shade: Shade = Shade.DARK
    limit: int | None = None
    names: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.size[0] != self.size[1]:
            raise InvalidInputError(f"size {self.size} is not square")


MODEL = Model(
    kind="large",
    size=(8, 8),
    adapter=Adapter(rank=4, targets=("q_proj",)),
    levels=(Adapter(rank=1), Adapter(rank=2)),
    rate=0.1,
    shade=Shade.LIGHT,
    limit=3,
    names={"a": 1},
)


def test_round_trip_through_json_text() -> None:
    text = json.dumps(to_dict(MODEL))
    again = from_dict(Model, json.loads(text), where="x")
    assert again == MODEL
    assert isinstance(again.levels, tuple)
    assert isinstance(again.levels[0].targets, tuple)
    assert again.shade is Shade.LIGHT


def test_dict_holds_json_values_and_defaults_only() -> None:
    small = Model(kind="small", size=(1, 1), adapter=Adapter(rank=1))
    assert to_dict(small) == {
        "kind": "small",
        "size": [1, 1],
        "adapter": {"rank": 1, "targets": ["q_proj", "v_proj"]},
        "levels": [],
        "rate": 0.5,
        "shade": "dark",
        "limit": None,
        "names": {},
    }


def test_defaults_fill_absent_fields() -> None:
    built = from_dict(Model, {"kind": "small", "size": [2, 2], "adapter": {"rank": 1}}, where="x")
    assert built == Model(kind="small", size=(2, 2), adapter=Adapter(rank=1))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"colour": 1}, "`colour` is unknown"),
        ({"adapter": {"rank": 4, "rang": 1}}, "`adapter.rang` is unknown"),
        ({"adapter": {}}, "`adapter.rank` is missing"),
        ({"adapter": {"rank": "4"}}, "`adapter.rank`"),
        ({"adapter": {"rank": 4.5}}, "`adapter.rank`"),
        ({"adapter": {"rank": True}}, "`adapter.rank`"),
        ({"adapter": {"rank": 0}}, "`adapter`: rank 0 is below 1"),
        ({"levels": [{"rank": 1}, {"rank": 0}]}, "`levels.1`: rank 0"),
        ({"kind": "huge"}, "`kind`"),
        ({"size": [1, 2, 3]}, "`size"),
        ({"size": [1, 2]}, "size (1, 2) is not square"),
        ({"rate": "0.5"}, "`rate`"),
        ({"rate": float("nan")}, "`rate`"),
        ({"shade": "grey"}, "`shade`"),
        ({"names": {"a": "b"}}, "`names.a`"),
    ],
)
def test_wrong_values_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        from_dict(Model, to_dict(MODEL) | changes, where="config.json: model")
    assert named in caught.value.message
    assert caught.value.message.startswith("config.json: model: ")
    assert "\n" not in caught.value.message


def test_many_errors_stay_one_sentence() -> None:
    with pytest.raises(CheckpointError, match=r"and 2 more$"):
        from_dict(Model, {"a": 1, "b": 2, **dict.fromkeys(("kind", "size", "adapter"))}, where="x")


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(CheckpointError, match="what JSON cannot"):
        from_dict(Model, {"kind": object()}, where="x")


def test_files_round_trip_byte_for_byte(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", to_dict(MODEL))
    write_json(tmp_path / "b.json", read_json(tmp_path / "a.json"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none\.json"):
        read_json(tmp_path / "none.json")


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b'{"a": 1, "a": 2}', b'{"a": NaN}', b'{"a": "\xff"}', b'{"a":' + b"[" * 10**6],
    ids=["empty", "list", "truncated", "twice", "nan", "not-utf8", "deep"],
)
def test_bad_json_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(data)
    (tmp_path / "bad.json").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"bad\.json is not valid JSON"):
        read_json(tmp_path / "bad.json")


def test_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(CheckpointError, match=r"huge\.json has 1073741824 bytes"):
        read_json(tmp_path / "huge.json")
