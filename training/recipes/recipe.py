"""What a recipe says: the sizes of the three models, the weights of the losses, and how long what learns."""

from dataclasses import dataclass, field, replace
from typing import Any

from reasoncd.errors import InvalidInputError
from services.mask_decoder.config import MaskDecoderConfig
from services.reasoner.config import ReasonerConfig
from services.vision_encoder.config import VisionEncoderConfig
from training.data.bank import BankConfig
from training.losses import LossWeights
from training.recipes.sample_training import SampleTraining
from training.run.config import RunConfig
from training.stages.vision import BOX_SHARE, CLICK_SHARE, Learning


@dataclass(frozen=True, kw_only=True, slots=True)
class VisionTraining:
    """The stage `vision`: encoder and decoder against a table of prompts."""

    run: RunConfig
    """Its `micro_batch` is the number of pairs in a batch."""
    queries_per_pair: int
    settle_table: int
    """Step from which the prompt table stays as it is."""
    learns: Learning = "all"
    """A run that goes on from a checkpoint may leave a part as it is."""
    click_share: float = CLICK_SHARE
    """Share of the steps in which the decoder learns from clicks on the errors of its own map; all of them
    where `learns` is `corrections`."""

    def __post_init__(self) -> None:
        _at_least(1, self, "queries_per_pair")
        _at_least(0, self, "settle_table")
        if not 0.0 <= self.click_share <= 1.0 - BOX_SHARE:
            raise ValueError(f"click_share is {self.click_share}; give a share from 0 to {1 - BOX_SHARE}")

    def check_table(self) -> None:
        """Refuse a run whose weights may be handed on before its table is settled; an adopted one is.

        Raises:
            InvalidInputError: `settle_table` is too late.
        """
        run = self.run
        first = run.steps if run.best_by is None else min(run.steps, run.validate_steps)
        if self.settle_table >= first:
            raise InvalidInputError(
                f"stages.vision.settle_table is {self.settle_table}, but the weights of step {first} may be "
                f"handed on, and the reasoner needs their table; settle it before step {first}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasonerTraining:
    """The stage `reasoner`: questions against the settled table."""

    run: RunConfig
    pairs: int
    """Pairs in a batch."""
    queries_per_pair: int

    def __post_init__(self) -> None:
        _at_least(1, self, "pairs", "queries_per_pair")


@dataclass(frozen=True, kw_only=True, slots=True)
class JointTraining:
    """The stage `joint`: questions with their masks."""

    run: RunConfig
    pairs: int
    """Pairs in a batch."""
    queries_per_pair: int
    extra: int
    """Questions without a mask in each batch."""

    def __post_init__(self) -> None:
        _at_least(1, self, "pairs", "queries_per_pair")
        _at_least(0, self, "extra")


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedTraining:
    """Training in stages on generated and real pairs whose land cover is known."""

    bank: BankConfig
    sam: RunConfig
    clip: RunConfig
    vision: VisionTraining
    reasoner: ReasonerTraining
    joint: JointTraining
    calibration_pairs: int
    """Validation pairs that thresholds are chosen on."""

    def __post_init__(self) -> None:
        _at_least(1, self, "calibration_pairs")
        widest = max(self.sam.micro_batch, self.clip.micro_batch, self.vision.run.micro_batch)
        if self.bank.count < max(widest, self.reasoner.pairs, self.joint.pairs):
            raise ValueError(f"bank.count is {self.bank.count}, fewer pairs than one batch takes")
        for stage in ("sam", "clip", "reasoner", "joint"):
            run = self.run_of(stage)
            if run is not None and run.best_by is not None:
                where = stage if stage in ("sam", "clip") else f"{stage}.run"
                raise ValueError(f"{where}.best_by is {run.best_by}, but only vision has a validation")
        if self.vision.run.best_by not in (None, "f1"):
            raise ValueError(
                f"vision.run.best_by is {self.vision.run.best_by}, which its validation does not give; "
                "give f1"
            )

    def run_of(self, stage: str) -> RunConfig | None:
        """How long a stage runs; None for those that have no run."""
        part = getattr(self, stage, None)
        if isinstance(part, VisionTraining | ReasonerTraining | JointTraining):
            return part.run
        return part if isinstance(part, RunConfig) else None

    def with_run(self, stage: str, run: RunConfig) -> "StagedTraining":
        """The same with another run of one stage."""
        part = getattr(self, stage)
        changes: dict[str, Any] = {stage: run if isinstance(part, RunConfig) else replace(part, run=run)}
        return replace(self, **changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One way to train one size of the models."""

    name: str
    """Of the file; names the working folder."""
    preset: str
    """Name of the sizes, which checkpoints carry: `mini`, `paper` or `paper_tiny`."""
    vision: VisionEncoderConfig
    decoder: MaskDecoderConfig
    reasoner: ReasonerConfig
    losses: LossWeights = field(default_factory=LossWeights)
    stages: StagedTraining | None = None
    """Training in stages, where the recipe has it."""
    samples: SampleTraining | None = None
    """Training on sample files, where the recipe has it."""

    def __post_init__(self) -> None:
        if self.stages is None and self.samples is None:
            raise ValueError("a recipe needs `stages`, `samples` or both: they say what is trained")
        if self.samples is not None and self.reasoner.decide_first:
            raise ValueError(
                "reasoner.decide_first is true, but sample files hold one answer a question; leave it out"
            )
        if self.samples is not None and self.decoder.both_orders:
            raise ValueError(
                "decoder.both_orders is true, but training on sample files makes no table of prompts, "
                "which it needs; leave it out"
            )
        if self.vision.both_orders != self.decoder.both_orders:
            raise ValueError("sizes.vision.both_orders and sizes.decoder.both_orders differ; set both")
        if self.stages is not None and self.stages.bank.size != self.vision.image_size:
            raise ValueError(
                f"stages.bank.size is {self.stages.bank.size} but the vision encoder takes "
                f"{self.vision.image_size} pixels"
            )
        if self.samples is not None and self.decoder.refines_corrections:
            raise ValueError(
                "decoder.refines_corrections is true, but training on sample files shows no corrections; "
                "leave it out"
            )
        corrections_alone = self.stages is not None and self.stages.vision.learns == "corrections"
        if corrections_alone and not self.decoder.refines_corrections:
            raise ValueError(
                "stages.vision.learns is corrections, but sizes.decoder.refines_corrections is false; "
                "turn it on"
            )
        if self.stages is not None and corrections_alone and self.stages.vision.run.best_by is not None:
            raise ValueError(
                f"stages.vision.run.best_by is {self.stages.vision.run.best_by}, but validation makes no "
                "corrections, which are all that learns; leave it out"
            )
        width = self.decoder.embed_dim
        for what, found in (
            ("vision.out_channels", self.vision.out_channels),
            ("reasoner.seg_dim", self.reasoner.seg_dim),
        ):
            if found != width:
                raise ValueError(f"sizes.{what} is {found} but the mask decoder's embed_dim {width}")
        for what, wanted, found in (
            ("reasoner.clip_width", self.vision.clip.width, self.reasoner.clip_width),
            ("reasoner.image_tokens", self.vision.clip.token_count, self.reasoner.image_tokens),
            ("decoder.image_size", self.vision.image_size, self.decoder.image_size),
            ("decoder.grid_size", self.vision.grid_size, self.decoder.grid_size),
        ):
            if found != wanted:
                raise ValueError(f"sizes.{what} is {found} but the vision encoder gives {wanted}")

    @property
    def staged(self) -> StagedTraining:
        """The training in stages.

        Raises:
            InvalidInputError: the recipe has none.
        """
        if self.stages is None:
            raise InvalidInputError(
                f"recipe {self.name} has no `stages`; train it with `reasoncd-train fit --samples`"
            )
        return self.stages

    def with_run(self, stage: str, *, steps: int | None, learning_rate: float | None) -> "Recipe":
        """The recipe with one stage longer, shorter, faster or slower; None leaves as it is.

        Args:
            stage: `sam`, `clip`, `vision`, `reasoner` or `joint`; others have no run to change.
            steps: how many.
            learning_rate: the highest.

        Raises:
            InvalidInputError: the stage cannot run so.
        """
        if steps is None and learning_rate is None:
            return self
        run = self.staged.run_of(stage)
        if run is None:
            raise InvalidInputError(f"stage {stage} takes no steps; leave out --steps and --learning-rate")
        try:
            changed = replace(
                run,
                steps=run.steps if steps is None else steps,
                learning_rate=run.learning_rate if learning_rate is None else learning_rate,
            )
        except ValueError as error:
            raise InvalidInputError(f"stage {stage} of {self.name}: {error}") from error
        return replace(self, stages=self.staged.with_run(stage, changed))

    def with_real_data(self, real_data: bool) -> "Recipe":
        """The recipe without real imagery where that is not wanted."""
        if self.stages is None or real_data:
            return self
        bank = replace(self.stages.bank, real_data=False)
        return replace(self, stages=replace(self.stages, bank=bank))


def _at_least(least: int, part: object, *names: str) -> None:
    for name in names:
        if getattr(part, name) < least:
            raise ValueError(f"{name} is {getattr(part, name)}; it must be at least {least}")
