"""Arms that train encoder and decoder, prompted by the settled table, and the maps that they make.

Every arm begins with the shared SAM encoder, ImageNet weights in the backbone if it has one, and a decoder
that knows nothing yet: a finished decoder would favour the encoder that it was trained with.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from reasoncd.ontology import MAIN_TARGETS, TARGETS
from services.mask_decoder.model import Prompts
from training.ablations.arms import Arm
from training.ablations.measures import Measure
from training.ablations.plan import Plan, device
from training.data.batches import BatchSource, presence_of_targets, stack_images
from training.data.labels import LabelledPair, target_masks
from training.importers.imagenet import TIMM_MODEL, fetch_weights, load_efficientnet_lite0
from training.metrics import Confusion
from training.prompt_table import kept_table
from training.run.loop import WEIGHTS_FILE, run_stage
from training.stages.loading import load_trained
from training.stages.stage import set_precision
from training.stages.vision import VisionStage, load_backbone
from training.workshop.pretraining import load_sam
from training.workshop.validation import MAIN_ROWS


def vision_arm(plan: Plan, arm: Arm, seed: int, folder: Path) -> tuple[Measure, ...]:
    """Train one arm with one seed, if it has not finished, and measure it."""
    stage = _trained(plan, arm, seed, folder).to(device()).eval()
    measures: list[Measure] = []
    for listed in plan.measured_pairs():
        measures += measure_maps(stage, listed.pairs, f"{listed.kind}s")
    return tuple(measures)


def _trained(plan: Plan, arm: Arm, seed: int, folder: Path) -> VisionStage:
    workshop = plan.workshop_of(arm, "vision", seed)
    training = workshop.training.vision
    run = training.run
    stage = workshop.vision_stage()
    _settle(stage, kept_table(plan.workshop.folder))
    finished = folder / WEIGHTS_FILE
    if not finished.exists():
        backbone = stage.encoder.fpn is not None and workshop.recipe.vision.fpn.backbone == TIMM_MODEL
        if backbone:
            load_backbone(stage, load_efficientnet_lite0(fetch_weights(progress=workshop.say)))
        load_sam(stage.encoder.sam, workshop.weights_of("sam"))
        stage.freeze_pretrained(sam=True, early_backbone=backbone)
        source = BatchSource(
            plan.bank(scenes_only=arm.scenes_only),
            batch_size=run.micro_batch,
            queries_per_pair=training.queries_per_pair,
            seed=run.seed,
        )
        set_precision(stage, run.precision)
        run_stage(stage, source.batch, run, folder, report=workshop.report)
    load_trained(stage, load_file(finished), where=str(finished))
    set_precision(stage, run.precision)
    return stage


def _settle(stage: VisionStage, table: torch.Tensor) -> None:
    """The shared prompts instead of drawn ones, and for good."""
    with torch.no_grad():
        stage.table.rows.copy_(table)
    stage.table.settled = True
    stage.table.rows.requires_grad_(False)


@torch.no_grad()
def measure_maps(stage: VisionStage, pairs: Sequence[LabelledPair], where: str) -> tuple[Measure, ...]:
    """Ask the main targets of every pair at threshold 0.5.

    Args:
        stage: in eval mode.
        pairs: with known land cover.
        where: what the pairs are, for the names of the measures.

    Returns:
        Macro F1; the share of marked pixels that changed the opposite way; and of the absent and of the
        present changes, how many the presence head calls absent.
    """
    index = torch.tensor(MAIN_ROWS, device=stage.table.rows.device)
    pixels = np.zeros((len(pairs), len(MAIN_ROWS), 3), dtype=np.int64)
    wrong, absent, present = (np.zeros((len(pairs), 2), dtype=np.int64) for _ in range(3))
    for number, pair in enumerate(pairs):
        images = stack_images([pair]).to(index.device)
        with stage.autocast(images):
            prompts = Prompts(seg=stage.table(index))
            out = stage.decoder(stage.encoder(images), prompts, torch.zeros_like(index))
        maps = (stage.decoder.to_input_size(out.mask_logits) > 0).cpu().numpy()
        truths, there = target_masks(pair, MAIN_TARGETS), presence_of_targets(pair)
        for row, target in enumerate(MAIN_ROWS):
            c = Confusion.of(maps[row], truths[row])
            pixels[number, row] = c.tp, c.fp, c.fn
            opposite = truths[MAIN_TARGETS.index(TARGETS[target].reversed)]
            marked = int(np.count_nonzero(maps[row]))
            wrong[number] += int(np.count_nonzero(maps[row] & (opposite == 1))), marked
            if there[target] in (0, 1):
                told = present if there[target] else absent
                told[number] += int(out.presence_logits[row] < 0), 1
    of_targets = pixels.reshape(len(pairs), -1)
    shares = (
        (f"wrong-direction share, {where} (less is better)", wrong),
        (f"absent changes called absent, {where}", absent),
        (f"present changes called absent, {where} (less is better)", present),
    )
    return (
        Measure(name=f"macro F1, {where}", unit="pairs", kind="macro_f1", counts=of_targets),
        *(Measure(name=name, unit="pairs", kind="share", counts=counts) for name, counts in shares),
    )
