"""The three protocols between the pipeline and the services.

`gateway/embedded.py` satisfies them in this process, a gRPC client satisfies them over the
wire; the pipeline cannot tell which. Letters in shapes: T = 2 dates, N image tokens, C channels,
h, w the fused grid, Q queries, D the decoder's prompt width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reasoncd.tensors import Tensor


class Mode(StrEnum):
    """What the answer holds besides the map."""

    SHORT = "short"
    """Class and direction in words, then `<SEG>`."""
    EXPLAINED = "explained"
    """One or two sentences of reason first, then the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorShape:
    """What a tensor that a service takes or gives looks like."""

    name: str
    """Its field in the contract, for example `clip_tokens`."""
    dtype: str
    shape: tuple[int, ...]
    """0 stands for a dimension that varies."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """Who a service is; the pipeline refuses services that do not fit each other."""

    component: str
    """`vision_encoder`, `reasoner` or `mask_decoder`."""
    version: str
    preset: str
    fingerprint: str
    """SHA-256 over the component's weights and configuration, in hex."""
    seg_space: str | None
    """Identifier of the prompt space; None for the vision encoder, which has no part in it."""
    image_size: int | None = None
    """Side of the square input in pixels that the vision encoder and mask decoder take."""
    presence_threshold: float | None = None
    """Mask decoder only: below this presence the map is empty. In [0, 1]."""
    probability_threshold: float | None = None
    """Mask decoder only: a pixel is changed at or above it. In (0, 1)."""
    tensors: tuple[TensorShape, ...] = ()
    """What it takes from another service or gives to one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasonText:
    """A piece of the answer as it is generated, control tokens left out."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasonDone:
    """The end of one answer."""

    answer: str
    """The whole answer without control tokens."""
    seg_embedding: Tensor | None
    """float32 (D,), or None where the model emitted no `<SEG>`."""
    seg_probability: float
    """Probability of the `<SEG>` token where it was chosen; 0 where it was not. In [0, 1]."""
    token_count: int
    """Tokens generated, `<SEG>`, end-of-text and those of a first turn included."""


ReasonEvent = ReasonText | ReasonDone


@dataclass(frozen=True, kw_only=True, slots=True)
class Clicks:
    """Corrections on one tile, in pixels of the decoder's input square; 0 is the middle of the first."""

    points: NDArray[np.float32]
    """(P, 2), x (right) and y (down)."""
    labels: NDArray[np.int64]
    """(P,), 1 for "this changed", 0 for "this did not"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedMasks:
    """What the mask decoder says for Q queries on one fused map."""

    logits: NDArray[np.float32]
    """(Q, S, S) at the input's resolution; the logistic function gives the probability."""
    presence: NDArray[np.float32]
    """(Q,) probability that the asked change is there at all. In [0, 1]."""
    quality: NDArray[np.float32]
    """(Q,) predicted IoU of the map. In [0, 1]."""


class VisionEncoder(Protocol):
    """What the two images say."""

    def describe(self) -> Description: ...

    def encode_for_reasoning(self, images: NDArray[np.uint8]) -> Tensor:
        """Whole images (T, H, W, 3), RGB 0-255, any size -> bfloat16 (T, N, C) CLIP patch tokens."""
        ...

    def encode_for_decoding(self, images: NDArray[np.uint8]) -> Tensor:
        """One square pair (T, S, S, 3), RGB 0-255 -> bfloat16 fused map.

        It is (C, h, w); (2, C, h, w) where the model answers in both orders of the dates, the second map
        being that of the exchanged images.
        """
        ...


class Reasoner(Protocol):
    """What the query means."""

    def describe(self) -> Description: ...

    def reason(self, clip_tokens: Tensor, query: str, mode: Mode) -> Iterator[ReasonEvent]:
        """bfloat16 (T, N, C) and a plain-text query -> text events, then one `ReasonDone`."""
        ...


class MaskDecoder(Protocol):
    """Where it changed."""

    def describe(self) -> Description: ...

    def decode(
        self,
        fused: Tensor,
        seg_embeddings: Tensor,
        *,
        clicks: Clicks | None = None,
        boxes: NDArray[np.float32] | None = None,
        previous_logits: NDArray[np.float32] | None = None,
    ) -> DecodedMasks:
        """A fused map as the encoder gives it and float32 (Q, D) -> one mask a query.

        `clicks` and `previous_logits` (Q, S, S) correct every query of the call; `boxes` is
        (Q, 4) as x1, y1, x2, y2 in input pixels.
        """
        ...
