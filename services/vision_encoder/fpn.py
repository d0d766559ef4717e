"""A pretrained convolutional backbone with a feature pyramid: detail that SAM's patches lose."""

from collections import OrderedDict
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from services.vision_encoder.config import FpnConfig


class BackboneFpn(nn.Module):
    """Images -> pyramid levels at strides 4, 8, 16, 32 and, on request, stride-2 detail.

    The backbone's batch normalisation always uses its stored statistics: pairs are few in a
    batch, and a map must not depend on what else is in it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: FpnConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = timm.create_model(config.backbone, features_only=True, pretrained=False)
        stages: Any = self.backbone.feature_info
        reductions: list[int] = stages.reduction()
        channels: list[int] = stages.channels()
        if reductions != [2, 4, 8, 16, 32]:
            raise ValueError(f"backbone {config.backbone} has strides {reductions}, not 2 to 32")
        self.detail_channels = channels[0] if config.detail else 0
        self.pyramid = FeaturePyramidNetwork(channels[1:], config.width)
        self.strides = (4, 8, 16, 32)
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(3, 1, 1) * 255, persistent=False)

    def train(self, mode: bool = True) -> "BackboneFpn":
        """Training mode for all but the backbone's batch statistics."""
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, S, S) in 0-255 -> maps by rising stride: [2,] 4, 8, 16, 32."""
        stages = cast(list[Tensor], self.backbone((images.to(self.mean.dtype) - self.mean) / self.std))
        levels = self.pyramid(OrderedDict((str(i), s) for i, s in enumerate(stages[1:])))
        detail = stages[:1] if self.detail_channels else []
        return [*detail, *levels.values()]
