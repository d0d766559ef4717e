"""Finished weights fit the module that they were trained in, and no other."""

import pytest
import torch
from torch import nn

from reasoncd.errors import CheckpointError
from training.stages.loading import load_trained

pytestmark = pytest.mark.unit


class Trained(nn.Module):
    """A body on a frozen base, with a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.base, self.head = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1)
        self.base.requires_grad_(False)


def _state(module: nn.Module, *beginnings: str) -> dict[str, torch.Tensor]:
    return {n: torch.full_like(t, 7.0) for n, t in module.state_dict().items() if n.startswith(beginnings)}


def test_what_was_frozen_stays_as_it_was_built() -> None:
    module = Trained()
    base = module.base.weight.clone()
    load_trained(module, _state(module, "body", "head"), where="weights.safetensors")
    assert (module.body.weight == 7).all() and torch.equal(module.base.weight, base)


def test_a_head_that_starts_anew_may_be_absent_where_that_is_said() -> None:
    module = Trained()
    load_trained(module, _state(module, "body"), where="here", optional=("head.",))
    with pytest.raises(CheckpointError, match=r"weights.safetensors lacks head.* does not fit the recipe"):
        load_trained(module, _state(module, "body"), where="weights.safetensors")


def test_weights_of_another_module_are_refused() -> None:
    module = Trained()
    state = _state(module, "body", "head") | {"tail.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"here holds tail.weight"):
        load_trained(module, state, where="here")
