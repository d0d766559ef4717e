"""The one training loop, on DeepSpeed's engine; every stage runs through it.

A stage is a module whose forward pass takes a batch and gives losses by name, `loss` among them. Batches come
from a function of the step number, and every step seeds its own randomness, so that a run which was
killed goes on from its last save as if nothing had happened. Saves are DeepSpeed's; they hold run state
and are never shipped. It does not know what is trained.
"""

import csv
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from math import cos, isfinite, pi
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, socket
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from reasoncd.errors import InvalidInputError

Losses = Mapping[str, Tensor]
WEIGHTS_FILE = "weights.safetensors"
EMA_FILE = "ema.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """How long and how fast one stage learns."""

    steps: int
    learning_rate: float
    warmup_steps: int = 100
    final_rate: float = 0.02
    """Learning rate at the end, as a share of the highest; cosine in between."""
    weight_decay: float = 0.01
    gradient_clipping: float = 1.0
    ema_decay: float | None = 0.998
    """Decay of the averaged weights that are handed on; None hands on the last ones."""
    zero_stage: int = 0
    micro_batch: int = 8
    """Only told to DeepSpeed for its own accounts; the batches say how large they are."""
    accumulation: int = 1
    slow: tuple[str, ...] = ()
    """Prefixes of parameter names that are pretrained and learn at `slow_rate` of the pace."""
    slow_rate: float = 0.3
    save_seconds: float = 180.0
    log_steps: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.warmup_steps < 0:
            raise ValueError("steps must be at least 1 and warmup_steps at least 0")
        if self.ema_decay is not None and not 0.0 < self.ema_decay < 1.0:
            raise ValueError("ema_decay must lie between 0 and 1, or be None")
        if self.zero_stage not in (0, 1, 2):
            raise ValueError("zero_stage must be 0, 1 or 2")


def learning_rate_factor(step: int, config: RunConfig) -> float:
    """Linear warm-up, then half a cosine down to `final_rate`."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return config.final_rate + (1.0 - config.final_rate) * 0.5 * (1.0 + cos(pi * min(done, 1.0)))


class AveragedWeights:
    """Exponential moving average of the trainable parameters."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {n: p.detach().clone() for n, p in module.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the module; faster in the first steps, so that the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        new = {n: p.detach() for n, p in module.named_parameters() if n in self.average}
        torch._foreach_lerp_(list(self.average.values()), [new[n] for n in self.average], 1.0 - decay)


def run_stage(
    stage: nn.Module,
    batches: Callable[[int], Any],
    config: RunConfig,
    folder: Path,
    *,
    keep: Callable[[str], bool] = lambda _: True,
    on_log: Callable[[str], None] = print,
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    validate_steps: int = 500,
    stop_after: int | None = None,
) -> Path | None:
    """Train a stage to its end, from its last save if there is one.

    Args:
        stage: the module; its trainable parameters are those that require a gradient.
        batches: step -> batch.
        config: how long and how fast.
        folder: where saves, `log.csv` and the finished weights go.
        keep: which entries of the state dict the finished weights hold.
        on_log: is told one line now and then.
        validate: figures of the current weights, every `validate_steps` and at the end.
        validate_steps: steps between two validations.
        stop_after: stop after this many steps in this call, saved, without finishing.

    Returns:
        The finished weights (safetensors, float32), or None where `stop_after` ended the call.

    Raises:
        InvalidInputError: a loss is not finite; the last save is kept.
    """
    finished = folder / WEIGHTS_FILE
    if finished.exists():
        on_log(f"{finished} is there already")
        return finished
    folder.mkdir(parents=True, exist_ok=True)
    engine = _engine(stage, config)
    average = AveragedWeights(stage, config.ema_decay) if config.ema_decay is not None else None
    step = _resume(engine, folder, average, on_log)
    first, started, saved = step, time.monotonic(), time.monotonic()
    totals: dict[str, float] = {}
    stage.train()
    while step < config.steps:
        torch.manual_seed(config.seed * 1_000_003 + step)
        losses: Losses = engine(batches(step))
        # Before the weights are touched, so that no save ever holds what such a loss would make of them.
        if not isfinite(float(losses["loss"].detach())):
            raise InvalidInputError(f"the loss at step {step + 1} is not finite; lower the learning rate")
        engine.backward(losses["loss"])
        engine.step()
        for name, value in losses.items():
            totals[name] = totals.get(name, 0.0) + float(value.detach())
        if average is not None:
            average.update(stage, step)
        step += 1
        if step % config.log_steps == 0 or step == config.steps:
            span = step - max(first, (step - 1) // config.log_steps * config.log_steps)
            means = {k: v / max(span, 1) for k, v in totals.items()}
            totals = {}
            _log(folder, step, means)
            pace = (time.monotonic() - started) / (step - first)
            left = pace * (config.steps - step) / 60
            parts = " ".join(f"{k} {v:.4f}" for k, v in means.items())
            on_log(f"step {step}/{config.steps} {pace:.2f} s/step {left:.0f} min left | {parts}")
        if validate is not None and (step % validate_steps == 0 or step == config.steps):
            figures = validate(stage)
            stage.train()
            on_log("validation | " + " ".join(f"{k} {v:.4f}" for k, v in figures.items()))
        stopping = stop_after is not None and step - first >= stop_after
        if stopping or time.monotonic() - saved > config.save_seconds:
            _save(engine, folder, step, average)
            saved = time.monotonic()
        if stopping and step < config.steps:
            return None
    state = dict(stage.state_dict())
    if average is not None:
        state.update(average.average)
    part = finished.with_suffix(".part")
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in state.items() if keep(k)}, part)
    part.rename(finished)
    return finished


def _engine(stage: nn.Module, config: RunConfig) -> Any:
    """DeepSpeed's engine around a stage, with torch's own AdamW (DeepSpeed's compile for minutes)."""
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    for name, value in alone.items():
        os.environ.setdefault(name, value)
    if "MASTER_PORT" not in os.environ:
        os.environ["MASTER_PORT"] = str(_free_port())
    # DeepSpeed takes seconds to import and greets at level INFO.
    import deepspeed
    from deepspeed.utils import logger

    logger.setLevel("WARNING")
    optimizer = torch.optim.AdamW(_parameter_groups(stage, config), lr=config.learning_rate)
    # The schedule is moved once per update, the steps of a run are counted in batches.
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda update: learning_rate_factor(update * config.accumulation, config)
    )
    engine, *_ = deepspeed.initialize(
        model=stage,
        optimizer=optimizer,
        lr_scheduler=schedule,
        config={
            "train_micro_batch_size_per_gpu": config.micro_batch,
            "gradient_accumulation_steps": config.accumulation,
            "gradient_clipping": config.gradient_clipping,
            "zero_optimization": {"stage": config.zero_stage},
            "zero_allow_untested_optimizer": True,
            "steps_per_print": 10**9,
        },
    )
    return engine


