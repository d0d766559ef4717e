"""SAM's prompt encoder and mask decoder, prompted by the `<SEG>` embedding.

Upstream's decoder serves one image with many prompts; the subclass here takes one fused map *per prompt*, so
that queries of several pairs run in one batch. Nothing else differs, and the state-dict keys are
upstream's. A head on the mask token says whether the asked change is there at all;
it may read the mask's own peaks beside it, and a refiner may follow corrections at the mask's resolution.

B pairs, Q prompts in all (of any pair), D prompt width, h and w the fused grid, S the input's side.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from reasoncd.ontology import TARGETS
from services.mask_decoder.config import MaskDecoderConfig
from services.mask_decoder.correction_refiner import CorrectionRefiner

_PEAKS = (4, 32, 256, 2048)
"""Over how many of the highest logits of a mask the means are taken: from a speck to a field."""
_PEAK_SCALE = 0.1
"""Brings logits to the size of a state's components."""


class ChannelLayerNorm(nn.Module):
    """Layer norm over the channels of (B, C, h, w) by torch's fused kernel.

    Same parameters and values as segment-anything's `LayerNorm2d`, which spells the arithmetic out
    and costs a third of the decoder's time on a CPU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        last = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, eps=1e-6)
        return last.permute(0, 3, 1, 2)


class SingleMask(NamedTuple):
    """One mask a prompt, and what the heads beside it read."""

    logits: Tensor
    """(Q, 4h, 4w)."""
    quality: Tensor
    """(Q,) predicted IoU."""
    state: Tensor
    """(Q, D), the mask token's final state."""
    upscaled: Tensor
    """(Q, D // 8, 4h, 4w), the features that the mask is a combination of."""


