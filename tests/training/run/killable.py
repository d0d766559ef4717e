"""Runs a training job in a child process for each line it reads, so that a test can kill the child.

A line is a JSON object: `job` (`tiny` or `samples`), `folder`, and perhaps `recipe` and `samples` (files) and
`kill_at`: the so-manieth write of its saves ends the process. Answers are `pid N` when the child was started
and `ended STATUS` when it is gone. Importing DeepSpeed takes seconds, which children inherit.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import deepspeed  # noqa: F401
import torch
from torch import Tensor, nn

from training.data.sample_parts import load_parts
from training.recipes import read_recipe
from training.run import saves
from training.run.config import RunConfig
from training.run.loop import run_stage
from training.run.progress import PlainReport
from training.samples.fit import SampleFit
from training.samples.start import OfficialFiles

TINY = RunConfig(
    steps=24,
    learning_rate=1e-2,
    warmup_steps=4,
    ema_decay=0.9,
    accumulation=2,
    validate_steps=6,
    best_by="loss",
    save_seconds=0.0,
    log_steps=5,
)


class TinyStage(nn.Module):
    """Weights, batch statistics and noise."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 4, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.norm(self.inner(x + 0.1 * torch.randn_like(x)))
        error = self.head(torch.tanh(hidden)) - x.sum(dim=1, keepdim=True)
        return {"loss": error.square().mean()}


def validate(stage: nn.Module) -> dict[str, float]:
    """A figure that worsens at times, so that the best weights are not the last."""
    stage.eval()
    torch.manual_seed(5)
    with torch.no_grad():
        return {"loss": float(stage(_batch(99))["loss"])}


def _batch(step: int) -> Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(step))


def run(job: dict[str, Any]) -> None:
    """Do one job to its end, or die."""
    torch.set_num_threads(1)
    if job.get("kill_at"):
        _die_at(int(job["kill_at"]))
    folder = Path(job["folder"])
    if job["job"] == "tiny":
        torch.manual_seed(0)
        run_stage(TinyStage(), _batch, TINY, folder, on_log=_quiet, validate=validate)
        return
    fit = SampleFit(read_recipe(Path(job["recipe"])), folder, PlainReport(_quiet))
    fit.fit(load_parts(Path(job["samples"])), OfficialFiles())


def _die_at(write: int) -> None:
    """Kill this process at one of the moments at which a save touches the disk."""
    left = [write]

    def counted(function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    torch.save = counted(torch.save)
    for name in ("sync", "write_json", "save_file"):
        setattr(saves, name, counted(getattr(saves, name)))


def _quiet(_: str) -> None:
    pass


def main() -> None:
    """Serve until the input ends."""
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run(job)
                status = 0
            finally:
                os._exit(status)
        print(f"pid {child}", flush=True)
        _, status = os.waitpid(child, 0)
        print(f"ended {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    main()