def _parameter_groups(stage: nn.Module, config: RunConfig) -> list[dict[str, Any]]:
    """Trainable parameters by pace, and by whether they decay (matrices do, vectors do not)."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in stage.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith(config.slow), parameter.ndim >= 2), []).append(parameter)
    return [
        {
            "params": members,
            "lr": config.learning_rate * (config.slow_rate if slow else 1.0),
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (slow, decays), members in groups.items()
    ]


def _free_port() -> int:
    with closing(socket(AF_INET, SOCK_STREAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _resume(engine: Any, folder: Path, average: AveragedWeights | None, on_log: Callable[[str], None]) -> int:
    """Load the last save, if any; returns the step to go on from."""
    if not (folder / "latest").exists():
        return 0
    tag = (folder / "latest").read_text().strip()
    _, client = engine.load_checkpoint(str(folder), tag=tag, custom_load_fn=_load_trainable)
    if average is not None:
        saved = load_file(folder / tag / EMA_FILE)
        average.average = {name: saved[name].to(now.device) for name, now in average.average.items()}
    on_log(f"goes on from step {client['step']}")
    return int(client["step"])


def _load_trainable(src: Mapping[str, Tensor], dst: nn.Module) -> None:
    """Load a save; frozen parameters are not in it and stay as the caller built them."""
    missing, unexpected = dst.load_state_dict(src, strict=False)
    frozen = {name for name, parameter in dst.named_parameters() if not parameter.requires_grad}
    wrong = [*unexpected, *(name for name in missing if name not in frozen)]
    if wrong:
        raise InvalidInputError(f"the save does not fit the stage at {wrong[0]}; train in another folder")


def _save(engine: Any, folder: Path, step: int, average: AveragedWeights | None) -> None:
    """Save the run; `latest` is written last, so a kill in between leaves the save before it."""
    tag = f"step{step}"
    (folder / tag).mkdir(exist_ok=True)
    if average is not None:
        save_file({k: v.contiguous() for k, v in average.average.items()}, folder / tag / EMA_FILE)
    engine.save_checkpoint(
        str(folder), tag=tag, client_state={"step": step}, save_latest=False, exclude_frozen_parameters=True
    )
    part = folder / "latest.part"
    part.write_text(tag)
    part.replace(folder / "latest")
    for old in folder.glob("step*"):
        if old.name != tag:
            shutil.rmtree(old)


def _log(folder: Path, step: int, figures: Mapping[str, float]) -> None:
    """Append one line to `log.csv`."""
    path = folder / "log.csv"
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(["step", *figures])
        writer.writerow([step, *(f"{v:.6f}" for v in figures.values())])
