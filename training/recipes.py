"""Recipes: what each preset is made of and how long each of its stages runs."""

from dataclasses import dataclass, replace
from typing import Any

from services.mask_decoder import config as decoder_config
from services.mask_decoder.config import MaskDecoderConfig
from services.reasoner import config as reasoner_config
from services.reasoner.config import ReasonerConfig
from services.vision_encoder import config as vision_config
from services.vision_encoder.config import VisionEncoderConfig
from training.data.bank import BankConfig
from training.loop import RunConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One preset's sizes and how long each stage runs."""

    preset: str
    vision: VisionEncoderConfig
    decoder: MaskDecoderConfig
    reasoner: ReasonerConfig
    bank: BankConfig
    sam: RunConfig
    clip: RunConfig
    fit_vision: RunConfig
    queries_per_pair: int
    settle_table: int
    """Step of the vision stage from which the prompt table stays as it is."""
    fit_reasoner: RunConfig
    reasoner_pairs: int
    reasoner_queries: int
    fit_joint: RunConfig
    joint_pairs: int
    joint_queries: int
    joint_extra: int
    """Questions without a mask in each joint batch."""
    calibration_pairs: int
    """Validation pairs that thresholds are chosen on."""

    def __post_init__(self) -> None:
        if self.bank.size != self.vision.image_size:
            raise ValueError(
                f"bank.size is {self.bank.size} but the vision encoder takes {self.vision.image_size} pixels"
            )
        widest = max(self.sam.micro_batch, self.clip.micro_batch, self.fit_vision.micro_batch)
        if self.bank.count < max(widest, self.reasoner_pairs, self.joint_pairs):
            raise ValueError(f"bank.count is {self.bank.count}, fewer pairs than one batch takes")

    def with_run(self, stage: str, *, steps: int | None, learning_rate: float | None) -> "Recipe":
        """The recipe with one stage longer, shorter, faster or slower; None leaves as it is.

        Args:
            stage: `sam`, `clip`, `vision`, `reasoner` or `joint`; others have no run.
            steps: how many.
            learning_rate: the highest.
        """
        field = stage if stage in ("sam", "clip") else f"fit_{stage}"
        run: RunConfig | None = getattr(self, field, None)
        if run is None or (steps is None and learning_rate is None):
            return self
        changed = replace(run, steps=steps or run.steps, learning_rate=learning_rate or run.learning_rate)
        changes: dict[str, Any] = {field: changed}
        return replace(self, **changes)


def mini(*, real_data: bool = True) -> Recipe:
    """The shipped `mini`: about two hours on two CPU cores."""
    return Recipe(
        preset="mini",
        vision=vision_config.mini(),
        decoder=decoder_config.mini(),
        reasoner=reasoner_config.mini(),
        bank=BankConfig(count=8000, scenes=0.25, real_pairs=0.2, real_data=real_data),
        sam=RunConfig(steps=500, learning_rate=1.5e-3),
        clip=RunConfig(steps=500, learning_rate=1e-3, micro_batch=32),
        fit_vision=RunConfig(
            steps=1800, learning_rate=1e-3, slow=("encoder.fpn.backbone",), ema_decay=0.998, seed=11
        ),
        queries_per_pair=2,
        settle_table=250,
        fit_reasoner=RunConfig(
            steps=560, learning_rate=1e-3, warmup_steps=30, ema_decay=None, micro_batch=24, seed=5
        ),
        reasoner_pairs=4,
        reasoner_queries=6,
        fit_joint=RunConfig(
            steps=90, learning_rate=3e-4, warmup_steps=10, ema_decay=0.97, micro_batch=6, seed=21
        ),
        joint_pairs=6,
        joint_queries=2,
        joint_extra=24,
        calibration_pairs=90,
    )


def paper_tiny() -> Recipe:
    """The paper's code path in seconds, for tests: rendered scenes, random base weights, few steps."""

    def briefly(steps: int, learning_rate: float) -> RunConfig:
        return RunConfig(
            steps=steps, learning_rate=learning_rate, warmup_steps=0, ema_decay=None, micro_batch=4
        )

    return Recipe(
        preset="paper_tiny",
        vision=vision_config.paper_tiny(),
        decoder=decoder_config.paper_tiny(),
        reasoner=reasoner_config.paper_tiny(),
        bank=BankConfig(count=16, size=128, real_data=False),
        sam=briefly(2, 1e-3),
        clip=briefly(2, 1e-3),
        fit_vision=briefly(6, 2e-3),
        queries_per_pair=2,
        settle_table=3,
        fit_reasoner=briefly(12, 1e-2),
        reasoner_pairs=2,
        reasoner_queries=4,
        fit_joint=briefly(2, 1e-3),
        joint_pairs=2,
        joint_queries=2,
        joint_extra=2,
        calibration_pairs=4,
    )
