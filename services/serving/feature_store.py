"""Features that were sent before, by digest, bounded in bytes.

A service never believes a caller's key: the digest is computed here, from the bytes. Losing an entry costs
one more transfer, never an answer. It does not know what the features mean.
"""

import threading
from collections import OrderedDict

from reasoncd.cache_counts import CacheCounts
from reasoncd.errors import InvalidInputError
from reasoncd.tensors import Tensor


class FeatureStore:
    """The tensors that were used last, as many as fit. Threads may share it.

    Args:
        max_bytes: bound of what all of them hold; 0 keeps nothing.

    Raises:
        InvalidInputError: the bound is negative.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            raise InvalidInputError(f"the feature store's bound is {max_bytes} bytes; give 0 or more")
        self._max_bytes = max_bytes
        self._tensors: OrderedDict[str, Tensor] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self.counts = CacheCounts()

    @property
    def max_bytes(self) -> int:
        """The bound."""
        return self._max_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes held now, at most `max_bytes`."""
        return self._bytes

    def __len__(self) -> int:
        """Tensors held now."""
        return len(self._tensors)

    def put(self, tensor: Tensor) -> str:
        """Keep a tensor, and drop those that were not used for longest.

        One that alone is larger than the bound is not kept, and drops nothing.

        Returns:
            Its digest.
        """
        # Hashing is the slow part and needs no lock.
        digest = tensor.digest
        size = len(tensor.data)
        with self._lock:
            if digest in self._tensors:
                self._tensors.move_to_end(digest)
            elif size <= self._max_bytes:
                self._tensors[digest] = tensor
                self._bytes += size
                while self._bytes > self._max_bytes:
                    _, dropped = self._tensors.popitem(last=False)
                    self._bytes -= len(dropped.data)
                    self.counts.evictions += 1
        return digest

    def get(self, digest: str) -> Tensor | None:
        """The tensor of a digest; None where it was never sent or has been dropped."""
        with self._lock:
            tensor = self._tensors.get(digest)
            if tensor is None:
                self.counts.misses += 1
            else:
                self.counts.hits += 1
                self._tensors.move_to_end(digest)
            return tensor
