"""Pairs of pixels by the files that they were decoded from: a pair is seldom asked about only once."""

import hashlib

from gateway.images import ImagePair
from gateway.server.asked import Asked
from reasoncd.byte_cache import ByteCache


class DecodedPairs(ByteCache[bytes, ImagePair]):
    """Decodes what is asked, or finds it decoded already. Threads may share it.

    Args:
        max_bytes: bound of the pixels that are kept; 0 keeps none.

    Raises:
        InvalidInputError: the bound is negative.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, lambda pair: pair.images.nbytes)

    def pair(self, asked: Asked) -> ImagePair:
        """The pixels, which nobody may change: others read them too.

        Raises:
            InvalidInputError: as `Asked.decode`; what cannot be decoded is not kept.
        """
        if not self.max_bytes:
            return asked.decode()
        return self.get_or_make(_key(asked), lambda: _frozen(asked.decode()))


def _key(asked: Asked) -> bytes:
    # The length says where the first file ends.
    digest = hashlib.sha256(len(asked.image_t1).to_bytes(8, "big"))
    digest.update(asked.image_t1)
    digest.update(asked.image_t2)
    return digest.digest()


def _frozen(pair: ImagePair) -> ImagePair:
    pair.images.setflags(write=False)
    return pair
