"""In which precision stages compute: bfloat16 where it pays, float32 where it does not or is asked for."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

Precision = Literal["bfloat16", "float32"]


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which matrix products run in that precision; float32 leaves everything as it is."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def keep_depthwise_in_float32(module: nn.Module) -> None:
    """Run depthwise convolutions outside autocast; their bfloat16 backward pass is slow on a CPU.

    By hooks, so the module's class, keys and serving behaviour stay as they are.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups > 1 and layer.groups == layer.in_channels:
            guard = _OutsideAutocast()
            layer.register_forward_pre_hook(guard.enter)
            layer.register_forward_hook(guard.leave)


class _OutsideAutocast:
    """A pair of hooks around one layer's forward pass."""

    def __init__(self) -> None:
        self._context: torch.autocast | None = None

    def enter(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Leave autocast and widen the input."""
        self._context = torch.autocast(inputs[0].device.type, enabled=False)
        self._context.__enter__()  # type: ignore[no-untyped-call]
        return (inputs[0].float(), *inputs[1:])

    def leave(self, _: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor:
        """Back into autocast, which narrows again where the next layer wants it."""
        if self._context is not None:
            self._context.__exit__(None, None, None)
            self._context = None
        return output
