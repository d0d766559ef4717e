"""What corrections change in a mask: a small convolutional net beside SAM's decoder.

SAM's decoder gets clicks and boxes as tokens, which tell it *what* is meant more than *where* it went wrong:
maps of `mini` hardly changed at the clicked place (docs/decisions.md). The refiner sees them as pictures, as
click-based segmentation does (Sofiiuk et al., RITM, 2021): how near each pixel is to a click, how much it
looks like the clicked place, and whether it lies in the box. It adds to the decoder's logits, and nothing
where there is neither click nor box.

Q prompts, P clicks, D width of the fused map, U channels of the decoder's upscaled features, h and w the
fused grid, M = 4h the mask's side.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from services.convnext import identity_block

NEAR, AROUND = 2.5, 24.0
"""Standard deviations in mask pixels of the two bells around a click: its place, and what belongs to it."""

_FINE, _MIDDLE, _COARSE = 12, 24, 48
"""Channels at the mask's resolution, at half of it, and on the fused grid."""
_COARSE_KEYS, _FINE_KEYS = 24, 8
"""Components by which places are compared, on the fused grid and in the upscaled features."""
_GUIDES = 4
"""Pictures of one kind of click; one of the box comes after those of both."""
_WIDER = 3.0
"""Hidden channels of a block, as a multiple."""
_LOGIT_SCALE = 8.0
"""A sure logit, about."""


class Refinement(NamedTuple):
    """What is added to the decoder's answer; 0 in rows without click and box."""

    logits: Tensor
    """(Q, M, M)."""
    quality: Tensor
    """(Q,)."""


