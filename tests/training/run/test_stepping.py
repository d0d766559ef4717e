"""One step: what several processes average."""

import pytest
import torch
from torch import Tensor, nn

from training.run import stepping
from training.run.config import RunConfig
from training.run.stepping import Stepper

pytestmark = pytest.mark.unit


class _Stage(nn.Module):
    """Batch statistics of a layer that learns, and of one that stays as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.learns, self.stays = nn.BatchNorm1d(3), nn.BatchNorm1d(3).requires_grad_(False)

    def train(self, mode: bool = True) -> "_Stage":
        super().train(mode)
        self.stays.eval()
        return self

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"loss": (self.learns(self.stays(x)) - 1.0).square().mean()}


def test_statistics_that_stay_are_not_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of equal numbers may differ from them in its last bit."""
    stage = _Stage()
    averaged: list[Tensor] = []
    monkeypatch.setattr(stepping, "world_size", lambda: 3)
    monkeypatch.setattr(stepping, "average", averaged.extend)
    stepper = Stepper(stage, RunConfig(steps=1, learning_rate=0.1, ema_decay=None, precision="float32"))
    stepper.engine.train()
    stepper.take(0, torch.randn(6, 3, generator=torch.Generator().manual_seed(0)))
    assert {id(tensor) for tensor in averaged} == {
        id(stage.learns.running_mean),
        id(stage.learns.running_var),
    }
