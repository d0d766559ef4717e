"""Tensors over the wire: every bit arrives, and what is no tensor is refused by name."""

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoncd.errors import InvalidInputError
from reasoncd.rpc.tensors import tensor_from_proto, tensor_to_proto
from reasoncd.tensors import ITEM_SIZE, Tensor
from reasoncd.v1 import tensor_pb2 as pb

pytestmark = pytest.mark.unit


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    dtype = draw(st.sampled_from(sorted(ITEM_SIZE)))
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    size = prod(shape) * ITEM_SIZE[dtype]
    return Tensor(dtype=dtype, shape=shape, data=draw(st.binary(min_size=size, max_size=size)))  # type: ignore[arg-type]


@given(tensors())
def test_every_bit_arrives(tensor: Tensor) -> None:
    sent = tensor_to_proto(tensor).SerializeToString()
    back = tensor_from_proto(pb.Tensor.FromString(sent), name="images")
    assert back == tensor
    assert back.digest == tensor.digest
    assert back.numpy().shape == tensor.shape


@given(
    st.integers(-1, 6),
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 4), max_size=12),
    st.binary(max_size=64),
)
def test_anything_else_is_refused_by_the_fields_name(dtype: int, shape: list[int], data: bytes) -> None:
    message = pb.Tensor(dtype=dtype, shape=shape, data=data)  # type: ignore[arg-type]
    try:
        tensor = tensor_from_proto(message, name="fused_map")
    except InvalidInputError as error:
        refused = error.message
    else:
        # What is taken can be used.
        assert tensor.numpy().shape == tuple(shape)
        return
    assert refused.startswith("fused_map: ")


FLOAT32 = pb.DATA_TYPE_FLOAT32


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (pb.Tensor(shape=[1], data=bytes(4)), "dtype 0 is not one of DATA_TYPE_BFLOAT16"),
        (pb.Tensor(dtype=99, data=bytes(4)), "dtype 99"),  # type: ignore[arg-type]
        (pb.Tensor(dtype=FLOAT32, shape=[-1], data=b""), "negative dimension"),
        (pb.Tensor(dtype=FLOAT32, shape=[-2, -2], data=bytes(16)), "negative dimension"),
        (pb.Tensor(dtype=FLOAT32, shape=[2], data=bytes(7)), "holds 7 bytes but float32"),
        (pb.Tensor(dtype=FLOAT32, shape=[], data=b""), "holds 0 bytes"),
        # Counted in 64 bits, these would come to 4 and to 0 bytes.
        (pb.Tensor(dtype=FLOAT32, shape=[2**62 + 1, 4], data=bytes(16)), "larger than any memory"),
        (pb.Tensor(dtype=FLOAT32, shape=[2**32, 2**32], data=b""), "larger than any memory"),
        (pb.Tensor(dtype=FLOAT32, shape=[0, 2**62], data=b""), "larger than any memory"),
        (pb.Tensor(dtype=FLOAT32, shape=[1] * 100_000, data=bytes(4)), "100000 dimensions; send at most 8"),
    ],
)
def test_refusals(message: pb.Tensor, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as raised:
        tensor_from_proto(message, name="images")
    assert raised.value.message.startswith("images: ")
    assert len(raised.value.message) < 300
