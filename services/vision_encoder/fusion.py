"""Multi-scale feature fusion (paper, section on feature fusion).

Per date, pyramid levels are brought to the fused grid, concatenated with the SAM map and weighed
by channel attention. Then both dates are concatenated, weighed again, and mixed by an FFN into
the one map that SAM's mask decoder reads. Up to there each cell compares the dates alone; context blocks,
where there are any, show it its neighbours' change. None of it knows the query: it is computed once per pair.

B pairs, T = 2 dates, C channels, h and w the fused grid.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from services.convnext import identity_block
from services.vision_encoder.config import FusionConfig


class ChannelAttention(nn.Module):
    """x -> (average pool, max pool) -> one shared MLP on both -> add -> sigmoid -> x * score."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, 8)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        pooled = (F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1))
        score = self.mlp(pooled[0].flatten(1)) + self.mlp(pooled[1].flatten(1))
        # In the map's own dtype: a float32 factor would widen a bfloat16 map.
        return x * torch.sigmoid(score).to(x.dtype)[:, :, None, None]


class ToGrid(nn.Module):
    """Brings one level to the fused grid.

    Coarser levels are interpolated. Finer ones keep their detail: pixels of a cell become channels
    (no average over them), and a 1x1 convolution weighs them.
    """

    def __init__(self, channels: int, width: int, stride: int, grid_stride: int) -> None:
        super().__init__()
        self.factor = max(grid_stride // stride, 1)
        finer = self.factor > 1
        self.mix = nn.Conv2d(channels * self.factor**2, width, 1) if finer else nn.Identity()
        self.width = width if finer else channels

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, C, any, any) -> (B, width, h, w)."""
        if self.factor > 1:
            x = self.mix(F.pixel_unshuffle(x, self.factor))
        if x.shape[-2:] != size:
            x = F.interpolate(x, size, mode="bilinear", align_corners=False)
        return x


def feed_forward(channels: int, hidden: int, out: int) -> nn.Sequential:
    """The FFN: two 1x1 convolutions, each followed by BatchNorm and GELU.

    BatchNorm sees the micro-batch of one process; it is not synchronised across ranks.
    """
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1, bias=False),
        nn.BatchNorm2d(hidden),
        nn.GELU(),
        nn.Conv2d(hidden, out, 1, bias=False),
        nn.BatchNorm2d(out),
        nn.GELU(),
    )


def context(channels: int, blocks: int) -> nn.Sequential:
    """Blocks that look around on the fused map, and that change nothing before they have learned to.

    So a finished model can be given some and trained further from where it is.
    """
    return nn.Sequential(*(identity_block(channels, mlp_ratio=2.0) for _ in range(blocks)))


class MultiScaleFusion(nn.Module):
    """SAM maps and pyramid levels of both dates -> one fused map.

    Args:
        levels: (channels, stride) of each pyramid level; ignored without `multi_scale`.
        sam_channels: channels of the SAM map.
        grid_stride: input pixels per cell of the fused grid.
        out_channels: channels of the fused map.
    """

    def __init__(
        self,
        config: FusionConfig,
        *,
        levels: list[tuple[int, int]],
        level_width: int,
        sam_channels: int,
        grid_stride: int,
        out_channels: int,
    ) -> None:
        super().__init__()
        self.multi_scale = config.multi_scale
        self.date_channels = sam_channels
        if config.multi_scale:
            self.to_grid = nn.ModuleList(ToGrid(c, level_width, s, grid_stride) for c, s in levels)
            self.date_channels += sum(m.width for m in self.to_grid if isinstance(m, ToGrid))
            self.date_attention = ChannelAttention(self.date_channels, config.reduction)
            self.pair_attention = ChannelAttention(2 * self.date_channels, config.reduction)
        self.ffn = feed_forward(2 * self.date_channels, config.hidden, out_channels)
        self.context = context(out_channels, config.context_blocks)

    def fuse_date(self, sam: Tensor, levels: list[Tensor], size: tuple[int, int]) -> Tensor:
        """One date each: (B, C, h', w') and the levels -> (B, date_channels, h, w)."""
        if sam.shape[-2:] != size:
            sam = F.interpolate(sam, size, mode="bilinear", align_corners=False)
        if not self.multi_scale:
            return sam
        maps = [m(x, size) for m, x in zip(self.to_grid, levels, strict=True)]
        # Channels last throughout: mixed layouts cost more than the arithmetic on a CPU.
        stacked = torch.cat([*maps, sam], dim=1).contiguous(memory_format=torch.channels_last)
        return torch.as_tensor(self.date_attention(stacked))

    def fuse_pair(self, dates: Tensor) -> Tensor:
        """(B, T, date_channels, h, w) -> (B, out_channels, h, w)."""
        pair = torch.cat(dates.unbind(1), dim=1)
        if self.multi_scale:
            pair = self.pair_attention(pair)
        return torch.as_tensor(self.context(self.ffn(pair)))
