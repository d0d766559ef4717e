import numpy as np
import pytest
import torch

from reasoncd.errors import InvalidInputError
from reasoncd.tensors import Tensor
from services.wire import from_torch, to_torch


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.uint8, torch.int64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 4), (2, 3, 4)])
def test_round_trip_keeps_every_bit(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    values = (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 50).abs().to(dtype)
    back = to_torch(from_torch(values))
    assert back.dtype == dtype
    assert back.shape == values.shape
    assert torch.equal(back, values)


def test_layout_is_c_order_little_endian_whatever_the_strides() -> None:
    values = torch.arange(6, dtype=torch.float32).reshape(2, 3).T
    wire = from_torch(values)
    assert wire == Tensor.from_numpy(np.array([[0, 3], [1, 4], [2, 5]], dtype=np.float32))


def test_bfloat16_agrees_with_the_torch_free_reading() -> None:
    values = torch.tensor([1.0, -2.5, 3.1415926], dtype=torch.bfloat16)
    np.testing.assert_array_equal(from_torch(values).numpy(), values.float().numpy())


def test_result_shares_no_memory_with_the_bytes() -> None:
    wire = from_torch(torch.ones(4))
    to_torch(wire).zero_()
    assert torch.equal(to_torch(wire), torch.ones(4))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_values_that_are_not_finite_are_refused(bad: float, dtype: torch.dtype) -> None:
    with pytest.raises(InvalidInputError, match="clip_tokens holds NaN or infinite"):
        to_torch(from_torch(torch.tensor([1.0, bad], dtype=dtype)), name="clip_tokens")


def test_other_dtypes_cannot_cross() -> None:
    with pytest.raises(InvalidInputError, match="float16"):
        from_torch(torch.ones(2, dtype=torch.float16))
