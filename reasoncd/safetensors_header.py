"""What a safetensors file says of itself, checked without loading a weight.

The layout: eight bytes with the header's length (little-endian), the header as a JSON object,
then the data. Each tensor has a dtype, a shape and a range of bytes in the data; the ranges
cover the data without gap or overlap. A pickle under another name fails here, unopened.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from reasoncd.config import MAX_JSON_BYTES, parse_json
from reasoncd.errors import CheckpointError

_BYTES = {
    **dict.fromkeys(("BOOL", "I8", "U8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64"), 8),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorInfo:
    """One tensor as the header describes it."""

    dtype: str
    """In safetensors' spelling: `BF16`, `F32`, `I64` ..."""
    shape: tuple[int, ...]
    begin: int
    """First byte, counted from the start of the data."""
    end: int


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Read and check the header of a safetensors file.

    Returns:
        Each tensor by its name, in the order of the header.

    Raises:
        CheckpointError: the file is not a well-formed safetensors file; the sentence names it.
    """
    try:
        with path.open("rb") as file:
            total = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(total - 8, MAX_JSON_BYTES):
                raise _refused(path, f"its first bytes claim a header of {length} bytes in a file of {total}")
            header = parse_json(file.read(length))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _refused(path, f"its header is not JSON: {error}") from error
    header.pop("__metadata__", None)
    tensors = {name: _tensor_info(path, name, entry) for name, entry in header.items()}
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != position:
            raise _refused(path, f"tensor {name!r} begins at byte {tensor.begin} instead of {position}")
        position = tensor.end
    if position != total - 8 - length:
        raise _refused(path, f"its tensors end at byte {position} of {total - 8 - length} bytes of data")
    return tensors


def _tensor_info(path: Path, name: str, entry: object) -> TensorInfo:
    # Written by hand instead of through `config`: a large model's header has thousands of these.
    try:
        if not isinstance(entry, dict):
            raise TypeError
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [*shape, begin, end]
        if len(entry) != 3 or not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError
        size = _BYTES[dtype] * prod(shape)
    except (TypeError, KeyError, ValueError) as error:
        raise _refused(path, f"its header's entry of tensor {name!r} is malformed") from error
    if end - begin != size:
        raise _refused(path, f"tensor {name!r} has {end - begin} bytes instead of the {size} of its shape")
    return TensorInfo(dtype=dtype, shape=tuple(shape), begin=begin, end=end)


def _refused(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{path} is not a safetensors file: {why}; export it again")
