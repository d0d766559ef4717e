"""The tensor that crosses a port: dtype, shape and little-endian C-order bytes.

Features travel as bfloat16, which numpy lacks; so the container keeps opaque bytes and
each side converts with its own library. A gateway can store and forward it without torch.
"""

import hashlib
from dataclasses import dataclass
from math import prod
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError

DType = Literal["bfloat16", "float32", "uint8", "int64"]

ITEM_SIZE: dict[str, int] = {"bfloat16": 2, "float32": 4, "uint8": 1, "int64": 8}
"""Bytes of one element of each dtype that may cross a port."""

MAX_DIMENSIONS = 8
"""More than any tensor here has."""
_MAX_ELEMENTS = 2**48


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """An immutable tensor in its wire form.

    Raises:
        InvalidInputError: unknown dtype, a negative dimension, too many of them or too large ones, or a
            number of bytes that does not follow from dtype and shape.
    """

    dtype: DType
    shape: tuple[int, ...]
    data: bytes
    """Little-endian, C order."""

    def __post_init__(self) -> None:
        if self.dtype not in ITEM_SIZE:
            known = ", ".join(ITEM_SIZE)
            raise InvalidInputError(f"tensor dtype {self.dtype!r} is unknown; use one of {known}")
        # Before anything is multiplied: a hostile shape may have millions of dimensions.
        if len(self.shape) > MAX_DIMENSIONS:
            raise InvalidInputError(f"tensor has {len(self.shape)} dimensions; send at most {MAX_DIMENSIONS}")
        if any(n < 0 for n in self.shape):
            raise InvalidInputError(f"tensor shape {self.shape} has a negative dimension")
        # Without elements every shape has as many bytes, but not every shape is an array.
        if prod(max(n, 1) for n in self.shape) > _MAX_ELEMENTS:
            raise InvalidInputError(f"tensor shape {self.shape} is larger than any memory; send less")
        expected = prod(self.shape) * ITEM_SIZE[self.dtype]
        if len(self.data) != expected:
            raise InvalidInputError(
                f"tensor holds {len(self.data)} bytes but {self.dtype} of shape {self.shape} "
                f"takes {expected}; send the bytes that belong to the shape"
            )

    @property
    def digest(self) -> str:
        """SHA-256 over dtype, shape and bytes, in hex: equal digests mean equal tensors."""
        head = f"{self.dtype}{self.shape}".encode()
        return hashlib.sha256(head + self.data).hexdigest()

    def numpy(self) -> NDArray[np.generic]:
        """The values as a read-only array; bfloat16 is widened to float32 (exactly).

        Returns:
            Array of `shape`; float32 for bfloat16, else the dtype's own.
        """
        if self.dtype == "bfloat16":
            upper = np.frombuffer(self.data, dtype="<u2").astype("<u4") << 16
            return upper.view("<f4").reshape(self.shape)
        return np.frombuffer(self.data, dtype=np.dtype(self.dtype).newbyteorder("<")).reshape(self.shape)

    @classmethod
    def from_numpy(cls, array: NDArray[np.generic]) -> "Tensor":
        """Wrap a float32, uint8 or int64 array (bytes are copied).

        Raises:
            InvalidInputError: the array has another dtype.
        """
        name = array.dtype.name
        if name not in ("float32", "uint8", "int64"):
            raise InvalidInputError(f"array dtype {name} cannot cross a port; convert it first")
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        return cls(dtype=cast(DType, name), shape=array.shape, data=little.tobytes())
