"""Heads that only training has: they make features say what they must know, and are not exported.

A prompt-conditioned mask alone teaches one class of one direction at a time; these heads teach all
of them at every pixel of every pair. B pairs, T = 2 dates, C channels, h, w the fused grid.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reasoncd.ontology import CLASSES, Target
from training.data.labels import MEMBERSHIP, NO, UNKNOWN, LandCover, target_truth
from training.losses import partial_label_loss

BASE_CLASSES = tuple(c for c in CLASSES if c != "vegetation")
"""Classes that exclude each other; `vegetation` is the union of two of them."""

DENSE_TARGETS = tuple(Target(cls=c, direction=d) for c in CLASSES for d in ("gain", "loss"))
"""What the dense change head predicts."""


def allowed_classes() -> Tensor:
    """Which base classes a land-cover code leaves possible: bool (codes, classes)."""
    table = [[MEMBERSHIP[c][code] != NO for c in BASE_CLASSES] for code in LandCover]
    return torch.tensor(table)


def dense_truth_table() -> Tensor:
    """Truth by `code_t1 * codes + code_t2`: uint8 (codes * codes, dense targets)."""
    rows = [[target_truth(t, a, b) for t in DENSE_TARGETS] for a in LandCover for b in LandCover]
    return torch.from_numpy(np.array(rows, dtype=np.uint8))


def shrink_codes(lands: Tensor, size: int) -> Tensor:
    """Codes (..., S, S) -> (..., size, size), the nearest pixel of each cell."""
    step = lands.shape[-1] // size
    return lands[..., step // 2 :: step, step // 2 :: step]


def balance(codes: Tensor) -> Tensor:
    """Weight of each pixel by how rare its code is in the batch: (B, h, w) codes -> (B, h, w).

    The inverse square root of the code's share, at most 5: roads and water are few pixels of many images.
    """
    share = torch.bincount(codes.flatten(), minlength=len(LandCover)).float() / codes.numel()
    return share.clamp(min=0.04).rsqrt()[codes]


class LandCoverHead(nn.Module):
    """Features of one date -> which land cover each cell shows."""

    allowed: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.predict = nn.Conv2d(channels, len(BASE_CLASSES), 1)
        self.register_buffer("allowed", allowed_classes(), persistent=False)

    def forward(self, features: Tensor, lands: Tensor) -> Tensor:
        """Features (B, C, h, w) and codes (B, S, S) -> scalar loss."""
        logits = self.predict(features)
        codes = shrink_codes(lands, logits.shape[-1]).long()
        return partial_label_loss(logits, self.allowed[codes].permute(0, 3, 1, 2), balance(codes))


class DenseChangeHead(nn.Module):
    """Fused map -> gain and loss of every class at every cell."""

    truth: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.predict = nn.Conv2d(channels, len(DENSE_TARGETS), 1)
        self.register_buffer("truth", dense_truth_table(), persistent=False)

    def forward(self, fused: Tensor, lands: Tensor) -> Tensor:
        """Fused map (B, C, h, w) and codes (B, T, S, S) -> scalar loss."""
        logits = self.predict(fused).float()
        codes = shrink_codes(lands, logits.shape[-1]).long()
        truth = self.truth[codes[:, 0] * len(LandCover) + codes[:, 1]].permute(0, 3, 1, 2)
        known = (truth != UNKNOWN).float()
        yes = (truth == 1).float()
        bce = F.binary_cross_entropy_with_logits(logits, yes, reduction="none")
        # DICE over the batch, class by class: the BCE alone is content to never predict a road.
        probability = torch.sigmoid(logits) * known
        overlap = (probability * yes).sum(dim=(0, 2, 3))
        total = probability.sum(dim=(0, 2, 3)) + yes.sum(dim=(0, 2, 3))
        there = yes.sum(dim=(0, 2, 3)) > 0
        dice = (1.0 - (2.0 * overlap + 1.0) / (total + 1.0))[there]
        return (bce * known).sum() / known.sum().clamp(min=1.0) + dice.sum() / there.sum().clamp(min=1)
