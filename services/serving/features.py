"""The message `Features`, read: the features themselves, or the digest of some that were sent before."""

import re

import numpy as np

from reasoncd.errors import InvalidInputError
from reasoncd.rpc.tensors import tensor_from_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import features_pb2

_DIGEST = re.compile("[0-9a-f]{64}")
_EXPONENT = 0x7F80
"""Of a bfloat16; all ones in NaN and the infinities alone."""


def read_features(message: features_pb2.Features, *, name: str) -> Tensor | str:
    """Check what was sent in place of features.

    Args:
        message: as received.
        name: of the field, for error messages.

    Returns:
        The features, bfloat16 and finite, or a digest of 64 hexadecimal digits.

    Raises:
        InvalidInputError: neither was sent, or what was sent is malformed.
    """
    kind = message.WhichOneof("source")
    if kind == "digest":
        if not _DIGEST.fullmatch(message.digest):
            raise InvalidInputError(f"{name}: a digest is 64 hexadecimal digits in lower case; send SHA-256")
        return message.digest
    if kind != "tensor":
        raise InvalidInputError(f"{name} is not set; send the features or their digest")
    tensor = tensor_from_proto(message.tensor, name=name)
    if tensor.dtype != "bfloat16":
        raise InvalidInputError(f"{name} is {tensor.dtype}; send bfloat16")
    # Found here rather than when it is computed with, where others may share the batch.
    bits = np.frombuffer(tensor.data, dtype="<u2")
    if ((bits & _EXPONENT) == _EXPONENT).any():
        raise InvalidInputError(f"{name} holds NaN or infinite values; send finite features")
    return tensor
