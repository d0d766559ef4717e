"""What torchrun starts in each of two processes; the test looks at what they leave in the folder.

Each runs the same stages with batches of its own, for every ZeRO stage that divides something else.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from training.run.config import RunConfig
from training.run.loop import run_stage
from training.run.processes import first_says, gathered, join, rank, sums_of, wait_for_all, world_size

CONFIG = RunConfig(
    steps=8,
    learning_rate=1e-2,
    warmup_steps=2,
    ema_decay=0.9,
    accumulation=2,
    log_steps=4,
    validate_steps=4,
    best_by="loss",
)


class Stage(nn.Module):
    """With batch statistics, which differ from process to process, or without."""

    def __init__(self, *, statistics: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4) if statistics else nn.Identity()
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        error = self.head(torch.tanh(self.norm(self.inner(x)))) - x.sum(dim=1, keepdim=True)
        return {"loss": error.square().mean()}


def batch(step: int) -> Tensor:
    """Three of the six rows of a step; one process alone sees all six."""
    rows = torch.randn(6, 3, generator=torch.Generator().manual_seed(step))
    return rows.chunk(world_size())[rank()]


def validate(stage: nn.Module) -> dict[str, float]:
    stage.eval()
    with torch.no_grad():
        value = float(stage(batch(99))["loss"])
    return {"loss": sums_of([value])[0]}


def quiet(_: str) -> None:
    pass


def train(folder: Path) -> None:
    """Both kinds of stage, with and without ZeRO, whole and in parts."""
    for zero in (0, 2):
        config = replace(CONFIG, zero_stage=zero)
        for statistics in (False, True):
            name = f"zero{zero}-{'norm' if statistics else 'plain'}"
            stage = Stage(statistics=statistics)
            run_stage(stage, batch, config, folder / name, on_log=quiet, validate=validate)
            save_file(stage.state_dict(), folder / f"{name}-rank{rank()}.safetensors")
        parts = folder / f"zero{zero}-parts"
        for stop in (2, None):
            run_stage(
                Stage(statistics=True), batch, config, parts, on_log=quiet, validate=validate, stop_after=stop
            )


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    join()
    save_file({"batch": batch(0).clone()}, folder / f"batch-rank{rank()}.safetensors")
    assert first_says([float(rank() + 7)]) == [7.0]
    # Some have more to tell than others.
    assert gathered([rank()] * (2 * rank())) == [1, 1]
    train(folder)
    wait_for_all()


if __name__ == "__main__":
    main()
