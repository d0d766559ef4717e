"""Replies of services, read. What is wrong with one is a service's fault, never the caller's."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.checks import fits
from reasoncd.errors import InvalidInputError, ReasonCDError
from reasoncd.ports import Description, TensorShape
from reasoncd.rpc.tensors import tensor_from_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import tensor_pb2


@contextmanager
def reading(component: str) -> Iterator[None]:
    """Turn what the readers of messages raise into a fault of the component that replied.

    Raises:
        ReasonCDError: instead of `InvalidInputError`.
    """
    try:
        yield
    except InvalidInputError as error:
        raise ReasonCDError(f"{component} answered with what cannot be read: {error.message}") from None


def read_features(message: tensor_pb2.Tensor, name: str, description: Description) -> Tensor:
    """Features as received.

    Raises:
        ReasonCDError: they are malformed, or not of the shape that the component states.
    """
    with reading(description.component):
        tensor = tensor_from_proto(message, name=name)
    check_stated(tensor, name, description)
    return tensor


def check_stated(tensor: Tensor, name: str, description: Description) -> None:
    """Refuse a tensor that is not what its component says it gives.

    Raises:
        ReasonCDError: dtype or shape differ.
    """
    given = TensorShape(name=name, dtype=tensor.dtype, shape=tensor.shape)
    for stated in description.tensors:
        if stated.name == name and not fits(given, stated):
            raise ReasonCDError(
                f"{description.component} answered with {name} as {given.dtype} {given.shape} "
                f"but states {stated.dtype} {stated.shape}"
            )
