"""What a question means to one reasoner, kept so that it need not be asked again; and a person's corrections.

Both cross the contract, so the gateway and its clients share them. Letters in shapes: D the decoder's prompt
width.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError

MAX_CLICKS = 32
"""On one map; each is a round of decoding for the tiles that it lies in."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Meaning:
    """A question as a reasoner understood it, for further maps of the same question.

    Raises:
        InvalidInputError: the embedding is no finite float32 row, the probability lies out of [0, 1], or the
            reasoner is not named.
    """

    answer: str
    """The reasoner's own words, control tokens left out."""
    seg_embedding: NDArray[np.float32] | None
    """(D,); None where the question is not about land cover, and so has no map."""
    seg_probability: float
    """Of the `<SEG>` token where it was chosen, else 0. In [0, 1]."""
    fingerprint: str
    """Of the reasoner that made it."""
    seg_space: str
    """The prompt space that the embedding lies in."""

    def __post_init__(self) -> None:
        embedding = self.seg_embedding
        if embedding is not None:
            if embedding.dtype != np.float32 or embedding.ndim != 1 or not len(embedding):
                raise InvalidInputError(
                    f"meaning has a seg_embedding of {embedding.dtype} {embedding.shape}; "
                    "send it as it was given"
                )
            if not np.isfinite(embedding).all():
                raise InvalidInputError("meaning has values that are not finite; send it as it was given")
        if not 0 <= self.seg_probability <= 1:
            raise InvalidInputError(
                f"meaning has seg_probability {self.seg_probability}; send it as it was given"
            )
        if not self.fingerprint or not self.seg_space:
            raise InvalidInputError("meaning does not say which reasoner made it; send it as it was given")

    def __eq__(self, other: object) -> bool:
        return self._values == other._values if isinstance(other, Meaning) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values)

    @property
    def _values(self) -> tuple[object, ...]:
        seg = None if self.seg_embedding is None else self.seg_embedding.tobytes()
        return self.answer, seg, self.seg_probability, self.fingerprint, self.seg_space


@dataclass(frozen=True, kw_only=True, slots=True)
class Click:
    """A place that a person marked to correct a map.

    Raises:
        InvalidInputError: a coordinate is no finite number.
    """

    x: float
    """Pixels of the image from its left edge; 0.5 is the middle of the first pixel."""
    y: float
    """Pixels from the upper edge; 0.5 is the middle of the first pixel."""
    changed: bool
    """Whether it did change there."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise InvalidInputError(f"a click lies at ({self.x}, {self.y}); give numbers of pixels")
