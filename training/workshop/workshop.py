"""The workshop: runs the stages of a recipe in one folder, and exports what they made.

Each stage goes on where an earlier call of it was cut off and does nothing when it has finished.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from reasoncd.checkpoint import mint_seg_space
from reasoncd.errors import InvalidInputError, NotFoundError
from reasoncd.manifest import Thresholds
from services.vision_encoder.clip import ClipPatchEncoder
from training.calibration import Calibration, calibrate
from training.data.bank import BankConfig, PairBank, build_bank
from training.data.batches import BatchSource, PairBatch
from training.data.fixed_pairs import PairKind, validation_pairs
from training.data.labels import LabelledPair
from training.export import TrainedParts, export_checkpoint
from training.importers.imagenet import TIMM_MODEL, fetch_weights, load_efficientnet_lite0
from training.prompt_table import TABLE_FILE, keep_table, kept_space, kept_table
from training.queries import QuerySampler, load_phrases
from training.reasoner_start import DTYPES, start_reasoner
from training.recipes import Recipe, StagedTraining
from training.run.loop import WEIGHTS_FILE, run_stage
from training.run.preflight import check_disk
from training.run.processes import is_first, rank, wait_for_all
from training.run.progress import PlainReport, Report
from training.stages.joint import JointSource, JointStage
from training.stages.loading import load_trained
from training.stages.precision import keep_depthwise_in_float32
from training.stages.reasoner import QuerySource, ReasonerStage
from training.stages.stage import set_precision
from training.stages.vision import REFINER, TRAINING_HEADS, VisionStage, load_backbone
from training.workshop.adoption import START_FILE, kept_thresholds
from training.workshop.pretraining import (
    load_clip,
    load_sam,
    pretrain_clip,
    pretrain_sam,
)
from training.workshop.validation import validate_vision

Say = Callable[[str], None]

CALIBRATION_SEED = 4001
"""Of the validation pairs that thresholds are chosen on; the reported lists have other seeds."""
_VALIDATION_SEED = 0
_VALIDATION_PAIRS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What a checkpoint's numbers mean."""

    thresholds: Thresholds
    calibration: Calibration | None
    """How they were chosen; None where they are those of the adopted checkpoint."""


