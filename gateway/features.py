"""What the encoders said, kept for the next question on the same pair.

Features are opaque bytes here, bounded in bytes. Losing them costs time, never an answer.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from reasoncd.byte_cache import ByteCache
from reasoncd.ports import Description
from reasoncd.tensors import Tensor

CACHE_BYTES = 256 * 2**20


def pair_key(images: NDArray[np.uint8], encoder: Description) -> str:
    """SHA-256, in hex, over what the features depend on: pixels in order, preset and encoder weights."""
    head = f"{images.shape}|{encoder.preset}|{encoder.fingerprint}|".encode()
    digest = hashlib.sha256(head)
    digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()


class FeatureCache(ByteCache[tuple[str, str], Tensor]):
    """Features by their pair, see `pair_key`, and by what they are of, for example one tile.

    Args:
        max_bytes: bound of all of them.
    """

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        super().__init__(max_bytes, lambda tensor: len(tensor.data))
