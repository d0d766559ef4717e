"""What the pipeline refuses: services that do not fit each other, requests out of bounds, broken replies."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.detection import Click, Meaning
from gateway.images import MAX_SIDE, MIN_SIDE
from reasoncd.errors import CheckpointError, InvalidInputError, ReasonCDError
from reasoncd.meanings import MAX_CLICKS
from reasoncd.ports import DecodedMasks, Description, TensorShape
from reasoncd.queries import validate_query

THRESHOLD_RANGE = (0.001, 0.999)
MAX_QUERIES = 32
MAX_MAP_PIXELS = 8 * MAX_SIDE * MAX_SIDE
"""Of all maps of one call together; half a gigabyte of probabilities."""


def check_queries(queries: Sequence[str]) -> list[str]:
    """The questions, each on one line.

    Raises:
        InvalidInputError: none or too many are given, or one is no usable text.
    """
    if not 1 <= len(queries) <= MAX_QUERIES:
        raise InvalidInputError(f"{len(queries)} questions are given; ask 1 to {MAX_QUERIES} at a time")
    return [validate_query(query) for query in queries]


def check_threshold(threshold: float | None) -> None:
    """Refuse a threshold that would call everything or nothing changed.

    Raises:
        InvalidInputError: it lies out of `THRESHOLD_RANGE`.
    """
    low, high = THRESHOLD_RANGE
    if threshold is not None and not low <= threshold <= high:
        raise InvalidInputError(f"threshold is {threshold} but must lie in [{low}, {high}]")


def check_images(images: NDArray[np.uint8], maps: int) -> None:
    """Refuse arrays that are no pair of RGB images within bounds.

    Raises:
        InvalidInputError: dtype, shape or size is wrong, or `maps` maps of that size are too many.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[0] != 2 or images.shape[3] != 3:
        raise InvalidInputError(
            f"images have dtype {images.dtype} and shape {images.shape}; give uint8 of (2, H, W, 3)"
        )
    height, width = images.shape[1:3]
    if min(height, width) < MIN_SIDE or max(height, width) > MAX_SIDE:
        raise InvalidInputError(
            f"images are {width} x {height} pixels; give {MIN_SIDE} x {MIN_SIDE} to {MAX_SIDE} x {MAX_SIDE}"
        )
    if maps * height * width > MAX_MAP_PIXELS:
        raise InvalidInputError(
            f"{maps} questions on {width} x {height} pixels are too many at once; "
            f"ask {MAX_MAP_PIXELS // (height * width)} or fewer at a time"
        )


def check_meanings(meanings: Sequence[Meaning], queries: int, reasoner: Description) -> None:
    """Refuse meanings that are not those of the questions, or that another model's reasoner made.

    Args:
        meanings: one a question.
        queries: how many questions there are.
        reasoner: whose prompt space is that of the model.

    Raises:
        InvalidInputError: number, prompt space or width are others.
    """
    if len(meanings) != queries:
        raise InvalidInputError(
            f"{len(meanings)} meanings are given for {queries} questions; give one a question, or none"
        )
    widths = [tensor.shape for tensor in reasoner.tensors if tensor.name == "seg_embedding"]
    for number, meaning in enumerate(meanings, start=1):
        if meaning.seg_space != reasoner.seg_space:
            raise InvalidInputError(
                f"meaning {number} is of the prompt space {meaning.seg_space[:64]} but this model has "
                f"{reasoner.seg_space}; ask the question anew, without a meaning"
            )
        embedding = meaning.seg_embedding
        if embedding is not None and any(shape != embedding.shape for shape in widths):
            raise InvalidInputError(
                f"meaning {number} has {len(embedding)} values but this model takes {widths[0][0]}; "
                "send it as it was given"
            )


