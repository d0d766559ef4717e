"""CLIP's vision tower as a source of patch tokens for the language model.

Built by open_clip, so that official weights fit key by key. Only the vision tower lives here;
the text tower is a matter of contrastive training. B images, N patches, C channels.
"""

from typing import cast

import torch
from open_clip.model import CLIPVisionCfg, _build_vision_tower
from torch import Tensor, nn
from torch.nn import functional as F

from services.vision_encoder.config import CLIP_MEAN, CLIP_STD, ClipConfig


def build_vision_tower(config: ClipConfig) -> nn.Module:
    """The vision tower with open_clip's own class, hence open_clip's state-dict keys."""
    return cast(
        nn.Module,
        _build_vision_tower(
            config.embed_dim,
            CLIPVisionCfg(
                layers=config.layers,
                width=config.width,
                head_width=config.head_width,
                patch_size=config.patch_size,
                image_size=config.image_size,
            ),
            quick_gelu=config.quick_gelu,
        ),
    )


class ClipPatchEncoder(nn.Module):
    """Whole images -> patch tokens of the penultimate layer, the class token left out.

    The penultimate layer is what language models are fed in the paper: the last one has been
    bent towards the contrastive summary.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.visual = build_vision_tower(config)
        self.register_buffer("mean", torch.tensor(CLIP_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(CLIP_STD).view(3, 1, 1), persistent=False)

    def preprocess(self, images: Tensor) -> Tensor:
        """uint8 or float (B, 3, H, W) in 0-255 -> normalised (B, 3, S, S), antialiased."""
        size = (self.config.image_size, self.config.image_size)
        scaled = images.to(self.mean.dtype)
        if scaled.shape[-2:] != size:
            scaled = F.interpolate(scaled, size, mode="bicubic", antialias=True).clamp(0, 255)
        return (scaled / 255.0 - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in 0-255, any size -> tokens (B, N, C)."""
        out = self.visual.forward_intermediates(  # type: ignore[operator]
            self.preprocess(images),
            indices=[self.config.layers - 2],
            stop_early=True,
            normalize_intermediates=False,
            intermediates_only=True,
            output_fmt="NLC",
        )
        return cast(Tensor, out["image_intermediates"][0])
