"""Features that were sent before, by digest, bounded in bytes.

A service never believes a caller's key: the digest is computed here, from the bytes. Losing an entry costs
one more transfer, never an answer. It does not know what the features mean.
"""

from reasoncd.byte_cache import ByteCache
from reasoncd.tensors import Tensor


class FeatureStore:
    """The tensors that were used last, as many as fit. Threads may share it.

    Args:
        max_bytes: bound of what all of them hold; 0 keeps nothing.

    Raises:
        InvalidInputError: the bound is negative.
    """

    def __init__(self, max_bytes: int) -> None:
        self._tensors: ByteCache[str, Tensor] = ByteCache(max_bytes, lambda tensor: len(tensor.data))
        self.counts = self._tensors.counts

    @property
    def max_bytes(self) -> int:
        """The bound."""
        return self._tensors.max_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes held now, at most `max_bytes`."""
        return self._tensors.held_bytes

    def __len__(self) -> int:
        """Tensors held now."""
        return len(self._tensors)

    def put(self, tensor: Tensor) -> str:
        """Keep a tensor, as `ByteCache.put` does.

        Returns:
            Its digest.
        """
        digest = tensor.digest
        self._tensors.put(digest, tensor)
        return digest

    def get(self, digest: str) -> Tensor | None:
        """The tensor of a digest; None where it was never sent or has been dropped."""
        return self._tensors.get(digest)