class PerPromptMaskDecoder(MaskDecoder):  # type: ignore[misc]
    """SAM's mask decoder where row q of the fused maps belongs to row q of the prompts."""

    def __init__(self, **upstream: Any) -> None:
        super().__init__(**upstream)
        self.output_upscaling[1] = ChannelLayerNorm(self.transformer_dim // 4)

    def predict_single_mask(
        self, image_embeddings: Tensor, image_pe: Tensor, sparse: Tensor, dense: Tensor
    ) -> SingleMask:
        """What `forward(..., multimask_output=False)` computes, without repeating one image.

        Args:
            image_embeddings: (Q, D, h, w), one map per prompt.
            image_pe: (1, D, h, w) positional encoding of the grid.
            sparse: (Q, P, D) prompt tokens.
            dense: (Q, D, h, w) embedded previous masks.
        """
        count = sparse.shape[0]
        output = torch.cat([self.iou_token.weight, self.mask_tokens.weight], dim=0)
        tokens = torch.cat([output.expand(count, -1, -1), sparse], dim=1)
        # One dtype throughout: under autocast a float32 addend would widen every map.
        src = image_embeddings + dense.to(image_embeddings.dtype)
        position = image_pe.to(src.dtype).expand(count, -1, -1, -1)
        states, src = self.transformer(src, position, tokens.to(src.dtype))
        iou_state, mask_state = states[:, 0], states[:, 1]
        grid = src.transpose(1, 2).reshape(image_embeddings.shape)
        upscaled = self.output_upscaling(grid)
        weights = self.output_hypernetworks_mlps[0](mask_state)
        masks = torch.einsum("qc,qchw->qhw", weights, upscaled)
        quality = self.iou_prediction_head(iou_state)[:, 0]
        return SingleMask(logits=masks, quality=quality, state=mask_state, upscaled=upscaled)


def mask_peaks(logits: Tensor) -> Tensor:
    """How sure the surest parts of masks are: (Q, H, W) logits -> (Q, 4).

    One house of a few pixels shows in its own logits long before it shows in a token that sums up the map.
    No gradient passes: presence is read off the mask, and does not draw it.
    """
    flat = logits.detach().float().flatten(1)
    counts = [min(count, flat.shape[1]) for count in _PEAKS]
    highest = flat.topk(counts[-1], dim=1).values
    return torch.stack([highest[:, :count].mean(1) for count in counts], dim=1) * _PEAK_SCALE


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompts:
    """What prompts the decoder: the `<SEG>` embedding, and corrections beside it."""

    seg: Tensor
    """(Q, D) `<SEG>` embeddings."""
    points: Tensor | None = None
    """(Q, P, 2) x and y in input pixels."""
    point_labels: Tensor | None = None
    """(Q, P): 1 changed, 0 not changed, -1 padding."""
    boxes: Tensor | None = None
    """(Q, 4) x1, y1, x2, y2 in input pixels."""
    previous_logits: Tensor | None = None
    """(Q, 4h, 4w) logits of an earlier answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderOutput:
    """Row q belongs to prompt q."""

    mask_logits: Tensor
    """(Q, 4h, 4w) logits of "changed"."""
    quality: Tensor
    """(Q,) predicted IoU, not yet clamped."""
    presence_logits: Tensor
    """(Q,) logits of "the asked change is there at all"."""


class OppositePrompts(nn.Module):
    """What a prompt becomes where the dates are exchanged: a gain the loss, `a>b` the move back.

    Prompts are told by the nearest row of the table that the decoder was trained with; what a reasoner's
    embedding differs from its row by stays.

    Args:
        table: float32 (targets, D), rows in the order of `TARGETS`.
    """

    table: Tensor
    opposite: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        rows = {target: row for row, target in enumerate(TARGETS)}
        # No part of a decoder's weights: the table is a file of its own.
        self.register_buffer("table", table, persistent=False)
        opposite = torch.tensor([rows[target.reversed] for target in TARGETS])
        self.register_buffer("opposite", opposite, persistent=False)

    def forward(self, seg: Tensor) -> Tensor:
        """(Q, D) -> (Q, D)."""
        nearest = torch.cdist(seg.float(), self.table).argmin(dim=1)
        return seg + self.table[self.opposite[nearest]] - self.table[nearest]


class ChangeMaskDecoder(nn.Module):
    """Fused maps and prompts -> change masks, their quality, and whether there is any change."""

    def __init__(self, config: MaskDecoderConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.embed_dim
        self.prompt_encoder = PromptEncoder(
            embed_dim=dim,
            image_embedding_size=(config.grid_size, config.grid_size),
            input_image_size=(config.image_size, config.image_size),
            mask_in_chans=config.mask_in_channels,
        )
        self.mask_decoder = PerPromptMaskDecoder(
            num_multimask_outputs=config.num_multimask_outputs,
            transformer=TwoWayTransformer(
                depth=config.depth,
                embedding_dim=dim,
                mlp_dim=config.mlp_dim,
                num_heads=config.num_heads,
            ),
            transformer_dim=dim,
            iou_head_depth=config.iou_head_depth,
            iou_head_hidden_dim=config.iou_head_hidden_dim,
        )
        seen = dim + (len(_PEAKS) if config.presence_reads_mask else 0)
        self.presence_head = nn.Sequential(nn.Linear(seen, dim), nn.GELU(), nn.Linear(dim, 1))
        self.correction_refiner = CorrectionRefiner(dim, dim // 8) if config.refines_corrections else None
        self.opposites: OppositePrompts | None = None
        """For `answer`, where it is in both orders."""

    def answer(self, handed: Tensor, prompts: Prompts, pair_index: Tensor) -> DecoderOutput:
        """Decode Q prompts over what the vision encoder handed over for B pairs, as it is served.

        In both orders of the dates all three are the mean of the two answers, logits before the logistic
        function; corrections stay where they are.

        Args:
            handed: (B, *fused_shape).
            prompts: Q prompts.
            pair_index: int64 (Q,), which pair each prompt asks about.
        """
        if not self.config.both_orders:
            return self.forward(handed, prompts, pair_index)
        if self.opposites is None:
            raise ValueError("an answer in both orders needs the table of prompts; set `opposites`")
        opposite = replace(prompts, seg=self.opposites(prompts.seg))
        one = self.forward(handed[:, 0], prompts, pair_index)
        other = self.forward(handed[:, 1], opposite, pair_index)
        return DecoderOutput(
            mask_logits=(one.mask_logits + other.mask_logits) / 2,
            quality=(one.quality + other.quality) / 2,
            presence_logits=(one.presence_logits + other.presence_logits) / 2,
        )

    def forward(self, fused: Tensor, prompts: Prompts, pair_index: Tensor) -> DecoderOutput:
        """Decode Q prompts over B fused maps.

        Args:
            fused: (B, D, h, w).
            prompts: Q prompts.
            pair_index: int64 (Q,), which fused map each prompt asks about.
        """
        points = None
        if prompts.points is not None:
            if prompts.point_labels is None:
                raise ValueError("points need point_labels")
            points = (prompts.points, prompts.point_labels)
        masks = None
        if prompts.previous_logits is not None:
            masks = prompts.previous_logits[:, None]
        sparse, dense = self.prompt_encoder(points=points, boxes=prompts.boxes, masks=masks)
        # Without corrections upstream returns one row of no prompts, whatever the batch.
        count = prompts.seg.shape[0]
        sparse = torch.cat([prompts.seg[:, None], sparse.expand(count, -1, -1)], dim=1)
        fused = fused[pair_index]
        mask = self.mask_decoder.predict_single_mask(fused, self.prompt_encoder.get_dense_pe(), sparse, dense)
        if self.correction_refiner is not None and (points is not None or prompts.boxes is not None):
            mask = self._refined(self.correction_refiner, mask, fused, prompts)
        state = mask.state
        if self.config.presence_reads_mask:
            state = torch.cat([state, mask_peaks(mask.logits).to(state.dtype)], dim=1)
        return DecoderOutput(
            mask_logits=mask.logits,
            quality=mask.quality,
            presence_logits=self.presence_head(state)[:, 0],
        )

    def _refined(
        self, refiner: CorrectionRefiner, mask: SingleMask, fused: Tensor, prompts: Prompts
    ) -> SingleMask:
        """The mask as clicks and boxes change it."""
        # Input pixels to mask pixels, centres onto centres.
        scale = self.config.mask_size / self.config.image_size
        points, labels, boxes = prompts.points, prompts.point_labels, prompts.boxes
        if points is None or labels is None:
            points, labels = prompts.seg.new_zeros(len(prompts.seg), 0, 2), fused.new_zeros(len(fused), 0)
        change = refiner(
            fused,
            mask.upscaled,
            (points + 0.5) * scale - 0.5,
            labels,
            boxes=None if boxes is None else (boxes + 0.5) * scale - 0.5,
            shown=mask.logits if prompts.previous_logits is None else prompts.previous_logits,
            decoded=mask.logits,
        )
        return mask._replace(logits=mask.logits + change.logits, quality=mask.quality + change.quality)

    def to_input_size(self, logits: Tensor) -> Tensor:
        """(Q, 4h, 4w) -> (Q, S, S), bilinear where the sizes differ."""
        size = (self.config.image_size, self.config.image_size)
        if logits.shape[-2:] == size:
            return logits
        return F.interpolate(logits[:, None], size, mode="bilinear", align_corners=False)[:, 0]
