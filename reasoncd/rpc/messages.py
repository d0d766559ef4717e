"""What the ports pass to each other, as messages and back.

Used by the services' servicers and by the gateway's remote ports, so that both ends agree. Shapes and
values are checked by whoever computes with them; here only what a message itself can get wrong.
"""

import numpy as np
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError
from reasoncd.ports import (
    Clicks,
    DecodedMasks,
    Description,
    Mode,
    ReasonDone,
    ReasonEvent,
    ReasonText,
    TensorShape,
)
from reasoncd.rpc.tensors import tensor_from_proto, tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import describe_pb2, mask_decoder_pb2, reasoner_pb2, tensor_pb2

_COMPONENTS = {
    "vision_encoder": describe_pb2.COMPONENT_VISION_ENCODER,
    "reasoner": describe_pb2.COMPONENT_REASONER,
    "mask_decoder": describe_pb2.COMPONENT_MASK_DECODER,
}
_COMPONENT_NAMES: dict[int, str] = {number: name for name, number in _COMPONENTS.items()}
_MODES = {Mode.SHORT: reasoner_pb2.MODE_SHORT, Mode.EXPLAINED: reasoner_pb2.MODE_EXPLAINED}
_MODE_NAMES: dict[int, Mode] = {number: mode for mode, number in _MODES.items()}
_MODE_NAMES[reasoner_pb2.MODE_UNSPECIFIED] = Mode.SHORT


def description_to_proto(description: Description) -> describe_pb2.Description:
    """Who a service is."""
    message = describe_pb2.Description(
        component=_COMPONENTS[description.component],
        version=description.version,
        preset=description.preset,
        fingerprint=description.fingerprint,
        seg_space=description.seg_space or "",
    )
    for name in ("image_size", "presence_threshold", "probability_threshold"):
        value = getattr(description, name)
        if value is not None:
            setattr(message, name, value)
    for tensor in description.tensors:
        message.tensors.add(name=tensor.name, dtype=tensor.dtype, shape=tensor.shape)
    return message


def description_from_proto(message: describe_pb2.Description) -> Description:
    """Who a service says it is.

    Raises:
        InvalidInputError: the component is not set or not known here.
    """
    component = _COMPONENT_NAMES.get(message.component)
    if component is None:
        raise InvalidInputError(f"component {message.component} is unknown; upgrade this side")
    return Description(
        component=component,
        version=message.version,
        preset=message.preset,
        fingerprint=message.fingerprint,
        seg_space=message.seg_space or None,
        image_size=message.image_size if message.HasField("image_size") else None,
        presence_threshold=message.presence_threshold if message.HasField("presence_threshold") else None,
        probability_threshold=(
            message.probability_threshold if message.HasField("probability_threshold") else None
        ),
        tensors=tuple(
            TensorShape(name=tensor.name, dtype=tensor.dtype, shape=tuple(tensor.shape))
            for tensor in message.tensors
        ),
    )


def origin_of(description: Description) -> describe_pb2.Origin:
    """What stands on every reply of a service."""
    return describe_pb2.Origin(fingerprint=description.fingerprint, seg_space=description.seg_space or "")


def mode_to_proto(mode: Mode) -> reasoner_pb2.Mode:
    """The mode's number."""
    return _MODES[mode]


def mode_from_proto(number: int) -> Mode:
    """The mode of a number; not set means short.

    Raises:
        InvalidInputError: the number is none of the contract's.
    """
    mode = _MODE_NAMES.get(number)
    if mode is None:
        raise InvalidInputError(f"mode {number} is unknown; use MODE_SHORT or MODE_EXPLAINED")
    return mode


