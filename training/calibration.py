"""What a checkpoint's numbers mean, settled on validation pairs: two thresholds and two calibrated heads.

`presence`: below the threshold the map is empty. `probability`: a pixel is changed at or above it. Both are
read off pairs that neither training nor the reported tables use (other seed, other pairs). On the same
pairs the presence head is scaled such that its output is a probability, and the quality head such that it
is the IoU to be expected. Both scalings are affine, so they go into the heads' last layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from torch import nn

from reasoncd.manifest import Thresholds
from reasoncd.ontology import MAIN_TARGETS, Target
from services.mask_decoder.model import ChangeMaskDecoder, OppositePrompts, Prompts
from services.vision_encoder.model import ChangeFeatureEncoder
from training.data.batches import presence_of_targets, stack_images
from training.data.labels import MEMBERSHIP, YES, LabelledPair, target_masks
from training.metrics import Confusion
from training.workshop.validation import MAIN_ROWS

F64 = NDArray[np.float64]

Absence = Literal["opposite", "unchanged", "nowhere"]
"""Why a change is absent: its opposite alone happened, its class is there and stayed, or is nowhere."""

CUTS = tuple(float(c) for c in np.arange(0.2, 0.85, 0.05))
"""Probability thresholds that are tried."""

EMPTY_SHARE = 0.92
"""Share of absent changes that must be answered with an empty map, if presence can tell them at all. Their
three kinds count alike, although the easiest is the commonest, and it holds for pairs of each origin."""

FALSE_REJECTION = 0.35
"""Most of the present changes that may be lost on the way to `EMPTY_SHARE`, origin by origin. The highest of
the origins' thresholds is taken, at which the others may lose more."""

_STEPS: F64 = np.arange(10_001) / 10_000
"""Presence thresholds that are tried, and written as they are: what is reported is what they give."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """One main target asked about one pair."""

    row: int
    """In the prompt table."""
    origin: str
    """Of the pair."""
    there: bool
    absence: Absence
    """Meaningless where it is there."""
    presence_logit: float
    quality: float
    counts: tuple[Confusion, ...]
    """At each of `CUTS`."""


def calibrate(
    encoder: ChangeFeatureEncoder,
    decoder: ChangeMaskDecoder,
    table: torch.Tensor,
    pairs: Sequence[LabelledPair],
) -> Calibration:
    """Choose both thresholds, and scale the decoder's presence and quality heads in place.

    A decoder that answers in both orders gets its opposite prompts from the table, as it will when served.

    Args:
        encoder: in eval mode.
        decoder: in eval mode.
        table: (targets, D) the prompt space.
        pairs: validation pairs.
    """
    if decoder.config.both_orders:
        decoder.opposites = OppositePrompts(table)
    asked = [one for pair in pairs for one in _ask(encoder, decoder, table, pair)]
    logits = np.array([a.presence_logit for a in asked])
    there = np.array([a.there for a in asked], dtype=bool)
    absences, origins = np.array([a.absence for a in asked]), np.array([a.origin for a in asked])
    scale, shift = presence_scaling(logits, there)
    rescale(cast(nn.Linear, decoder.presence_head[-1]), scale, shift)
    score = expit(scale * logits + shift)
    presence = max(
        presence_threshold(score[these], there[these], evened(absences[these], there[these]))
        for these in (origins == origin for origin in np.unique(origins))
    )
    kept = score >= presence
    scores = [
        _macro_f1([(a.row, a.counts[i], bool(k)) for a, k in zip(asked, kept, strict=True)])
        for i in range(len(CUTS))
    ]
    best = int(np.argmax(scores))
    marked = [(a, a.counts[best]) for a, k in zip(asked, kept, strict=True) if k]
    shown = [(a.quality, c.iou) for a, c in marked if c.tp + c.fp]
    scale, shift = quality_scaling(np.array([q for q, _ in shown]), np.array([iou for _, iou in shown]))
    rescale(decoder.mask_decoder.iou_prediction_head.layers[-1], scale, shift)
    if decoder.correction_refiner is not None:
        # What it adds is in the same units.
        rescale(decoder.correction_refiner.quality, scale, 0.0)
    return Calibration(
        thresholds=Thresholds(presence=presence, probability=round(CUTS[best], 2)),
        f1=scores[best],
        empty=float(np.mean(~kept[~there])) if (~there).any() else 1.0,
        kept=float(np.mean(kept[there])) if there.any() else 1.0,
    )


@torch.no_grad()
def _ask(
    encoder: ChangeFeatureEncoder, decoder: ChangeMaskDecoder, table: torch.Tensor, pair: LabelledPair
) -> list[_Asked]:
    """Every main target whose presence the labels know."""
    index = torch.tensor(MAIN_ROWS)
    images = stack_images([pair])
    handed = encoder.for_decoder(images.float())
    out = decoder.answer(handed, Prompts(seg=table[index]), torch.zeros_like(index))
    probability = torch.sigmoid(decoder.to_input_size(out.mask_logits)).numpy()
    truths = target_masks(pair, MAIN_TARGETS)
    present = presence_of_targets(pair)
    there = {target for target, row in zip(MAIN_TARGETS, MAIN_ROWS, strict=True) if present[row] == YES}
    return [
        _Asked(
            row=row,
            origin=pair.origin,
            there=bool(present[row]),
            absence=_absence_of(pair, MAIN_TARGETS[place], there),
            presence_logit=float(out.presence_logits[place]),
            quality=float(out.quality[place]),
            counts=tuple(Confusion.of(probability[place] >= cut, truths[place]) for cut in CUTS),
        )
        for place, row in enumerate(MAIN_ROWS)
        if present[row] in (0, 1)
    ]


def _absence_of(pair: LabelledPair, target: Target, there: set[Target]) -> Absence:
    if any(other.cls == target.cls for other in there - {target}):
        return "opposite"
    members = [code for code, belongs in enumerate(MEMBERSHIP[target.cls]) if belongs == YES]
    return "unchanged" if np.isin(pair.land_t1, members).any() else "nowhere"


def evened(kinds: NDArray[np.str_], there: NDArray[np.bool_]) -> F64:
    """Weights (n,) under which each kind (n,) of absence that occurs counts as much as any other."""
    weights = np.ones(len(kinds))
    for kind in np.unique(kinds[~there]):
        these = ~there & (kinds == kind)
        weights[these] = 1 / np.count_nonzero(these)
    return weights


def presence_scaling(logits: F64, there: NDArray[np.bool_]) -> tuple[float, float]:
    """Platt's scaling: the scale and shift of logits (n,) under which `there` (n,) is likeliest.

    Returns:
        Scale, above 0, and shift; 1 and 0 where the pairs show one kind only or scores are upside down.
    """
    if there.all() or not there.any():
        return 1.0, 0.0
    # Platt's targets, which keep apart scores from being scaled without end.
    yes, no = np.count_nonzero(there), np.count_nonzero(~there)
    wanted = np.where(there, (yes + 1) / (yes + 2), 1 / (no + 2))

    def loss(weights: F64) -> tuple[float, F64]:
        scaled = weights[0] * logits + weights[1]
        error = expit(scaled) - wanted
        value = np.mean(np.logaddexp(0.0, scaled) - wanted * scaled)
        return float(value), np.array([np.mean(error * logits), np.mean(error)])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS")
    scale, shift = map(float, found.x)
    return (scale, shift) if scale > 0 else (1.0, 0.0)


def quality_scaling(quality: F64, iou: F64) -> tuple[float, float]:
    """The affine map of predicted quality (n,) that is nearest to the reached IoU (n,).

    Returns:
        Scale, 0 or more, and shift. Without enough answers to tell, 1 and 0.
    """
    if len(quality) < 3:
        return 1.0, 0.0
    spread = float(np.var(quality))
    scale = max(float(np.mean((quality - quality.mean()) * (iou - iou.mean()))) / max(spread, 1e-12), 0.0)
    return scale, float(iou.mean() - scale * quality.mean())


@torch.no_grad()
def rescale(layer: nn.Linear, scale: float, shift: float) -> None:
    """Make a layer's first output `scale * output + shift`, in place; others stay."""
    layer.weight[0] *= scale
    layer.bias[0] = layer.bias[0] * scale + shift


