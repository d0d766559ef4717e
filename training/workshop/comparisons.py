"""Small experiments that decide something: two arms from one start, equal steps, the same batches."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors.torch import load_file

from training.data.batches import BatchSource
from training.data.fixed_pairs import PairKind, validation_pairs
from training.importers.imagenet import TIMM_MODEL
from training.prompt_table import kept_table
from training.run.loop import run_stage
from training.stages.stage import set_precision
from training.stages.vision import VisionStage
from training.workshop.validation import validate_vision
from training.workshop.workshop import Workshop


def compare_frozen_sam(
    workshop: Workshop, *, steps: int, pairs: int = 60
) -> Mapping[str, Mapping[str, float]]:
    """What freezing the pretrained SAM encoder costs.

    Both arms start from the finished vision stage and learn on for `steps` steps at a tenth of the recipe's
    rate; in one of them the SAM encoder learns too.

    Returns:
        Figures of `training.workshop.validation.validate_vision` by arm: `start`, `frozen`, `trained`.

    Raises:
        InvalidInputError: the stage cannot run for so many steps.
    """
    staged = workshop.training
    plan = staged.vision
    rate = plan.run.learning_rate / 10
    shorter = workshop.recipe.with_run("vision", steps=steps, learning_rate=rate).staged.vision.run
    # Both arms are measured at their ends.
    run = replace(shorter, warmup_steps=10, best_by=None, patience=None)
    pretrained = workshop.recipe.vision.fpn.backbone == TIMM_MODEL
    kind: PairKind = "composite" if staged.bank.real_data else "scene"
    size = workshop.recipe.vision.image_size
    fixed = validation_pairs(kind, "validation", pairs, 0, size=size).pairs
    source = BatchSource(
        workshop.bank(),
        batch_size=plan.run.micro_batch,
        queries_per_pair=plan.queries_per_pair,
        seed=plan.run.seed + 1,
    )
    figures: dict[str, Mapping[str, float]] = {"start": validate_vision(_start(workshop), fixed)}
    for arm in ("frozen", "trained"):
        stage = _start(workshop)
        stage.freeze_pretrained(sam=arm == "frozen", early_backbone=pretrained)
        with TemporaryDirectory() as folder:
            weights = run_stage(stage, source.batch, run, Path(folder), on_log=workshop.say)
            if weights is not None:
                stage.load_state_dict(load_file(weights))
        figures[arm] = validate_vision(stage, fixed)
    return figures


def _start(workshop: Workshop) -> VisionStage:
    stage = workshop.vision_stage()
    workshop.load_finished(stage, "vision")
    stage.table.settle(kept_table(workshop.folder))
    set_precision(stage, workshop.training.vision.run.precision)
    return stage