def event_to_proto(event: ReasonEvent, origin: describe_pb2.Origin) -> reasoner_pb2.ReasonResponse:
    """One event of an answer."""
    if isinstance(event, ReasonText):
        return reasoner_pb2.ReasonResponse(text=reasoner_pb2.ReasonText(text=event.text), origin=origin)
    seg = event.seg_embedding
    done = reasoner_pb2.ReasonDone(
        answer=event.answer,
        seg_embedding=None if seg is None else tensor_to_proto(seg),
        seg_probability=event.seg_probability,
        token_count=event.token_count,
    )
    return reasoner_pb2.ReasonResponse(done=done, origin=origin)


def event_from_proto(message: reasoner_pb2.ReasonResponse) -> ReasonEvent:
    """The event of a message that is no `need_features`.

    Raises:
        InvalidInputError: the message holds no event.
    """
    kind = message.WhichOneof("event")
    if kind == "text":
        return ReasonText(text=message.text.text)
    if kind != "done":
        raise InvalidInputError(f"event {kind} of an answer is unknown; upgrade this side")
    done = message.done
    return ReasonDone(
        answer=done.answer,
        seg_embedding=(
            tensor_from_proto(done.seg_embedding, name="seg_embedding")
            if done.HasField("seg_embedding")
            else None
        ),
        seg_probability=done.seg_probability,
        token_count=done.token_count,
    )


def clicks_to_proto(clicks: Clicks) -> mask_decoder_pb2.Clicks:
    """Corrections."""
    return mask_decoder_pb2.Clicks(
        points=tensor_to_proto(Tensor.from_numpy(clicks.points)),
        labels=tensor_to_proto(Tensor.from_numpy(clicks.labels)),
    )


def clicks_from_proto(message: mask_decoder_pb2.Clicks) -> Clicks:
    """Corrections as received.

    Raises:
        InvalidInputError: points are not float32 or labels not int64.
    """
    return Clicks(
        points=float32_from_proto(message.points, name="clicks.points"),
        labels=int64_from_proto(message.labels, name="clicks.labels"),
    )


def masks_to_proto(masks: DecodedMasks) -> mask_decoder_pb2.DecodedMasks:
    """Q masks."""
    return mask_decoder_pb2.DecodedMasks(
        logits=tensor_to_proto(Tensor.from_numpy(masks.logits)),
        presence=tensor_to_proto(Tensor.from_numpy(masks.presence)),
        quality=tensor_to_proto(Tensor.from_numpy(masks.quality)),
    )


def masks_from_proto(message: mask_decoder_pb2.DecodedMasks) -> DecodedMasks:
    """Q masks as received.

    Raises:
        InvalidInputError: a field is not float32.
    """
    return DecodedMasks(
        logits=float32_from_proto(message.logits, name="logits"),
        presence=float32_from_proto(message.presence, name="presence"),
        quality=float32_from_proto(message.quality, name="quality"),
    )


def float32_from_proto(message: tensor_pb2.Tensor, *, name: str) -> NDArray[np.float32]:
    """A float32 array, read-only.

    Raises:
        InvalidInputError: as `tensor_from_proto`, or another dtype.
    """
    return _of_dtype(message, "float32", name).astype(np.float32, copy=False)


def int64_from_proto(message: tensor_pb2.Tensor, *, name: str) -> NDArray[np.int64]:
    """An int64 array, read-only.

    Raises:
        InvalidInputError: as `tensor_from_proto`, or another dtype.
    """
    return _of_dtype(message, "int64", name).astype(np.int64, copy=False)


def images_from_proto(message: tensor_pb2.Tensor) -> NDArray[np.uint8]:
    """The field `images`: a uint8 array, read-only.

    Raises:
        InvalidInputError: as `tensor_from_proto`, or another dtype.
    """
    return _of_dtype(message, "uint8", "images").astype(np.uint8, copy=False)


def _of_dtype(message: tensor_pb2.Tensor, dtype: str, name: str) -> NDArray[np.generic]:
    tensor = tensor_from_proto(message, name=name)
    if tensor.dtype != dtype:
        raise InvalidInputError(f"{name} is {tensor.dtype}; send {dtype}")
    return tensor.numpy()
