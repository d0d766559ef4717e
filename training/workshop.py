"""The workshop: runs the stages of a recipe in one folder, and exports what they made.

Each stage goes on where an earlier call of it was cut off and does nothing when it has finished.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from reasoncd.checkpoint import mint_seg_space
from reasoncd.errors import CheckpointError, NotFoundError
from reasoncd.ontology import SHORT_ANSWERS
from services.reasoner.base_model import fetch_base, load_base_llm
from services.reasoner.build import build_reasoner
from services.reasoner.llama_tokenizer import from_sentencepiece, generate_sentencepiece
from services.reasoner.model import ReasonerModel
from services.reasoner.tokens import ReasonerTokenizer
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.sam import SamImageEncoder
from training.adoption import START_FILE
from training.calibration import Calibration, calibrate
from training.data.bank import PairBank, build_bank
from training.data.batches import BatchSource, PairBatch, make_batch
from training.data.fixed_pairs import PairKind, validation_pairs
from training.data.labels import LabelledPair
from training.export import TrainedParts, export_checkpoint
from training.imagenet import TIMM_MODEL, fetch_weights, load_efficientnet_lite0
from training.loop import run_stage
from training.precision import keep_depthwise_in_float32
from training.pretraining import load_clip, load_sam, pretrain_clip, pretrain_sam, probe_clip, probe_sam
from training.prompt_table import TABLE_FILE, keep_table, kept_space, kept_table
from training.queries import QuerySampler, load_phrases
from training.recipes import Recipe
from training.stages.joint import JointSource, JointStage
from training.stages.reasoner import QuerySource, ReasonerStage
from training.stages.vision import TRAINING_HEADS, VisionStage, load_backbone
from training.validation import validate_vision

Say = Callable[[str], None]

CALIBRATION_SEED = 4001
"""Of the validation pairs that thresholds are chosen on; the reported lists have other seeds."""
_VALIDATION_SEED = 0
_VALIDATION_PAIRS = 60
_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


class Workshop:
    """The stages of one recipe in one working folder.

    Args:
        recipe: what to train.
        folder: where run state and finished weights are kept.
        say: is told one line now and then.
    """

    def __init__(self, recipe: Recipe, folder: Path, say: Say = print) -> None:
        self.recipe = recipe
        self.folder = folder
        self.say = say

    def bank(self) -> PairBank:
        """The training pairs, rendered on the first call."""

        def progress(done: int, total: int) -> None:
            if done % 200 == 0 or done == total:
                self.say(f"rendered {done} of {total} pairs")

        return PairBank(build_bank(self.folder, self.recipe.bank, progress, workers=torch.get_num_threads()))

    def weights_of(self, stage: str) -> Path:
        """Finished weights of a stage.

        Raises:
            NotFoundError: the stage has not finished yet.
        """
        path = self.folder / stage / "weights.safetensors"
        if path.exists():
            return path
        # Adopted and never trained on: the checkpoint's weights are the stage's.
        start = self.folder / stage / START_FILE
        if start.exists() and not (start.parent / "latest").exists():
            return start
        raise NotFoundError(f"{path} is not there yet; run `reasoncd-train run {stage}` to its end first")

    def _begin(self, stage: nn.Module, name: str) -> bool:
        """Give a stage the weights of an adopted checkpoint, if there is one; says whether there is."""
        path = self.folder / name / START_FILE
        if path.exists():
            _load_part(stage, load_file(path))
        return path.exists()

    def sam(self) -> None:
        """Pretrain the SAM encoder."""
        pretrain_sam(self.bank(), self.recipe.vision, self.recipe.sam, self.folder / "sam")

    def clip(self) -> None:
        """Pretrain CLIP."""
        pretrain_clip(self.bank(), self.recipe.vision.clip, self.recipe.clip, self.folder / "clip")

    def vision(self) -> None:
        """Stage (a): vision encoder, decoder and prompt table; settles the table on the way."""
        r = self.recipe
        stage = self.vision_stage()
        pretrained = r.vision.fpn.backbone == TIMM_MODEL
        adopted = self._begin(stage, "vision")
        if adopted:
            stage.table.settled = True
            # Not even weight decay may move what reasoners were trained to hit.
            stage.table.rows.requires_grad_(False)
        if not adopted:
            if pretrained:
                load_backbone(stage, load_efficientnet_lite0(fetch_weights(progress=self.say)))
            load_sam(stage.encoder.sam, self.weights_of("sam"))
        stage.freeze_pretrained(sam=True, early_backbone=pretrained)
        source = BatchSource(
            self.bank(),
            batch_size=r.fit_vision.micro_batch,
            queries_per_pair=r.queries_per_pair,
            seed=r.fit_vision.seed,
        )

        def batch(step: int) -> PairBatch:
            if step >= r.settle_table and not stage.table.settled:
                stage.table.settled = True
                self._keep_table(stage.table.prompts())
            return source.batch(step)

        validate: Callable[[nn.Module], Mapping[str, float]] | None = None
        if r.bank.real_data:
            pairs = validation_pairs("composite", "validation", _VALIDATION_PAIRS, _VALIDATION_SEED).pairs
            validate = lambda module: validate_vision(module, pairs)  # type: ignore[arg-type]  # noqa: E731
        run_stage(stage, batch, r.fit_vision, self.folder / "vision", on_log=self.say, validate=validate)

    def reasoner(self) -> None:
        """Stage (b): the reasoner against the settled table."""
        r = self.recipe
        stage = self._reasoner_stage()
        self._begin(stage, "reasoner")
        trained = {n for n, p in stage.named_parameters() if p.requires_grad}
        source = QuerySource(
            self.bank(),
            QuerySampler(load_phrases()),
            pairs=r.reasoner_pairs,
            queries_per_pair=r.reasoner_queries,
            seed=r.fit_reasoner.seed,
        )
        run_stage(
            stage,
            source.batch,
            r.fit_reasoner,
            self.folder / "reasoner",
            keep=trained.__contains__,
            on_log=self.say,
        )

    def joint(self) -> None:
        """Stage (c): reasoner and decoder together."""
        r = self.recipe
        stage = self._joint_stage()
        trained = {n for n, p in stage.named_parameters() if p.requires_grad}
        pairs = BatchSource(
            self.bank(), batch_size=r.joint_pairs, queries_per_pair=r.joint_queries, seed=r.fit_joint.seed
        )
        sampler = QuerySampler(load_phrases(), off_topic=0.25)
        source = JointSource(pairs, sampler, extra=r.joint_extra)
        run_stage(
            stage,
            source.batch,
            r.fit_joint,
            self.folder / "joint",
            keep=trained.__contains__,
            on_log=self.say,
        )

    def probes(self) -> Iterator[str]:
        """Linear probes of the small encoders, pretrained against random, on pairs never seen."""
        vision = self.recipe.vision
        bank = self.bank()
        known = [BatchSource(bank, batch_size=8, queries_per_pair=1, seed=77).batch(i) for i in range(24)]
        fixed = self._unseen(96)
        rng = np.random.default_rng(0)
        unseen = [
            make_batch(list(fixed[i : i + 8]), rng, queries_per_pair=1) for i in range(0, len(fixed), 8)
        ]
        torch.manual_seed(5)
        sam, clip = SamImageEncoder(vision.sam, vision.image_size), ClipPatchEncoder(vision.clip)
        before = probe_sam(sam, known, unseen), probe_clip(clip, known, unseen)
        load_sam(sam, self.weights_of("sam"))
        load_clip(clip, self.weights_of("clip"))
        after = probe_sam(sam, known, unseen), probe_clip(clip, known, unseen)
        for name, random, trained in zip(("sam", "clip"), before, after, strict=True):
            yield f"{name}: balanced accuracy of land cover {random:.3f} random, {trained:.3f} pretrained"

    def export(self, path: Path, model_card: str) -> Calibration:
        """Write the checkpoint of everything that has finished; joint tuning is used where it has."""
        joint = self.folder / "joint" / "weights.safetensors"
        stage = self._joint_stage()
        if joint.exists():
            _load_part(stage, load_file(joint))
        else:
            self.say("joint tuning has not finished; exporting the stages before it")
        stage.eval()
        encoder, decoder = stage.vision.encoder, stage.vision.decoder
        pairs = self._unseen(self.recipe.calibration_pairs, scenes=0.3)
        calibration = calibrate(encoder, decoder, stage.reasoner.table, pairs)
        export_checkpoint(
            path,
            TrainedParts(
                preset=self.recipe.preset,
                clip=stage.reasoner.clip,
                encoder=encoder,
                decoder=decoder,
                reasoner=stage.reasoner.model,
                table=kept_table(self.folder),
                thresholds=calibration.thresholds,
                seg_space=kept_space(self.folder),
            ),
            model_card,
        )
        return calibration

    def _keep_table(self, table: Tensor) -> None:
        """Write the table and mint its prompt space, once."""
        if not (self.folder / TABLE_FILE).exists():
            keep_table(self.folder, table, mint_seg_space())

    def vision_stage(self) -> VisionStage:
        """Stage (a) with random weights, as the recipe sizes it."""
        torch.manual_seed(self.recipe.fit_vision.seed)
        stage = VisionStage(self.recipe.vision, self.recipe.decoder)
        keep_depthwise_in_float32(stage.encoder)
        return stage

    def _reasoner_stage(self) -> ReasonerStage:
        clip = ClipPatchEncoder(self.recipe.vision.clip)
        load_clip(clip, self.weights_of("clip"))
        return ReasonerStage(self._reasoner_model(), clip.eval(), kept_table(self.folder))

    def _reasoner_model(self) -> ReasonerModel:
        """The reasoner before training, on its base model or on random weights of the recipe's size."""
        config, seed = self.recipe.reasoner, self.recipe.fit_reasoner.seed
        dtype = _DTYPES[config.dtype]
        if config.base_model is None:
            return build_reasoner(config, _generated_tokenizer(config.llm.vocab_size), seed=seed, dtype=dtype)
        base = fetch_base(config.base_model, progress=self.say)
        return build_reasoner(
            config,
            ReasonerTokenizer.load(base),
            base_llm=load_base_llm(base, dtype=dtype),
            seed=seed,
            dtype=dtype,
        )

    def _unseen(self, count: int, *, scenes: float = 0.0) -> tuple[LabelledPair, ...]:
        """Validation pairs of the recipe's size: composites and a share of scenes, or scenes alone."""
        size = self.recipe.vision.image_size
        drawn = round(count * scenes) if self.recipe.bank.real_data else count
        kinds: tuple[tuple[PairKind, int], ...] = (("composite", count - drawn), ("scene", drawn))
        lists = [validation_pairs(k, "validation", n, CALIBRATION_SEED, size=size) for k, n in kinds if n]
        return tuple(pair for one in lists for pair in one.pairs)

    def _joint_stage(self) -> JointStage:
        vision, reasoner = self.vision_stage(), self._reasoner_stage()
        _load_part(vision, load_file(self.weights_of("vision")))
        _load_part(reasoner, load_file(self.weights_of("reasoner")))
        return JointStage(vision, reasoner)


def _load_part(module: nn.Module, state: dict[str, Any]) -> None:
    """Load the trained part of a module; the rest comes from elsewhere, or is a head that starts anew."""
    result = module.load_state_dict(state, strict=False)
    if result.unexpected_keys:
        raise CheckpointError(
            f"weights hold {result.unexpected_keys[0]}, unknown to this recipe; train in another folder"
        )
    lacking = [
        n
        for n, p in module.named_parameters()
        if p.requires_grad and n not in state and not n.startswith(TRAINING_HEADS)
    ]
    if lacking:
        raise CheckpointError(f"weights lack {lacking[0]}, which this recipe trains; train in another folder")


def _generated_tokenizer(entries: int) -> ReasonerTokenizer:
    """A tokenizer in LLaMA's format that spells the words of the short answers in few pieces."""
    words = {word.strip(":.") for answer in SHORT_ANSWERS for word in answer.split()}
    plain = tuple(sorted(word for word in words if word.isalpha()))
    return from_sentencepiece(generate_sentencepiece(entries, words=plain))