def presence_threshold(score: F64, is_there: NDArray[np.bool_], weights: F64 | None = None) -> float:
    """The lowest threshold that empties `EMPTY_SHARE` of the absent, unless it loses too many present ones.

    Args:
        score: (n,) presence of each question in [0, 1].
        is_there: (n,) whether the asked change is there.
        weights: (n,) how much each counts; all alike if not given.

    Returns:
        A multiple of 1e-4. Where that threshold would lose more than `FALSE_REJECTION` of the present, the
        highest that does not; 0.5 where all or none are there.
    """
    if not is_there.any() or is_there.all():
        return 0.5
    weights = np.ones(len(score)) if weights is None else weights
    allowed = _share_below(score[is_there], weights[is_there]) <= FALSE_REJECTION
    enough = allowed & (_share_below(score[~is_there], weights[~is_there]) >= EMPTY_SHARE)
    return float(_STEPS[enough].min() if enough.any() else _STEPS[allowed].max())


def _share_below(score: F64, weights: F64) -> F64:
    """At each of `_STEPS`, the share of scores (n,) of those weights (n,) that lie below it."""
    order = np.argsort(score)
    total = np.concatenate([[0.0], np.cumsum(weights[order])])
    below: F64 = total[np.searchsorted(score[order], _STEPS)] / total[-1]
    return below


def emptied(confusion: Confusion) -> Confusion:
    """What the pixels of a map are where nothing of it is marked."""
    return Confusion(fn=confusion.tp + confusion.fn, tn=confusion.tn + confusion.fp)


def _macro_f1(rows: list[tuple[int, Confusion, bool]]) -> float:
    """Mean over targets of the pixel F1, where a rejected question marks nothing."""
    sums: dict[int, Confusion] = {}
    for i, confusion, kept in rows:
        sums[i] = sums.get(i, Confusion()) + (confusion if kept else emptied(confusion))
    there = [c.f1 for c in sums.values() if c.tp + c.fn > 0]
    return float(np.mean(there)) if there else 0.0