class CorrectionRefiner(nn.Module):
    """Clicks, boxes, features and two maps -> what changes in the logits and in the predicted IoU.

    Before it is trained it changes nothing.

    Args:
        dim: D.
        upscaled_dim: U.
    """

    def __init__(self, dim: int, upscaled_dim: int) -> None:
        super().__init__()
        self.coarse_keys = nn.Conv2d(dim, _COARSE_KEYS, 1)
        self.fine_keys = nn.Conv2d(upscaled_dim, _FINE_KEYS, 1)
        self.features = nn.Conv2d(upscaled_dim, _FINE_KEYS, 1)
        self.stem = nn.Conv2d(2 * _GUIDES + 1 + 2 + _FINE_KEYS, _FINE, 3, padding=1)
        self.down = nn.ModuleList([nn.Conv2d(_FINE, _MIDDLE, 2, 2), nn.Conv2d(_MIDDLE, _COARSE, 2, 2)])
        self.fused = nn.Conv2d(dim, _COARSE, 1)
        # Dilated by turns: nine cells of the grid to each side at once, and more with every block.
        blocks = [identity_block(_COARSE, mlp_ratio=_WIDER, dilation=dilation) for dilation in (1, 2, 1, 2)]
        self.blocks = nn.Sequential(*blocks)
        self.up = nn.ModuleList([nn.Conv2d(_COARSE, _MIDDLE, 1), nn.Conv2d(_MIDDLE, _FINE, 1)])
        self.middle = identity_block(_MIDDLE, mlp_ratio=_WIDER)
        self.fine = nn.Conv2d(_FINE, _FINE, 3, padding=1)
        self.logits = nn.Conv2d(_FINE, 1, 1)
        self.quality = nn.Linear(_COARSE, 1)
        for parameter in (*self.logits.parameters(), *self.quality.parameters()):
            nn.init.zeros_(parameter)

    def forward(
        self,
        fused: Tensor,
        upscaled: Tensor,
        points: Tensor,
        labels: Tensor,
        *,
        boxes: Tensor | None = None,
        shown: Tensor,
        decoded: Tensor,
    ) -> Refinement:
        """Refine Q masks.

        Args:
            fused: (Q, D, h, w) of each prompt.
            upscaled: (Q, U, M, M), the decoder's features.
            points: (Q, P, 2) x and y in mask pixels, 0 the centre of the first.
            labels: (Q, P): 1 changed, 0 not changed, -1 padding.
            boxes: (Q, 4) x1, y1, x2, y2 in mask pixels.
            shown: (Q, M, M) logits of the map that is corrected.
            decoded: (Q, M, M) logits that the decoder answers to the corrections.
        """
        guides = self._guides(fused, upscaled, points, labels, boxes)
        maps = torch.tanh(torch.stack([shown, decoded], dim=1) / _LOGIT_SCALE)
        seen = torch.cat([guides, maps.to(guides.dtype), self.features(upscaled)], dim=1)
        fine = F.gelu(self.stem(seen))
        middle = F.gelu(self.down[0](fine))
        coarse = self.blocks(F.gelu(self.down[1](middle)) + self.fused(fused))
        middle = self.middle(middle + _doubled(self.up[0](coarse)))
        fine = F.gelu(self.fine(fine + _doubled(self.up[1](middle))))
        corrected = (labels >= 0).any(dim=1) if boxes is None else labels.new_ones(len(labels))
        return Refinement(
            logits=_LOGIT_SCALE * self.logits(fine)[:, 0] * corrected[:, None, None],
            quality=self.quality(coarse.mean(dim=(2, 3)))[:, 0] * corrected,
        )

    def _guides(
        self, fused: Tensor, upscaled: Tensor, points: Tensor, labels: Tensor, boxes: Tensor | None
    ) -> Tensor:
        """(Q, 2 * _GUIDES + 1, M, M): of each kind of click what is near and alike around it; the box."""
        side = upscaled.shape[-1]
        coarse = F.normalize(self.coarse_keys(fused), dim=1)
        fine = F.normalize(self.fine_keys(upscaled), dim=1)
        grid = torch.arange(side, device=points.device)
        guides = [fine.new_zeros(len(fine), _GUIDES, side, side)] * 2
        # Click by click: all at once would take memory by their number.
        for click, label in zip(points.unbind(1), labels.unbind(1), strict=True):
            x, y = click[:, 0, None, None], click[:, 1, None, None]
            squared = (grid[None, :, None] - y) ** 2 + (grid[None, None, :] - x) ** 2
            near, around = (torch.exp(-squared / (2 * width**2)) for width in (NEAR, AROUND))
            alike = F.interpolate(_likeness(coarse, click, side), (side, side), mode="bilinear")
            pictures = [near, around, around * alike[:, 0], around * _likeness(fine, click, side)[:, 0]]
            guide = torch.stack(pictures, dim=1).to(fine.dtype)
            guides = [
                torch.maximum(before, guide * (label == kind)[:, None, None, None])
                for kind, before in enumerate(guides)
            ]
        box = fine.new_zeros(len(fine), 1, side, side)
        if boxes is not None:
            box = _inside(boxes, grid).to(fine.dtype)
        return torch.cat([*guides, box], dim=1)


def _likeness(keys: Tensor, click: Tensor, side: int) -> Tensor:
    """How much each place looks like the clicked one: unit keys (Q, K, h, w) -> (Q, 1, h, w) in [0, 1]."""
    at = (2 * click + 1) / side - 1
    clicked = F.grid_sample(
        keys, at[:, None, None].to(keys.dtype), align_corners=False, padding_mode="border"
    )
    cosine = (F.normalize(clicked, dim=1) * keys).sum(dim=1, keepdim=True)
    return (cosine + 1) / 2


def _inside(boxes: Tensor, grid: Tensor) -> Tensor:
    """1 inside of boxes (Q, 4), -1 outside: (Q, 1, M, M)."""
    x1, y1, x2, y2 = (edge[:, None] for edge in boxes.unbind(1))
    # A box holds every pixel that it touches.
    across, down = (x1 - 0.5 <= grid) & (grid <= x2 + 0.5), (y1 - 0.5 <= grid) & (grid <= y2 + 0.5)
    return 2.0 * (down[:, None, :, None] & across[:, None, None, :]) - 1.0


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear")
