"""How long and how fast one stage learns, and the learning rate that follows from it."""

from dataclasses import dataclass
from math import cos, pi
from typing import Literal

from training.stages.precision import Precision

ZeroStage = Literal[0, 1, 2]
"""What ZeRO divides between the processes: 0 nothing, 1 the optimizer's state, 2 the gradients too."""

MAX_SEED = 2**32 - 1
"""Of a run: a step's seed is made of it and has to fit into 64 bits."""

BestBy = Literal["f1", "loss"]
"""The validation figure by which weights are called the best: the highest F1, or the lowest loss."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """How long and how fast one stage learns.

    Steps are batches of one process; with `accumulation` so many of them make one update of the weights.
    """

    steps: int
    learning_rate: float
    """The highest; warm-up leads to it, the decay away from it."""
    warmup_steps: int = 100
    final_rate: float = 0.02
    """Learning rate at the end, as a share of the highest; cosine in between."""
    weight_decay: float = 0.01
    gradient_clipping: float = 1.0
    """Longest gradient of an update; 0 clips none."""
    ema_decay: float | None = 0.998
    """Decay of the averaged weights that are handed on; None hands on the last ones."""
    zero_stage: ZeroStage = 0
    precision: Precision = "bfloat16"
    """Of the matrix products; weights, their averages and the optimizer are float32 either way."""
    micro_batch: int = 8
    """Only told to DeepSpeed for its own accounts; the batches say how large they are."""
    accumulation: int = 1
    """Batches whose gradients are averaged into one update."""
    slow: tuple[str, ...] = ()
    """Prefixes of parameter names that are pretrained and learn at `slow_rate` of the pace."""
    slow_rate: float = 0.3
    validate_steps: int = 500
    """Steps between two validations, where the stage has one; there is one at the end too."""
    best_by: BestBy | None = None
    """Hand on the weights of the best validation by this figure; None hands on those of the end."""
    patience: int | None = None
    """End after so many validations without a better one; None goes through all steps."""
    save_seconds: float = 180.0
    log_steps: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.warmup_steps < 0:
            raise ValueError("steps must be at least 1 and warmup_steps at least 0")
        if self.learning_rate <= 0 or self.weight_decay < 0 or self.gradient_clipping < 0:
            raise ValueError(
                "learning_rate must be above 0, weight_decay and gradient_clipping must not be negative"
            )
        if not 0.0 <= self.final_rate <= 1.0 or self.slow_rate <= 0:
            raise ValueError("final_rate must lie between 0 and 1, and slow_rate must be above 0")
        if self.ema_decay is not None and not 0.0 < self.ema_decay < 1.0:
            raise ValueError("ema_decay must lie between 0 and 1, or be None")
        if self.zero_stage not in (0, 1, 2):
            raise ValueError("zero_stage must be 0, 1 or 2")
        if self.precision not in ("bfloat16", "float32"):
            raise ValueError("precision must be bfloat16 or float32")
        for name in ("micro_batch", "accumulation", "validate_steps", "log_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.steps % self.accumulation or self.validate_steps % self.accumulation:
            raise ValueError(
                "steps and validate_steps must be multiples of accumulation: no update is halved"
            )
        if self.save_seconds < 0:
            raise ValueError(f"save_seconds is {self.save_seconds}; it must not be negative")
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed is {self.seed}; give one from 0 to {MAX_SEED}")
        if self.patience is not None and (self.patience < 1 or self.best_by is None):
            raise ValueError("patience must be at least 1 and needs best_by, the figure that it waits for")


def learning_rate_factor(step: int, config: RunConfig) -> float:
    """Linear warm-up, then half a cosine down to `final_rate`."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return config.final_rate + (1.0 - config.final_rate) * 0.5 * (1.0 + cos(pi * min(done, 1.0)))
