"""One training step, the same for every stage: seed, losses, gradients, update, moving average.

Every step seeds torch's randomness by its number, so that it does not matter what ran before it. All
processes draw the same numbers: what a stage decides by chance (whether a step shows clicks) must be the
same everywhere, or their gradients would not belong to the same parameters.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from reasoncd.errors import InvalidInputError
from training.run.averaging import AveragedWeights
from training.run.config import RunConfig
from training.run.devices import moved
from training.run.engine import parameter_groups, start_engine
from training.run.processes import any_of, average, world_size


class Stepper:
    """A stage, its optimizer and its average.

    Args:
        stage: the module; its trainable parameters are those that require a gradient.
        config: how fast it learns.
    """

    def __init__(self, stage: nn.Module, config: RunConfig) -> None:
        self.stage = stage
        self.config = config
        self.engine = start_engine(stage, config)
        self.average = AveragedWeights(stage, config.ema_decay) if config.ema_decay is not None else None
        self._device = next(stage.parameters()).device
        self._trained = [p for p in stage.parameters() if p.requires_grad]

    @property
    def learning_rate(self) -> float:
        """Of the next update, at the full pace."""
        return float(max(group["lr"] for group in self.engine.optimizer.param_groups))

    def set_pace(self) -> None:
        """Give the optimizer the configured pace and decay in place of those that a save brought along."""
        schedule = self.engine.lr_scheduler
        groups = self.engine.optimizer.param_groups
        wanted = parameter_groups(self.stage, self.config)
        schedule.base_lrs = [group["lr"] for group in wanted]
        for group, new, factor in zip(groups, wanted, schedule.lr_lambdas, strict=True):
            group["initial_lr"], group["weight_decay"] = new["lr"], new["weight_decay"]
            group["lr"] = new["lr"] * factor(schedule.last_epoch)

    def take(self, step: int, batch: Any, *, wants_save: bool = False) -> tuple[dict[str, float], bool]:
        """Learn from one batch.

        Args:
            step: its number, from 0.
            batch: what the stage takes, on any device.
            wants_save: whether this process would save after the step.

        Returns:
            The losses by name, and whether any process would save.

        Raises:
            InvalidInputError: the loss of some process is not finite; no weight was touched.
        """
        torch.manual_seed(self.config.seed * 1_000_003 + step)
        losses: Mapping[str, Tensor] = self.engine(moved(batch, self._device))
        values = {name: float(value.detach()) for name, value in losses.items()}
        # Before the weights are touched, so that no save ever holds what such a loss would make of them.
        broken, saving = any_of((not isfinite(values["loss"]), wants_save))
        if broken:
            raise InvalidInputError(f"the loss at step {step + 1} is not finite; lower the learning rate")
        self.engine.backward(losses["loss"])
        for parameter in self._trained:
            # What a step did not use has a gradient of nothing, with one process as with several.
            if parameter.grad is None and self.config.zero_stage == 0:
                parameter.grad = torch.zeros_like(parameter)
        self.engine.step()
        if (step + 1) % self.config.accumulation == 0:
            if self.average is not None:
                self.average.update(step // self.config.accumulation)
            if world_size() > 1:
                # Batch statistics differ from process to process; saves hold those of one.
                average(self._moved_statistics())
        return values, saving

    def _moved_statistics(self) -> list[Tensor]:
        """Of the layers that learn: the mean of equal numbers may differ from them in its last bit."""
        return [
            buffer
            for module in self.stage.modules()
            if module.training
            for name, buffer in module.named_buffers(recurse=False)
            if name in ("running_mean", "running_var")
        ]
