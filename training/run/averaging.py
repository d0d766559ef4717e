"""The moving average of trained weights: mostly better than the last ones, and what is handed on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

EMA_FILE = "ema.safetensors"


class AveragedWeights:
    """Exponential moving average of the trainable parameters.

    Args:
        module: whose weights are averaged; it must stay the same module.
        decay: share of the average that stays at each update.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.average = {n: p.detach().clone() for n, p in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the module; faster in the first steps, so that the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        new = [p.detach() for p in self._parameters.values()]
        torch._foreach_lerp_(list(self.average.values()), new, 1.0 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module with its averaged weights, to the last bit as before when the block ends."""
        own = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._fill(self.average)
        try:
            yield
        finally:
            self._fill(own)

    def save(self, folder: Path) -> None:
        """Write the average into a save's folder."""
        save_file({n: t.contiguous() for n, t in self.average.items()}, folder / EMA_FILE)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; where nothing was averaged before, begin with the weights as they are."""
        path = folder / EMA_FILE
        now_there = {name: p.detach().clone() for name, p in self._parameters.items()}
        saved = load_file(path) if path.exists() else now_there
        self.average = {name: saved[name].to(now.device) for name, now in self.average.items()}

    @torch.no_grad()
    def _fill(self, values: Mapping[str, torch.Tensor]) -> None:
        # Copied and not exchanged: ZeRO's flat buffers share the parameters' memory.
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])