class Workshop:
    """The stages of one recipe in one working folder.

    Args:
        recipe: what to train.
        folder: where run state and finished weights are kept.
        say: is told one line now and then.
        report: is told how far a run is; lines through `say` where there is none.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, say: Say = print, *, report: Report | None = None
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.say = say
        self.report = report or PlainReport(say)

    @property
    def training(self) -> StagedTraining:
        """How long each stage runs."""
        return self.recipe.staged

    def bank(self) -> PairBank:
        """The training pairs, rendered on the first call."""

        def progress(done: int, total: int) -> None:
            if done % 200 == 0 or done == total:
                self.say(f"rendered {done} of {total} pairs")

        config = self.training.bank
        # The others read what the first process renders.
        if is_first():
            if not (self.folder / config.name).exists():
                check_disk(_bank_bytes(config), self.folder, "the bank of training pairs")
            build_bank(self.folder, config, progress, workers=torch.get_num_threads())
        wait_for_all()
        return PairBank(build_bank(self.folder, config))

    def weights_of(self, stage: str) -> Path:
        """Finished weights of a stage.

        Raises:
            NotFoundError: the stage has not finished yet.
        """
        path = self.folder / stage / WEIGHTS_FILE
        if path.exists():
            return path
        # Adopted and never trained on: the checkpoint's weights are the stage's.
        start = self.folder / stage / START_FILE
        if start.exists() and not (start.parent / "latest").exists():
            return start
        raise NotFoundError(f"{path} is not there yet; run `reasoncd-train run {stage}` to its end first")

    def load_finished(self, stage: nn.Module, name: str) -> None:
        """Give a stage its finished weights.

        Args:
            stage: as the recipe builds it.
            name: of the stage.

        Raises:
            NotFoundError: it has not finished yet.
            CheckpointError: it was trained by another recipe.
        """
        path = self.weights_of(name)
        load_trained(stage, load_file(path), where=str(path), optional=TRAINING_HEADS)

    def _begin(self, stage: nn.Module, name: str) -> bool:
        """Give a stage the weights of an adopted checkpoint, if there is one; says whether there is."""
        path = self.folder / name / START_FILE
        if path.exists():
            load_trained(stage, load_file(path), where=str(path), optional=TRAINING_HEADS)
        return path.exists()

    def sam(self) -> None:
        """Pretrain the SAM encoder."""
        run = self.training.sam
        pretrain_sam(self.bank(), self.recipe.vision, run, self.folder / "sam", report=self.report)

    def clip(self) -> None:
        """Pretrain CLIP."""
        run = self.training.clip
        pretrain_clip(self.bank(), self.recipe.vision.clip, run, self.folder / "clip", report=self.report)

    def vision(self) -> None:
        """Stage (a): vision encoder, decoder and prompt table; settles the table on the way."""
        r, plan = self.recipe, self.training.vision
        stage = self.vision_stage()
        pretrained = r.vision.fpn.backbone == TIMM_MODEL
        adopted = self._begin(stage, "vision")
        if adopted:
            stage.table.settle(kept_table(self.folder))
            # Without a say they would still decay, and an export would see weights that moved.
            stage.table.rows.requires_grad_(False)
        if not adopted:
            if plan.learns != "all":
                raise InvalidInputError(
                    f"stages.vision.learns is {plan.learns}, but in {self.folder} there is nothing yet that "
                    "could stay as it is; adopt a checkpoint first"
                )
            plan.check_table()
            if pretrained:
                load_backbone(stage, load_efficientnet_lite0(fetch_weights(progress=self.say)))
            load_sam(stage.encoder.sam, self.weights_of("sam"))
        stage.freeze_pretrained(sam=True, early_backbone=pretrained)
        stage.learn_only(plan.learns)
        source = BatchSource(
            self.bank(),
            batch_size=plan.run.micro_batch,
            queries_per_pair=plan.queries_per_pair,
            seed=plan.run.seed,
            rank=rank(),
        )

        def batch(step: int) -> PairBatch:
            if step >= plan.settle_table and stage.table.settled is None:
                stage.table.settle(self._settled(stage.table.prompts()))
            return source.batch(step)

        validate: Callable[[nn.Module], Mapping[str, float]] | None = None
        real = self.training.bank.real_data
        if real or plan.run.best_by is not None:
            kind: PairKind = "composite" if real else "scene"
            size = r.vision.image_size
            pairs = validation_pairs(kind, "validation", _VALIDATION_PAIRS, _VALIDATION_SEED, size=size).pairs
            validate = lambda module: validate_vision(module, pairs)  # type: ignore[arg-type]  # noqa: E731
        set_precision(stage, plan.run.precision)
        run_stage(stage, batch, plan.run, self.folder / "vision", report=self.report, validate=validate)

    def reasoner(self) -> None:
        """Stage (b): the reasoner against the settled table."""
        plan = self.training.reasoner
        stage = self.reasoner_stage()
        self._begin(stage, "reasoner")
        trained = {n for n, p in stage.named_parameters() if p.requires_grad}
        source = QuerySource(
            self.bank(),
            QuerySampler(load_phrases()),
            pairs=plan.pairs,
            queries_per_pair=plan.queries_per_pair,
            seed=plan.run.seed,
            rank=rank(),
        )
        set_precision(stage, plan.run.precision)
        run_stage(
            stage,
            source.batch,
            plan.run,
            self.folder / "reasoner",
            keep=trained.__contains__,
            report=self.report,
        )

    def joint(self) -> None:
        """Stage (c): reasoner and decoder together."""
        plan = self.training.joint
        stage = self._joint_stage()
        trained = {n for n, p in stage.named_parameters() if p.requires_grad}
        pairs = BatchSource(
            self.bank(),
            batch_size=plan.pairs,
            queries_per_pair=plan.queries_per_pair,
            seed=plan.run.seed,
            rank=rank(),
        )
        sampler = QuerySampler(load_phrases(), off_topic=0.25)
        source = JointSource(pairs, sampler, extra=plan.extra)
        set_precision(stage, plan.run.precision)
        run_stage(
            stage,
            source.batch,
            plan.run,
            self.folder / "joint",
            keep=trained.__contains__,
            report=self.report,
        )

    def export(self, path: Path, model_card: str) -> Exported:
        """Write the checkpoint of everything that has finished; joint tuning is used where it has.

        Vision encoder and decoder of an adopted checkpoint that were not trained on, but for what follows
        corrections, stay as they are, to the byte, and so do the thresholds, where the recipe answers as the
        checkpoint did.
        """
        joint = self.folder / "joint" / WEIGHTS_FILE
        stage = self._joint_stage()
        if joint.exists():
            load_trained(stage, load_file(joint), where=str(joint), optional=TRAINING_HEADS)
        else:
            self.say("joint tuning has not finished; exporting the stages before it")
        stage.eval()
        encoder, decoder = stage.vision.encoder, stage.vision.decoder
        calibration, thresholds = None, None
        if not joint.exists() and self._answers_as_adopted():
            thresholds = kept_thresholds(self.folder, self.recipe)
        if thresholds is None:
            # Fitting the heads again would move their last bits even where nothing was trained.
            calibration = calibrate(encoder, decoder, stage.reasoner.table, self.calibration_pairs())
            thresholds = calibration.thresholds
        export_checkpoint(
            path,
            TrainedParts(
                preset=self.recipe.preset,
                clip=stage.reasoner.clip,
                encoder=encoder,
                decoder=decoder,
                reasoner=stage.reasoner.model,
                table=kept_table(self.folder),
                thresholds=thresholds,
                seg_space=kept_space(self.folder),
            ),
            model_card,
        )
        return Exported(thresholds=thresholds, calibration=calibration)

    def _answers_as_adopted(self) -> bool:
        """Whether questions without corrections get the answers that the adopted checkpoint gave."""
        start = self.folder / "vision" / START_FILE
        now = self.weights_of("vision")
        if not start.exists():
            return False
        trained = load_file(now)
        return all(
            torch.equal(t, trained[n]) for n, t in load_file(start).items() if not n.startswith(REFINER)
        )

    def _settled(self, prompts: Tensor) -> Tensor:
        """The table that is kept; where there is none yet, these prompts under a new prompt space."""
        if is_first() and not (self.folder / TABLE_FILE).exists():
            keep_table(self.folder, prompts, mint_seg_space())
        wait_for_all()
        # Also after a kill that came between this and a save: reasoners may have been trained to hit it.
        return kept_table(self.folder)

    def vision_stage(self) -> VisionStage:
        """Stage (a) with random weights, as the recipe sizes it."""
        torch.manual_seed(self.training.vision.run.seed)
        stage = VisionStage(self.recipe.vision, self.recipe.decoder, self.recipe.losses)
        stage.click_share = self.training.vision.click_share
        keep_depthwise_in_float32(stage.encoder)
        return stage

    def reasoner_stage(self) -> ReasonerStage:
        """Stage (b) before its training, as the recipe sizes it, against the settled table.

        Raises:
            NotFoundError: CLIP has not finished yet, or the table is not settled.
        """
        clip = ClipPatchEncoder(self.recipe.vision.clip)
        load_clip(clip, self.weights_of("clip"))
        config = self.recipe.reasoner
        model = start_reasoner(
            config, seed=self.training.reasoner.run.seed, dtype=DTYPES[config.dtype], say=self.say
        )
        return ReasonerStage(model, clip.eval(), kept_table(self.folder), self.recipe.losses)

    def calibration_pairs(self) -> tuple[LabelledPair, ...]:
        """What thresholds are chosen on."""
        return self.unseen_pairs(self.training.calibration_pairs, scenes=0.3)

    def unseen_pairs(self, count: int, *, scenes: float = 0.0) -> tuple[LabelledPair, ...]:
        """Validation pairs of the recipe's size: composites and a share of scenes, or scenes alone."""
        size = self.recipe.vision.image_size
        drawn = round(count * scenes) if self.training.bank.real_data else count
        kinds: tuple[tuple[PairKind, int], ...] = (("composite", count - drawn), ("scene", drawn))
        lists = [validation_pairs(k, "validation", n, CALIBRATION_SEED, size=size) for k, n in kinds if n]
        return tuple(pair for one in lists for pair in one.pairs)

    def _joint_stage(self) -> JointStage:
        vision, reasoner = self.vision_stage(), self.reasoner_stage()
        self.load_finished(vision, "vision")
        self.load_finished(reasoner, "reasoner")
        return JointStage(vision, reasoner, self.recipe.losses)


def _bank_bytes(config: BankConfig) -> int:
    """Two images and two label maps for each pair."""
    return config.count * 2 * config.size**2 * 4