def check_clicks(clicks: Sequence[Click], queries: int, *, height: int, width: int) -> None:
    """Refuse corrections that cannot be made.

    Raises:
        InvalidInputError: there is more than one question, there are too many clicks, or one lies beside the
            images.
    """
    if not clicks:
        return
    if queries != 1:
        raise InvalidInputError(
            f"clicks correct one map, but {queries} questions are given; ask one at a time"
        )
    if len(clicks) > MAX_CLICKS:
        raise InvalidInputError(f"clicks: {len(clicks)} are given; give at most {MAX_CLICKS}")
    for click in clicks:
        if not (0 <= click.x < width and 0 <= click.y < height):
            raise InvalidInputError(
                f"clicks: ({click.x:g}, {click.y:g}) lies beside the images of {width} x {height} pixels; "
                "give pixels from the upper left corner"
            )


def check_fit(vision: Description, reasoner: Description, decoder: Description) -> None:
    """Refuse services that were not trained for each other.

    Raises:
        CheckpointError: a role is filled by another component, prompt spaces or tile sizes differ, or
            the decoder lacks a threshold, or a tensor that one gives is not what another takes.
    """
    roles = (("vision_encoder", vision), ("reasoner", reasoner), ("mask_decoder", decoder))
    for role, description in roles:
        if description.component != role:
            raise CheckpointError(
                f"{description.component} stands where {role} belongs; check the address of each service"
            )
    if reasoner.seg_space is None or reasoner.seg_space != decoder.seg_space:
        raise CheckpointError(
            f"reasoner {reasoner.fingerprint[:12]} has seg_space {reasoner.seg_space} but mask_decoder "
            f"{decoder.fingerprint[:12]} has {decoder.seg_space}; use parts trained against each other"
        )
    if vision.image_size is None or vision.image_size != decoder.image_size:
        raise CheckpointError(
            f"vision_encoder {vision.fingerprint[:12]} has image_size {vision.image_size} but mask_decoder "
            f"{decoder.fingerprint[:12]} has {decoder.image_size}; use parts trained against each other"
        )
    if decoder.presence_threshold is None or decoder.probability_threshold is None:
        raise CheckpointError(
            f"mask_decoder {decoder.fingerprint[:12]} states no thresholds; export its checkpoint anew"
        )
    _check_tensor(vision, reasoner, "clip_tokens")
    _check_tensor(vision, decoder, "fused_map")
    _check_tensor(reasoner, decoder, "seg_embedding", taken="seg_embeddings")


def _check_tensor(giver: Description, taker: Description, given: str, *, taken: str | None = None) -> None:
    """Refuse a tensor of another width than its taker was built for; who states no shape is not asked."""
    taken = taken or given
    gives = [tensor for tensor in giver.tensors if tensor.name == given]
    takes = [tensor for tensor in taker.tensors if tensor.name == taken]
    for one, other in zip(gives, takes, strict=False):
        if not fits(one, other):
            raise CheckpointError(
                f"{giver.component} {giver.fingerprint[:12]} gives {given} as {one.dtype} {one.shape} but "
                f"{taker.component} {taker.fingerprint[:12]} takes {taken} as {other.dtype} {other.shape}; "
                "use parts trained against each other"
            )


def fits(given: TensorShape, taken: TensorShape) -> bool:
    """Whether what is given can be taken, alone or as a row of several; a dimension of 0 varies."""
    row = len(given.shape) + 1 == len(taken.shape) and taken.shape[0] == 0
    shape = taken.shape[1:] if row else taken.shape
    return (
        given.dtype == taken.dtype
        and len(given.shape) == len(shape)
        and all(one == other or 0 in (one, other) for one, other in zip(given.shape, shape, strict=True))
    )


def check_decoded(decoded: DecodedMasks, count: int, side: int) -> None:
    """Refuse a decoder's reply that could not be drawn.

    Raises:
        ReasonCDError: a shape is not what was asked for, or a value is not finite.
    """
    shapes = (decoded.logits.shape, decoded.presence.shape, decoded.quality.shape)
    if shapes != ((count, side, side), (count,), (count,)):
        raise ReasonCDError(f"mask_decoder answered with shapes {shapes} for {count} maps of {side} x {side}")
    if not all(np.isfinite(a).all() for a in (decoded.logits, decoded.presence, decoded.quality)):
        raise ReasonCDError("mask_decoder answered with values that are not finite")
