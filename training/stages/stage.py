"""What every stage is: a module whose forward pass gives losses, computed in a chosen precision."""

import torch
from torch import Tensor, nn

from training.stages.precision import Precision, autocast


class Stage(nn.Module):
    """A module that takes a batch and returns its losses by name, `loss` being what is minimised."""

    precision: Precision = "bfloat16"

    def autocast(self, where: Tensor) -> torch.autocast:
        """The context of the stage's matrix products, on the device of a tensor."""
        return autocast(where.device, self.precision)


def set_precision(module: nn.Module, precision: Precision) -> None:
    """Let a stage, and the stages that it is made of, compute in that precision."""
    for member in module.modules():
        if isinstance(member, Stage):
            member.precision = precision
