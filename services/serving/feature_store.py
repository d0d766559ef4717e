"""Features that were sent before, by digest, bounded in bytes.

A service never believes a caller's key: the digest is computed here, from the bytes. Losing an entry costs
one more transfer, never an answer. It does not know what the features mean.
"""

from reasoncd.byte_cache import ByteCache
from reasoncd.tensors import Tensor


class FeatureStore(ByteCache[str, Tensor]):
    """The tensors that were used last, by their digests. Threads may share it.

    Args:
        max_bytes: bound of what all of them hold; 0 keeps nothing.

    Raises:
        InvalidInputError: the bound is negative.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, lambda tensor: len(tensor.data))

    def keep(self, tensor: Tensor) -> str:
        """Keep a tensor, as far as there is room.

        Returns:
            Its digest.
        """
        digest = tensor.digest
        self.put(digest, tensor)
        return digest
