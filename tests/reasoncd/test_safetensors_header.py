"""Safetensors headers: what the library writes is read, and everything else is refused by name."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from reasoncd.errors import CheckpointError
from reasoncd.safetensors_header import TensorInfo, read_header


def write(path: Path, header: Any, data: bytes, *, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(begin: int, end: int, shape: list[Any] | None = None, dtype: str = "F32") -> dict[str, Any]:
    shape = [(end - begin) // 4] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_reads_what_the_library_writes(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    arrays: dict[str, np.ndarray] = {
        "a": np.zeros((2, 3), np.float32),
        "b": np.ones((), np.int64),
        "c": np.zeros((0, 4), np.float16),
    }
    save_file(arrays, path, metadata={"format": "np"})
    header = read_header(path)
    assert header.keys() == arrays.keys()
    assert {name: info.shape for name, info in header.items()} == {n: a.shape for n, a in arrays.items()}
    assert (header["a"].dtype, header["b"].dtype, header["c"].dtype) == ("F32", "I64", "F16")


def test_handmade_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "w.safetensors", {"x": entry(0, 8), "y": entry(8, 12, [])}, bytes(12))
    assert read_header(path) == {
        "x": TensorInfo(dtype="F32", shape=(2,), begin=0, end=8),
        "y": TensorInfo(dtype="F32", shape=(), begin=8, end=12),
    }


def test_a_pickle_is_refused_unopened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    path = tmp_path / "weights.safetensors"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps([Bomb(), bytes(10_000)], protocol=protocol))
        with pytest.raises(CheckpointError, match=r"weights\.safetensors is not a safetensors file"):
            read_header(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("header", "size", "why"),
    [
        (b"[]", 0, "not an object"),
        (b"{nonsense", 0, "not JSON"),
        (b'{"a":1,"a":1}', 0, "twice"),
        ({"x": entry(0, 8)}, 4, "end at byte 8 of 4"),
        ({"x": entry(0, 8)}, 12, "end at byte 8 of 12"),
        ({"x": entry(4, 8)}, 8, "'x' begins at byte 4 instead of 0"),
        ({"x": entry(0, 8), "y": entry(4, 12)}, 12, "'y' begins at byte 4 instead of 8"),
        ({"x": entry(0, 8, [3])}, 8, "'x' has 8 bytes instead of the 12"),
        ({"x": entry(0, 8, [-2])}, 8, "'x' is malformed"),
        ({"x": entry(0, 8, [True, 2])}, 8, "'x' is malformed"),
        ({"x": entry(0, 8, [2.0])}, 8, "'x' is malformed"),
        ({"x": entry(0, 8, dtype="OBJECT")}, 8, "'x' is malformed"),
        ({"x": {"dtype": "F32", "shape": [2]}}, 8, "'x' is malformed"),
        ({"x": entry(0, 8) | {"code": "1"}}, 8, "'x' is malformed"),
        ({"x": [1, 2]}, 8, "'x' is malformed"),
    ],
)
def test_malformed_headers(tmp_path: Path, header: Any, size: int, why: str) -> None:
    path = write(tmp_path / "bad.safetensors", header, bytes(size))
    with pytest.raises(CheckpointError) as caught:
        read_header(path)
    assert f"{path} is not a safetensors file" in caught.value.message
    assert why in caught.value.message


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\x00" * 8, b"\xff" * 64], ids=repr)
def test_wrong_lengths(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="claim a header of"):
        read_header(path)


def test_header_longer_than_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.safetensors", {"x": entry(0, 8)}, bytes(8), length=10_000)
    with pytest.raises(CheckpointError, match="claim a header of 10000 bytes"):
        read_header(path)
