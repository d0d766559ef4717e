"""Figures of a vision stage on fixed validation pairs: is it learning the right thing?

Asks every main target of every pair through the prompt table. The accuracy protocol proper runs
through the whole pipeline and lives in `benchmarks`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from reasoncd.ontology import MAIN_TARGETS, TARGETS
from services.mask_decoder.model import Prompts
from training.data.batches import presence_of_targets, stack_images
from training.data.labels import LabelledPair, target_masks
from training.metrics import Confusion
from training.stages.vision import VisionStage

MAIN_ROWS = tuple(TARGETS.index(t) for t in MAIN_TARGETS)
"""Rows of the main targets in the prompt table."""


@torch.no_grad()
def validate_vision(stage: VisionStage, pairs: Sequence[LabelledPair]) -> Mapping[str, float]:
    """Macro F1 over the main targets at threshold 0.5, and how well absence is told.

    Returns:
        `f1` (macro), one F1 per target, `wrong_way` (share of marked pixels that changed the opposite
        way), `presence_auc` (chance that a present target scores above an absent one).
    """
    stage.eval()
    sums = {i: Confusion() for i in MAIN_ROWS}
    wrong = marked = 0
    present: list[float] = []
    absent: list[float] = []
    device = stage.table.rows.device
    index = torch.tensor(MAIN_ROWS, device=device)
    for pair in pairs:
        images = stack_images([pair]).to(device)
        with stage.autocast(images):
            fused = stage.encoder(images)
            out = stage.decoder(fused, Prompts(seg=stage.table(index)), torch.zeros_like(index))
        maps = (stage.decoder.to_input_size(out.mask_logits) > 0).cpu().numpy()
        truths = target_masks(pair, MAIN_TARGETS)
        there = presence_of_targets(pair)
        for row, i in enumerate(MAIN_ROWS):
            sums[i] += Confusion.of(maps[row], truths[row])
            opposite = truths[MAIN_TARGETS.index(TARGETS[i].reversed)]
            wrong += int(np.count_nonzero(maps[row] & (opposite == 1)))
            marked += int(np.count_nonzero(maps[row]))
            score = float(out.presence_logits[row])
            if there[i] in (0, 1):
                (present if there[i] == 1 else absent).append(score)
    scores = {TARGETS[i].key: c.f1 for i, c in sums.items() if c.tp + c.fn > 0}
    pairs_won = np.mean(np.array(present)[:, None] > np.array(absent)[None]) if present and absent else 0.0
    return {
        "f1": float(np.mean(list(scores.values()))),
        **scores,
        "wrong_way": wrong / max(marked, 1),
        "presence_auc": float(pairs_won),
    }
