"""Pretraining of the small SAM encoder on dense land cover and its boundaries.

Official SAM weights exist for the paper's size only; a smaller encoder has to learn by itself what
a region and its edge are before it can be frozen. B pairs, T = 2 dates.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from services.vision_encoder.config import VisionEncoderConfig
from services.vision_encoder.sam import SamImageEncoder
from training.data.batches import PairBatch
from training.data.labels import LandCover
from training.stages.auxiliary import LandCoverHead, shrink_codes
from training.stages.stage import Stage


class SamPretraining(Stage):
    """Losses of one batch: land cover per cell, and which cells lie on a border."""

    def __init__(self, config: VisionEncoderConfig) -> None:
        super().__init__()
        self.encoder = SamImageEncoder(config.sam, config.image_size)
        self.land_head = LandCoverHead(config.sam.out_channels)
        self.border_head = nn.Conv2d(config.sam.out_channels, 1, 1)

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        """The batch's losses by name; `loss` is what is minimised."""
        images, lands = batch.images.flatten(0, 1), batch.lands.flatten(0, 1)
        with self.autocast(images):
            features = self.encoder(images)
            border = self.border_head(features)[:, 0].float()
            land = self.land_head(features, lands)
        truth, known = border_cells(lands, border.shape[-1])
        per_cell = F.binary_cross_entropy_with_logits(border, truth.float(), reduction="none")
        losses = {
            "land": land,
            "border": (per_cell * known).sum() / known.sum().clamp(min=1),
        }
        losses["loss"] = losses["land"] + 0.5 * losses["border"]
        return losses


def border_cells(lands: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Codes (B, S, S) -> which cells (B, size, size) hold more than one code, and which are known."""
    step = lands.shape[-1] // size
    cells = lands.unfold(1, step, step).unfold(2, step, step).flatten(3)
    known = (cells != LandCover.UNKNOWN).all(dim=-1)
    return cells.amax(dim=-1) != cells.amin(dim=-1), known


def land_probe_features(encoder: SamImageEncoder, images: Tensor, lands: Tensor) -> tuple[Tensor, Tensor]:
    """Frozen features and codes of every cell: (cells, C) and (cells,), for a linear probe."""
    with torch.no_grad():
        features = encoder(images)
    codes = shrink_codes(lands, features.shape[-1])
    return features.permute(0, 2, 3, 1).flatten(0, 2), codes.flatten()
