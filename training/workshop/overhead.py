"""What this project's training loop costs beside a plain one: the same stage, the same batches, in turns.

The plain loop is written with torch alone and learns the same: AdamW with the same groups, clipping, schedule
and moving average. One step of each follows the other, so whatever else the machine does meets both alike.
"""

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import nn

from reasoncd.errors import InvalidInputError
from training.data.batches import BatchSource
from training.run.config import RunConfig, learning_rate_factor
from training.run.devices import moved
from training.run.engine import parameter_groups
from training.run.stepping import Stepper
from training.stages.stage import set_precision
from training.workshop.pretraining import clip_training, sam_training
from training.workshop.workshop import Workshop

_WARM_UP = 3
"""Steps of each that are not counted: memory is taken, kernels are chosen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overhead:
    """Medians over the steps."""

    steps: int
    ours: float
    """Seconds of a step."""
    plain: float
    ours_cpu: float
    """Seconds of processor time of a step: what a busy machine's other programs do not disturb."""
    plain_cpu: float

    @property
    def ratio(self) -> float:
        """Our step against the plain one; 1.05 is five percent over."""
        return self.ours / self.plain

    @property
    def cpu_ratio(self) -> float:
        """The same in processor time."""
        return self.ours_cpu / self.plain_cpu

    @property
    def words(self) -> str:
        """All of it in one line."""
        return (
            f"medians of {self.steps} steps in turns: {self.ours * 1e3:.0f} ms against "
            f"{self.plain * 1e3:.0f} ms, ratio {self.ratio:.3f}; processor time {self.ours_cpu * 1e3:.0f} ms "
            f"against {self.plain_cpu * 1e3:.0f} ms, ratio {self.cpu_ratio:.3f}"
        )


def measure_overhead(
    stage: nn.Module, batches: Callable[[int], Any], config: RunConfig, *, steps: int
) -> Overhead:
    """Train two copies of a stage in turns.

    Args:
        stage: as training begins.
        batches: step -> batch; each is made once, outside the clock, and shown to both.
        config: of the run.
        steps: how many of each are counted.
    """
    plain = _PlainLoop(deepcopy(stage), config)
    ours = Stepper(stage, config)
    stage.train()
    loops: Mapping[str, Callable[[int, Any], object]] = {"ours": ours.take, "plain": plain.take}
    names = list(loops)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    for step in range(_WARM_UP + steps):
        batch = batches(step)
        # Who goes first meets the batch cold.
        order = names if step % 2 else names[::-1]
        for name in order:
            wall, cpu = time.perf_counter(), time.process_time()
            loops[name](step, batch)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    counted = {name: list(zip(*found[_WARM_UP:], strict=True)) for name, found in times.items()}
    return Overhead(
        steps=steps,
        ours=median(counted["ours"][0]),
        plain=median(counted["plain"][0]),
        ours_cpu=median(counted["ours"][1]),
        plain_cpu=median(counted["plain"][1]),
    )


def measure_stage(workshop: Workshop, name: str, *, steps: int) -> Overhead:
    """Measure a stage of a recipe as it begins: `sam`, `clip` or `vision`.

    Raises:
        InvalidInputError: it is another stage.
    """
    bank, recipe, plans = workshop.bank(), workshop.recipe, workshop.training
    if name == "sam":
        return measure_overhead(*sam_training(bank, recipe.vision, plans.sam), plans.sam, steps=steps)
    if name == "clip":
        return measure_overhead(*clip_training(bank, recipe.vision.clip, plans.clip), plans.clip, steps=steps)
    if name != "vision":
        raise InvalidInputError(f"stage is {name}; name sam, clip or vision, which wait for no other one")
    run, stage = plans.vision.run, workshop.vision_stage()
    stage.freeze_pretrained(sam=True, early_backbone=True)
    set_precision(stage, run.precision)
    queries = plans.vision.queries_per_pair
    source = BatchSource(bank, batch_size=run.micro_batch, queries_per_pair=queries, seed=run.seed)
    return measure_overhead(stage, source.batch, run, steps=steps)


class _PlainLoop:
    """What one would write for a single process, without saves and logs."""

    def __init__(self, stage: nn.Module, config: RunConfig) -> None:
        self._config = config
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._stage = stage.to(self._device).train()
        self._trained = [p for p in stage.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(parameter_groups(stage, config), lr=config.learning_rate)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda update: learning_rate_factor(update * config.accumulation, config)
        )
        self._average = [p.detach().clone() for p in self._trained] if config.ema_decay else None

    def take(self, step: int, batch: Any) -> None:
        config = self._config
        torch.manual_seed(config.seed * 1_000_003 + step)
        losses = self._stage(moved(batch, self._device))
        (losses["loss"] / config.accumulation).backward()
        # The losses are looked at, as every loop does that logs them.
        for value in losses.values():
            float(value.detach())
        if (step + 1) % config.accumulation:
            return
        if config.gradient_clipping:
            nn.utils.clip_grad_norm_(self._trained, config.gradient_clipping)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        if self._average is not None and config.ema_decay is not None:
            with torch.no_grad():
                torch._foreach_lerp_(
                    self._average, [p.detach() for p in self._trained], 1.0 - config.ema_decay
                )
