"""SAM's image encoder, by segment-anything's own class so that official weights fit."""

from functools import partial
from typing import cast

import torch
from segment_anything.modeling import ImageEncoderViT
from torch import Tensor, nn

from services.vision_encoder.config import SamEncoderConfig

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


class SamImageEncoder(nn.Module):
    """Square images -> one map of C channels at the stride of SAM's patches."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: SamEncoderConfig, image_size: int) -> None:
        super().__init__()
        self.encoder = ImageEncoderViT(
            img_size=image_size,
            patch_size=config.patch_size,
            embed_dim=config.embed_dim,
            depth=config.depth,
            num_heads=config.num_heads,
            mlp_ratio=4,
            out_chans=config.out_channels,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=config.window_size,
            global_attn_indexes=config.global_attention,
        )
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(PIXEL_STD).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) in 0-255 -> (B, C, S / patch, S / patch)."""
        return cast(Tensor, self.encoder((images.to(self.mean.dtype) - self.mean) / self.std))
