"""The two thresholds of a checkpoint, chosen on validation pairs.

`presence`: below it the map is empty. `probability`: a pixel is changed at or above it. Both are read off
pairs that neither training nor the reported tables use (other seed, other pairs).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reasoncd.manifest import Thresholds
from reasoncd.ontology import MAIN_TARGETS
from services.mask_decoder.model import ChangeMaskDecoder, Prompts
from services.vision_encoder.model import ChangeFeatureEncoder
from training.data.batches import presence_of_targets, stack_images
from training.data.labels import LabelledPair, target_masks
from training.metrics import Confusion
from training.validation import MAIN_ROWS

CUTS = tuple(float(c) for c in np.arange(0.2, 0.85, 0.05))
"""Probability thresholds that are tried."""

EMPTY_SHARE = 0.92
"""Share of absent changes that must be answered with an empty map, if presence can tell them at all."""

FALSE_REJECTION = 0.25
"""Most of the present changes that may be lost on the way to `EMPTY_SHARE`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """The thresholds and what they gave on the pairs they were chosen on."""

    thresholds: Thresholds
    f1: float
    """Macro F1 with both thresholds in force."""
    empty: float
    """Share of absent changes below the presence threshold."""
    kept: float
    """Share of present changes at or above it."""


@torch.no_grad()
def calibrate(
    encoder: ChangeFeatureEncoder,
    decoder: ChangeMaskDecoder,
    table: torch.Tensor,
    pairs: Sequence[LabelledPair],
) -> Calibration:
    """Choose both thresholds.

    Args:
        encoder: in eval mode.
        decoder: in eval mode.
        table: (targets, D) the prompt space.
        pairs: validation pairs.
    """
    index = torch.tensor(MAIN_ROWS)
    scores: list[float] = []
    there: list[int] = []
    counts: list[tuple[int, list[Confusion]]] = []
    for pair in pairs:
        images = stack_images([pair])
        out = decoder(encoder(images.float()), Prompts(seg=table[index]), torch.zeros_like(index))
        probability = torch.sigmoid(decoder.to_input_size(out.mask_logits)).numpy()
        truths = target_masks(pair, MAIN_TARGETS)
        present = presence_of_targets(pair)
        for row, i in enumerate(MAIN_ROWS):
            if present[i] not in (0, 1):
                continue
            scores.append(float(torch.sigmoid(out.presence_logits[row])))
            there.append(int(present[i]))
            counts.append((i, [Confusion.of(probability[row] >= cut, truths[row]) for cut in CUTS]))
    score, is_there = np.array(scores), np.array(there, dtype=bool)
    presence = presence_threshold(score, is_there)
    kept = score >= presence
    best, best_f1 = CUTS[0], -1.0
    for position, cut in enumerate(CUTS):
        f1 = _macro_f1([(i, c[position], bool(k)) for (i, c), k in zip(counts, kept, strict=True)])
        if f1 > best_f1:
            best, best_f1 = cut, f1
    return Calibration(
        thresholds=Thresholds(presence=round(presence, 4), probability=round(best, 2)),
        f1=best_f1,
        empty=float(np.mean(~kept[~is_there])) if (~is_there).any() else 1.0,
        kept=float(np.mean(kept[is_there])) if is_there.any() else 1.0,
    )


def presence_threshold(score: NDArray[np.float64], is_there: NDArray[np.bool_]) -> float:
    """The lowest threshold that empties `EMPTY_SHARE` of the absent, unless it rejects too many present ones.

    Args:
        score: (n,) presence of each question in [0, 1].
        is_there: (n,) whether the asked change is there.
    """
    if not is_there.any() or is_there.all():
        return 0.5
    wanted = float(np.quantile(score[~is_there], EMPTY_SHARE))
    most = float(np.quantile(score[is_there], FALSE_REJECTION))
    return min(wanted, most)


def _macro_f1(rows: list[tuple[int, Confusion, bool]]) -> float:
    """Mean over targets of the pixel F1, where a rejected question marks nothing."""
    sums: dict[int, Confusion] = {}
    for i, confusion, kept in rows:
        if not kept:
            confusion = Confusion(fn=confusion.tp + confusion.fn, tn=confusion.tn + confusion.fp)
        sums[i] = sums.get(i, Confusion()) + confusion
    return float(np.mean([c.f1 for c in sums.values() if c.tp + c.fn > 0]))
