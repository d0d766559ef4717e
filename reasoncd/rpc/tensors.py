"""`Tensor` to its message and back; the container checks what it is given."""

from reasoncd.errors import InvalidInputError
from reasoncd.tensors import DType, Tensor
from reasoncd.v1 import tensor_pb2 as pb

_TO_PROTO: dict[DType, pb.DataType] = {
    "bfloat16": pb.DATA_TYPE_BFLOAT16,
    "float32": pb.DATA_TYPE_FLOAT32,
    "uint8": pb.DATA_TYPE_UINT8,
    "int64": pb.DATA_TYPE_INT64,
}
_FROM_PROTO: dict[int, DType] = {number: name for name, number in _TO_PROTO.items()}


def tensor_to_proto(tensor: Tensor) -> pb.Tensor:
    """The message of a tensor."""
    return pb.Tensor(dtype=_TO_PROTO[tensor.dtype], shape=tensor.shape, data=tensor.data)


def tensor_from_proto(message: pb.Tensor, *, name: str) -> Tensor:
    """The tensor of a message that came over the wire.

    Args:
        message: as received.
        name: of the field, for error messages.

    Raises:
        InvalidInputError: the dtype is not set or unknown, a dimension is negative, or the bytes are not as
            many as dtype and shape ask for.
    """
    dtype = _FROM_PROTO.get(message.dtype)
    if dtype is None:
        known = ", ".join(pb.DataType.Name(number) for number in _FROM_PROTO)
        raise InvalidInputError(f"{name}: dtype {message.dtype} is not one of {known}; set it")
    try:
        return Tensor(dtype=dtype, shape=tuple(message.shape), data=message.data)
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error.message}") from None
