"""How the whole model is fitted to a sample file, as the paper does: epochs, batch, what learns how fast."""

from dataclasses import dataclass

from reasoncd.errors import InvalidInputError
from training.run.config import BestBy, RunConfig, ZeroStage
from training.stages.precision import Precision

TURNS = 8
"""Ways to turn and flip a square."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleTraining:
    """Training on pairs with masks, questions and answers; an epoch shows every sample once."""

    epochs: int = 100
    batch: int = 16
    """Samples of one update, over all processes."""
    micro_batch: int = 1
    """Samples of one pass in one process; the rest of a batch is accumulated."""
    learning_rate: float = 5e-5
    warmup_updates: int = 100
    final_rate: float = 0.02
    weight_decay: float = 0.01
    gradient_clipping: float = 1.0
    ema_decay: float | None = None
    zero_stage: ZeroStage = 2
    precision: Precision = "float32"
    """Of the arithmetic, and of the frozen language model's weights."""
    turns: int = 1
    """In how many of the eight ways of turning and flipping a pair is shown; 1 shows it as it is."""
    presence: float = 0.0
    """Weight of "is the asked change there at all?"; 0 leaves that to the language model, as in the paper."""
    quality: float = 0.0
    """Weight of the predicted IoU's error; 0 as in the paper."""
    best_by: BestBy | None = "f1"
    """Validation figure whose best epoch is handed on."""
    patience: int | None = 10
    """Epochs without a better one after which training ends."""
    checkpoint_activations: bool = False
    """Compute the language model's activations twice instead of keeping them: half the speed, less memory."""
    official_weights: bool = True
    """Start from the official SAM, CLIP, ResNet34 and LLaMA2; False draws all at random."""
    cache_gigabytes: float = 50.0
    """Most disk that the frozen encoders' features may take; what does not fit is computed each time."""
    save_seconds: float = 600.0
    log_steps: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "micro_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.batch % self.micro_batch:
            raise ValueError(f"batch {self.batch} must be a multiple of micro_batch {self.micro_batch}")
        if not 1 <= self.turns <= TURNS:
            raise ValueError(f"turns must lie between 1 and {TURNS}")
        if self.presence < 0 or self.quality < 0 or self.cache_gigabytes < 0 or self.warmup_updates < 0:
            raise ValueError("presence, quality, cache_gigabytes and warmup_updates must not be negative")
        self.run(samples=self.batch, processes=1)

    def updates_per_epoch(self, samples: int) -> int:
        """Updates in which `samples` are seen once; what is left over waits for the next epoch's order."""
        return max(samples // self.batch, 1)

    def accumulation(self, processes: int) -> int:
        """Passes of one process in one update.

        Raises:
            InvalidInputError: the batch cannot be dealt evenly.
        """
        at_once = self.micro_batch * processes
        if self.batch % at_once:
            raise InvalidInputError(
                f"a batch of {self.batch} cannot be dealt to {processes} processes with {self.micro_batch} "
                "at a time; change batch, micro_batch or the number of processes"
            )
        return self.batch // at_once

    def run(self, *, samples: int, processes: int) -> RunConfig:
        """The run that these epochs make over so many training samples."""
        accumulation = self.accumulation(processes)
        epoch = self.updates_per_epoch(samples) * accumulation
        return RunConfig(
            steps=self.epochs * epoch,
            learning_rate=self.learning_rate,
            warmup_steps=self.warmup_updates * accumulation,
            final_rate=self.final_rate,
            weight_decay=self.weight_decay,
            gradient_clipping=self.gradient_clipping,
            ema_decay=self.ema_decay,
            zero_stage=self.zero_stage,
            precision=self.precision,
            micro_batch=self.micro_batch,
            accumulation=accumulation,
            validate_steps=epoch,
            best_by=self.best_by,
            patience=self.patience,
            save_seconds=self.save_seconds,
            log_steps=self.log_steps,
            seed=self.seed,
        )
