"""What one call asks of the mask decoder, and whether it can be answered.

Every check of a prompt stands here, in numpy; the engine converts and computes. Q queries of one
call, P clicks, D prompt width, S the input's side.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError
from reasoncd.meanings import MAX_CLICKS
from reasoncd.ports import Clicks, DecodedMasks
from reasoncd.tensors import Tensor
from services.mask_decoder.config import MaskDecoderConfig

MAX_QUERIES = 256
"""In one call; every query takes a mask's memory."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecodeRequest:
    """The arguments of one `decode` call."""

    fused: Tensor
    """bfloat16 (D, h, w), or (2, D, h, w) where the decoder answers in both orders of the dates."""
    seg_embeddings: Tensor
    """float32 (Q, D)."""
    clicks: Clicks | None = None
    """Correct every query of the call."""
    boxes: NDArray[np.float32] | None = None
    """(Q, 4) as x1, y1, x2, y2 in input pixels."""
    previous_logits: NDArray[np.float32] | None = None
    """(Q, S, S)."""

    @property
    def query_count(self) -> int:
        """Queries Q."""
        return self.seg_embeddings.shape[0]

    @property
    def click_count(self) -> int:
        """Clicks P; none given and none in the list are the same."""
        return 0 if self.clicks is None else len(self.clicks.points)


def check_request(request: DecodeRequest, config: MaskDecoderConfig) -> None:
    """Check all of a request but the features' finiteness, which their conversion checks.

    Raises:
        InvalidInputError: a field has the wrong dtype, shape or values.
    """
    dim, side = config.embed_dim, config.image_size
    _expect("fused map", request.fused.dtype, "bfloat16", request.fused.shape, config.fused_shape)
    seg = request.seg_embeddings
    if len(seg.shape) != 2 or not 1 <= seg.shape[0] <= MAX_QUERIES:
        raise InvalidInputError(
            f"seg_embeddings have shape {seg.shape}; give (queries, {dim}) with 1 to {MAX_QUERIES} queries"
        )
    count = seg.shape[0]
    _expect("seg_embeddings", seg.dtype, "float32", seg.shape, (count, dim))
    _check_finite("seg_embeddings", seg.numpy())
    if request.clicks is not None:
        _check_clicks(request.clicks, side)
    if request.boxes is not None:
        boxes = request.boxes
        _expect("boxes", boxes.dtype.name, "float32", boxes.shape, (count, 4))
        _check_finite("boxes", boxes)
        _check_inside("boxes", boxes, side)
        if (boxes[:, :2] > boxes[:, 2:]).any():
            raise InvalidInputError("boxes must be given as x1, y1, x2, y2 with x1 <= x2 and y1 <= y2")
    if request.previous_logits is not None:
        logits = request.previous_logits
        _expect("previous_logits", logits.dtype.name, "float32", logits.shape, (count, side, side))
        _check_finite("previous_logits", logits)


def check_answer(answer: DecodedMasks) -> None:
    """Refuse what was asked with numbers that are finite, but too large to compute with.

    Raises:
        InvalidInputError: the answer has values that are not finite.
    """
    if not all(np.isfinite(a).all() for a in (answer.logits, answer.presence, answer.quality)):
        raise InvalidInputError(
            "seg_embeddings, previous_logits or the fused map hold numbers that are too large to compute "
            "with; send them as they were given"
        )


def _check_clicks(clicks: Clicks, side: int) -> None:
    points, labels = clicks.points, clicks.labels
    count = points.shape[0] if points.ndim else 0
    if count > MAX_CLICKS:
        raise InvalidInputError(f"clicks: {count} are given; give at most {MAX_CLICKS}")
    _expect("clicks.points", points.dtype.name, "float32", points.shape, (count, 2))
    _expect("clicks.labels", labels.dtype.name, "int64", labels.shape, (count,))
    _check_finite("clicks.points", points)
    _check_inside("clicks.points", points, side)
    if not np.isin(labels, (0, 1)).all():
        raise InvalidInputError("clicks.labels must be 1 for what changed and 0 for what did not")


def _expect(
    name: str, dtype: str, wanted_dtype: str, shape: tuple[int, ...], wanted_shape: tuple[int, ...]
) -> None:
    if dtype != wanted_dtype or shape != wanted_shape:
        raise InvalidInputError(
            f"{name}: {dtype} of shape {shape} was given but {wanted_dtype} of shape {wanted_shape} is taken"
        )


def _check_finite(name: str, values: NDArray[np.generic]) -> None:
    if not np.isfinite(values).all():
        raise InvalidInputError(f"{name} hold NaN or infinite values; send finite ones")


def _check_inside(name: str, values: NDArray[np.float32], side: int) -> None:
    if values.size and (values.min() < 0 or values.max() > side):
        raise InvalidInputError(f"{name} must lie in the input's {side} x {side} pixels, from 0 to {side}")
