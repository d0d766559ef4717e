"""Arms that train encoder and decoder, prompted by the settled table, and the maps that they make.

Every arm begins with the shared SAM encoder, ImageNet weights in the backbone if it has one, and a decoder
that knows nothing yet: a finished decoder would favour the encoder that it was trained with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from reasoncd.ontology import MAIN_TARGETS, TARGETS
from services.mask_decoder.model import Prompts
from training.ablations.arms import Arm
from training.ablations.measures import Measure
from training.ablations.plan import Plan, device
from training.calibration import CUTS
from training.data.batches import BatchSource, presence_of_targets, stack_images
from training.data.labels import NO, YES, LabelledPair, target_masks
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
    cuts = choose_cuts(stage, plan.workshop.calibration_pairs())
    measures: list[Measure] = []
    for listed in plan.measured_pairs():
        measures += measure_maps(stage, listed.pairs, cuts, f"{listed.kind}s")
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
    stage.table.settle(table)
    stage.table.rows.requires_grad_(False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cuts:
    """Where one trained arm divides: arms of a few steps differ in how sure they are before all else."""

    probability: float
    """A pixel is marked at or above it."""
    presence: float
    """A change is called absent below it."""


def choose_cuts(stage: VisionStage, pairs: Sequence[LabelledPair]) -> Cuts:
    """Those that do best on pairs that are measured nowhere.

    Args:
        stage: in eval mode.
        pairs: with known land cover.

    Returns:
        The probability of `CUTS` with the highest macro F1, and the presence that tells present and absent
        changes apart best, both kinds counting alike.
    """
    pixels = np.zeros((len(CUTS), len(pairs), len(MAIN_ROWS), 3), dtype=np.int64)
    scores: list[float] = []
    kinds: list[bool] = []
    for number, pair in enumerate(pairs):
        probability, presence = _answers(stage, pair)
        truths, labels = target_masks(pair, MAIN_TARGETS), presence_of_targets(pair)
        for row, target in enumerate(MAIN_ROWS):
            for place, cut in enumerate(CUTS):
                pixels[place, number, row] = _counts(probability[row] >= cut, truths[row])
            if labels[target] in (YES, NO):
                scores.append(float(presence[row]))
                kinds.append(labels[target] == YES)
    f1 = [_macro_f1("chosen by", of_cut).value for of_cut in pixels]
    return Cuts(
        probability=CUTS[int(np.nanargmax(f1))], presence=dividing_score(np.array(scores), np.array(kinds))
    )


def dividing_score(scores: NDArray[np.float64], there: NDArray[np.bool_]) -> float:
    """The score at or above which present and absent are told apart best, both kinds counting alike.

    0.5 where there is but one kind.
    """
    if there.all() or not there.any():
        return 0.5
    candidates = np.unique(scores)
    told = [np.mean(scores[there] >= one) + np.mean(scores[~there] < one) for one in candidates]
    return float(candidates[int(np.argmax(told))])


def measure_maps(
    stage: VisionStage, pairs: Sequence[LabelledPair], cuts: Cuts, where: str
) -> tuple[Measure, ...]:
    """Ask the main targets of every pair.

    Args:
        stage: in eval mode.
        pairs: with known land cover.
        cuts: from which probability a pixel is marked, and a change is there.
        where: what the pairs are, for the names of the measures.

    Returns:
        Macro F1; the share of marked pixels that changed the opposite way; and how well the presence head
        tells absent changes from present ones, the mean of both kinds told right.
    """
    pixels = np.zeros((len(pairs), len(MAIN_ROWS), 3), dtype=np.int64)
    wrong, told = np.zeros((len(pairs), 2), dtype=np.int64), np.zeros((len(pairs), 4), dtype=np.int64)
    for number, pair in enumerate(pairs):
        probability, presence = _answers(stage, pair)
        truths, there = target_masks(pair, MAIN_TARGETS), presence_of_targets(pair)
        for row, target in enumerate(MAIN_ROWS):
            marked = probability[row] >= cuts.probability
            pixels[number, row] = _counts(marked, truths[row])
            opposite = truths[MAIN_TARGETS.index(TARGETS[target].reversed)]
            wrong[number] += int(np.count_nonzero(marked & (opposite == YES))), int(np.count_nonzero(marked))
            called_there = bool(presence[row] >= cuts.presence)
            if there[target] == NO:
                told[number, :2] += int(not called_there), 1
            elif there[target] == YES:
                told[number, 2:] += int(called_there), 1
    name = f"wrong-direction share, {where} (less is better)"
    return (
        _macro_f1(f"macro F1, {where}", pixels),
        Measure(name=name, unit="pairs", kind="share", counts=wrong),
        Measure(name=f"presence told right, {where}", unit="pairs", kind="balanced", counts=told),
    )


def _answers(stage: VisionStage, pair: LabelledPair) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probabilities (main targets, H, W) and presence (main targets,)."""
    index = torch.tensor(MAIN_ROWS, device=stage.table.rows.device)
    images = stack_images([pair]).to(index.device)
    with torch.no_grad(), stage.autocast(images):
        prompts = Prompts(seg=stage.table(index))
        out = stage.decoder(stage.encoder(images), prompts, torch.zeros_like(index))
    probability = torch.sigmoid(stage.decoder.to_input_size(out.mask_logits).float())
    return probability.cpu().numpy(), torch.sigmoid(out.presence_logits.float()).cpu().numpy()


def _counts(marked: NDArray[np.bool_], truth: NDArray[np.uint8]) -> tuple[int, int, int]:
    c = Confusion.of(marked, truth)
    return c.tp, c.fp, c.fn


def _macro_f1(name: str, pixels: NDArray[np.int64]) -> Measure:
    """Of counts (pairs, targets, 3)."""
    return Measure(name=name, unit="pairs", kind="macro_f1", counts=pixels.reshape(len(pixels), -1))
