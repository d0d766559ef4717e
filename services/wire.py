"""Conversion between the wire's `Tensor` and torch tensors, bfloat16 included.

The only place where a service turns bytes into torch and back; it checks dtypes and finiteness so
that no engine has to.
"""

import sys

import numpy as np
import torch

from reasoncd.errors import InvalidInputError
from reasoncd.tensors import DType, Tensor

_TORCH_BY_NAME: dict[str, torch.dtype] = {
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "uint8": torch.uint8,
    "int64": torch.int64,
}
_NAME_BY_TORCH: dict[torch.dtype, DType] = {
    torch.bfloat16: "bfloat16",
    torch.float32: "float32",
    torch.uint8: "uint8",
    torch.int64: "int64",
}

# Bytes are copied as they are: the wire is little-endian, and so is every host that torch is built for.
assert sys.byteorder == "little"


def to_torch(tensor: Tensor, *, device: torch.device | str = "cpu", name: str = "tensor") -> torch.Tensor:
    """Copy a wire tensor into torch.

    Args:
        tensor: any dtype that may cross a port.
        device: where the result lives.
        name: what the tensor is called in an error message.

    Returns:
        Tensor of the same shape and dtype (bfloat16 stays bfloat16), contiguous, writable.

    Raises:
        InvalidInputError: a floating tensor holds NaN or infinity.
    """
    dtype = _TORCH_BY_NAME[tensor.dtype]
    # torch.frombuffer refuses empty buffers; a writable copy avoids aliasing immutable bytes.
    flat = (
        torch.frombuffer(bytearray(tensor.data), dtype=dtype) if tensor.data else torch.empty(0, dtype=dtype)
    )
    if dtype.is_floating_point and not bool(torch.isfinite(flat).all()):
        raise InvalidInputError(f"{name} holds NaN or infinite values; send finite features")
    return flat.reshape(tensor.shape).to(device)


def from_torch(tensor: torch.Tensor) -> Tensor:
    """Copy a torch tensor into its wire form.

    Args:
        tensor: bfloat16, float32, uint8 or int64, on any device.

    Raises:
        InvalidInputError: the tensor has another dtype.
    """
    name = _NAME_BY_TORCH.get(tensor.dtype)
    if name is None:
        known = ", ".join(_TORCH_BY_NAME)
        raise InvalidInputError(
            f"tensor dtype {tensor.dtype} cannot cross a port; convert it to one of {known}"
        )
    host = tensor.detach().cpu().contiguous()
    # numpy lacks bfloat16, and refuses to view 0-d tensors as bytes: flatten, then reinterpret.
    raw = host.reshape(-1).view(torch.uint8).numpy()
    return Tensor(dtype=name, shape=tuple(host.shape), data=np.ascontiguousarray(raw).tobytes())
