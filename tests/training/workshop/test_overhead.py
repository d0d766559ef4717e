"""The comparison with a plain loop: both learn the same; only then do their times compare."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from reasoncd.errors import InvalidInputError
from training import recipes
from training.run.config import RunConfig
from training.run.stepping import Stepper
from training.workshop import overhead
from training.workshop.overhead import Overhead, measure_overhead, measure_stage
from training.workshop.workshop import Workshop

pytestmark = pytest.mark.unit

CONFIG = RunConfig(steps=20, learning_rate=1e-2, warmup_steps=2, ema_decay=0.9)


class _Stage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.head = nn.Linear(3, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        noisy = x + 0.1 * torch.randn_like(x)
        return {"loss": (self.head(torch.tanh(self.inner(noisy))) - 1.0).square().mean()}


def _batch(step: int) -> Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(step))


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_plain_loop_learns_the_same(accumulation: int) -> None:
    config = replace(CONFIG, accumulation=accumulation)
    stage = _Stage()
    plain = overhead._PlainLoop(_Stage(), config)
    ours = Stepper(stage, config)
    for step in range(6):
        ours.take(step, _batch(step))
        plain.take(step, _batch(step))
    for name, parameter in plain._stage.named_parameters():
        torch.testing.assert_close(dict(stage.named_parameters())[name], parameter, rtol=1e-5, atol=1e-6)


def test_both_take_every_step_and_only_counted_ones_are_timed() -> None:
    drawn: list[int] = []

    def batches(step: int) -> Tensor:
        drawn.append(step)
        return _batch(step)

    found = measure_overhead(_Stage(), batches, CONFIG, steps=4)
    assert drawn == list(range(7))
    assert found.steps == 4
    assert min(found.ours, found.plain, found.ours_cpu, found.plain_cpu) > 0


def test_ratios_in_words() -> None:
    found = Overhead(steps=3, ours=0.21, plain=0.2, ours_cpu=0.4, plain_cpu=0.4)
    assert (round(found.ratio, 3), found.cpu_ratio) == (1.05, 1.0)
    assert (
        "210 ms against 200 ms, ratio 1.050; processor time 400 ms against 400 ms, ratio 1.000" in found.words
    )


def test_stages_that_wait_for_others_are_refused(tmp_path: Path) -> None:
    workshop = Workshop(recipes.paper_tiny(), tmp_path, say=lambda _: None)
    with pytest.raises(InvalidInputError, match="stage is joint; name sam, clip or vision"):
        measure_stage(workshop, "joint", steps=1)
    assert "ratio" in measure_stage(workshop, "sam", steps=1).words
