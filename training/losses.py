"""The three losses of the paper, with unknown pixels left out.

Q queries, S the mask's side, A answer tokens, V vocabulary. Truth is three-valued as in
`training.data.labels`: 0 no, 1 yes, 255 unknown.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.labels import UNKNOWN

IGNORE_TOKEN = -100
"""Label of a position that is no answer token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossWeights:
    """How the parts add up (paper, section on losses)."""

    text: float = 1.0
    bce: float = 2.0
    dice: float = 0.5
    missing_seg: float = 10.0
    """Weight of the `<SEG>` class where the generated answer lacks a due `<SEG>`; else 1."""
    changed_pixel: float = 2.0
    """Weight of a changed pixel against an unchanged one in the BCE."""

    def __post_init__(self) -> None:
        for name in ("text", "bce", "dice"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        for name in ("missing_seg", "changed_pixel"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")


def mask_bce(logits: Tensor, truth: Tensor, *, changed_pixel: float) -> Tensor:
    """Pixel-weighted binary cross-entropy, averaged over the known pixels of each query.

    Args:
        logits: (Q, S, S).
        truth: uint8 (Q, S, S), 255 unknown.
        changed_pixel: weight of pixels that changed.

    Returns:
        (Q,) losses; 0 for a query of which nothing is known.
    """
    yes = (truth == 1).float()
    weight = (truth != UNKNOWN).float() * (1.0 + (changed_pixel - 1.0) * yes)
    per_pixel = F.binary_cross_entropy_with_logits(logits.float(), yes, reduction="none")
    return (per_pixel * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2)).clamp(min=1.0)


def mask_dice(logits: Tensor, truth: Tensor, *, smooth: float = 1.0) -> Tensor:
    """DICE loss 1 - 2 sum(p y) / (sum p + sum y), smoothed, over known pixels.

    Args:
        logits: (Q, S, S).
        truth: uint8 (Q, S, S), 255 unknown.
        smooth: added to numerator and denominator.

    Returns:
        (Q,) losses. A query whose truth is empty gives 0: its BCE and the presence head teach
        emptiness, while DICE on no pixels would only measure the smoothing.
    """
    known = (truth != UNKNOWN).float()
    yes = (truth == 1).float()
    probability = torch.sigmoid(logits.float()) * known
    overlap = (probability * yes).sum(dim=(1, 2))
    total = probability.sum(dim=(1, 2)) + yes.sum(dim=(1, 2))
    dice = 1.0 - (2.0 * overlap + smooth) / (total + smooth)
    return torch.where(yes.sum(dim=(1, 2)) > 0, dice, torch.zeros_like(dice))


def text_loss(logits: Tensor, labels: Tensor, *, seg_id: int, missing_seg: float) -> Tensor:
    """Token cross-entropy over answers; a due but missing `<SEG>` weighs more.

    "Missing" is judged on the argmax of the teacher-forced logits, sample by sample.

    Args:
        logits: (Q, A, V).
        labels: int64 (Q, A), `IGNORE_TOKEN` where there is no answer token.
        seg_id: id of `<SEG>`.
        missing_seg: weight of `<SEG>` positions in samples that miss it.

    Returns:
        Scalar: weighted mean over answer tokens.
    """
    is_seg = labels == seg_id
    generated = ((logits.argmax(dim=-1) == seg_id) & (labels != IGNORE_TOKEN)).any(dim=1)
    missing = is_seg.any(dim=1) & ~generated
    weight = (labels != IGNORE_TOKEN).float()
    weight = torch.where(is_seg & missing[:, None], weight * missing_seg, weight)
    per_token = F.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORE_TOKEN, reduction="none"
    ).view_as(weight)
    return (per_token * weight).sum() / weight.sum().clamp(min=1.0)


def presence_loss(logits: Tensor, presence: Tensor) -> Tensor:
    """Binary cross-entropy of "the asked change is there", over queries where that is known.

    Args:
        logits: (Q,).
        presence: uint8 (Q,), 255 unknown.
    """
    known = presence != UNKNOWN
    if not bool(known.any()):
        return logits.sum() * 0.0
    return F.binary_cross_entropy_with_logits(logits[known].float(), presence[known].float())


def quality_loss(quality: Tensor, logits: Tensor, truth: Tensor) -> Tensor:
    """Squared error of the predicted against the reached IoU, over queries with known change.

    Args:
        quality: (Q,) predicted IoU.
        logits: (Q, S, S), not differentiated.
        truth: uint8 (Q, S, S), 255 unknown.
    """
    known = truth != UNKNOWN
    yes = truth == 1
    shown = (logits.detach() > 0) & known
    union = (shown | yes).sum(dim=(1, 2)).float()
    iou = (shown & yes).sum(dim=(1, 2)).float() / union.clamp(min=1.0)
    due = yes.any(dim=2).any(dim=1)
    if not bool(due.any()):
        return quality.sum() * 0.0
    return F.mse_loss(quality[due].float(), iou[due])


def partial_label_loss(logits: Tensor, allowed: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy where a label names a *set* of classes: -log of the set's probability.

    A set that holds every class says nothing and costs nothing, so unknown pixels drop out.

    Args:
        logits: (B, K, h, w).
        allowed: bool (B, K, h, w).
        weight: (B, h, w) of each pixel, so that rare classes can count for more; None is all alike.

    Returns:
        Scalar (weighted) mean over pixels that say something.
    """
    logits = logits.float()
    chosen = logits.masked_fill(~allowed, -1e4).logsumexp(dim=1)
    per_pixel = logits.logsumexp(dim=1) - chosen
    counted = (~allowed.all(dim=1)).float()
    if weight is not None:
        counted = counted * weight
    return (per_pixel * counted).sum() / counted.sum().clamp(min=1.0)
