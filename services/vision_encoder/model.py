"""The vision encoder's two halves: what the reasoner reads, and what the mask decoder reads.

They are separate modules because they are separate services: CLIP answers `EncodeForReasoning`,
SAM + pyramid + fusion answer `EncodeForDecoding`. B pairs, T = 2 dates, C channels.
"""

import torch
from torch import Tensor, nn

from services.vision_encoder.config import VisionEncoderConfig
from services.vision_encoder.fpn import BackboneFpn
from services.vision_encoder.fusion import MultiScaleFusion
from services.vision_encoder.sam import SamImageEncoder


class ChangeFeatureEncoder(nn.Module):
    """SAM encoder, backbone with pyramid, and fusion: one pair -> one fused map, or one in each order."""

    def __init__(self, config: VisionEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.sam = SamImageEncoder(config.sam, config.image_size)
        levels: list[tuple[int, int]] = []
        self.fpn: BackboneFpn | None = None
        if config.fusion.multi_scale:
            self.fpn = BackboneFpn(config.fpn)
            if self.fpn.detail_channels:
                levels.append((self.fpn.detail_channels, 2))
            levels += [(config.fpn.width, s) for s in self.fpn.strides]
        self.fusion = MultiScaleFusion(
            config.fusion,
            levels=levels,
            level_width=config.fpn.width,
            sam_channels=config.sam.out_channels,
            grid_stride=config.grid_stride,
            out_channels=config.out_channels,
        )

    def encode_dates(self, images: Tensor) -> Tensor:
        """(B, T, 3, S, S) in 0-255 -> features of each date (B, T, date_channels, h, w)."""
        batch, dates = images.shape[:2]
        flat = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        levels = self.fpn(flat) if self.fpn is not None else []
        size = (self.config.grid_size, self.config.grid_size)
        fused = self.fusion.fuse_date(self.sam(flat), levels, size)
        return fused.view(batch, dates, *fused.shape[1:])

    def forward(self, images: Tensor) -> Tensor:
        """(B, T, 3, S, S) in 0-255 -> fused map (B, C, h, w)."""
        return self.fusion.fuse_pair(self.encode_dates(images))

    def for_decoder(self, images: Tensor) -> Tensor:
        """(B, T, 3, S, S) in 0-255 -> what the decoder is handed, (B, *fused_shape)."""
        dates = self.encode_dates(images)
        as_given = self.fusion.fuse_pair(dates)
        if not self.config.both_orders:
            return as_given
        return torch.stack([as_given, self.fusion.fuse_pair(dates.flip(1))], dim=1)
