"""Depthwise convolutions outside autocast."""

import copy

import pytest
import torch
from torch import Tensor, nn

from training.stages.precision import keep_depthwise_in_float32

pytestmark = pytest.mark.unit


class _Seen(nn.Module):
    """Notes the type of what passes."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: list[torch.dtype] = []

    def forward(self, x: Tensor) -> Tensor:
        self.dtypes.append(x.dtype)
        return x


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1), _Seen(), nn.Conv2d(4, 4, 3, groups=4), _Seen(), nn.Conv2d(4, 2, 1), _Seen()
    )


X = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def test_values_keys_and_gradients_stay_in_float32() -> None:
    plain = _model()
    hooked = copy.deepcopy(plain)
    keep_depthwise_in_float32(hooked)
    first, second = plain(X), hooked(X)
    assert torch.equal(first, second)
    first.sum().backward()
    second.sum().backward()
    for (name, a), (other, b) in zip(plain.named_parameters(), hooked.named_parameters(), strict=True):
        assert name == other
        assert a.grad is not None
        assert b.grad is not None
        assert torch.equal(a.grad, b.grad)


def test_only_the_depthwise_layer_leaves_autocast_and_the_next_is_in_it_again() -> None:
    hooked = _model()
    keep_depthwise_in_float32(hooked)
    with torch.autocast("cpu", torch.bfloat16):
        hooked(X)
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")
    seen = [m.dtypes[0] for m in hooked if isinstance(m, _Seen)]
    assert seen == [torch.bfloat16, torch.float32, torch.bfloat16]
