"""What the encoders said, kept for the next question on the same pair.

Features are opaque bytes here, bounded in bytes. Losing them costs time, never an answer.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from reasoncd.cache_counts import CacheCounts
from reasoncd.ports import Description
from reasoncd.tensors import Tensor

CACHE_BYTES = 256 * 2**20


def pair_key(images: NDArray[np.uint8], encoder: Description) -> str:
    """SHA-256, in hex, over what the features depend on: pixels in order, preset and encoder weights."""
    head = f"{images.shape}|{encoder.preset}|{encoder.fingerprint}|".encode()
    digest = hashlib.sha256(head)
    digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()


class FeatureCache:
    """Features bounded in bytes: the least recently used leave first. Threads may share it."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[tuple[str, str], Tensor] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()
        self.counts = CacheCounts()

    @property
    def max_bytes(self) -> int:
        """The bound."""
        return self._max_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes of all features held now."""
        return self._bytes

    def get_or_make(self, pair: str, part: str, make: Callable[[], Tensor]) -> Tensor:
        """The features of one part of a pair, from the cache or from `make`.

        Args:
            pair: see `pair_key`.
            part: which features of the pair, for example one tile's.
            make: called without the lock, so two threads may both compute what neither finds.
        """
        key = (pair, part)
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
                self.counts.hits += 1
                return found
            self.counts.misses += 1
        made = make()
        self._put(key, made)
        return made

    def _put(self, key: tuple[str, str], tensor: Tensor) -> None:
        size = len(tensor.data)
        if size > self._max_bytes:
            return
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = tensor
            self._bytes += size
            while self._bytes > self._max_bytes:
                _, dropped = self._entries.popitem(last=False)
                self._bytes -= len(dropped.data)
                self.counts.evictions += 1
