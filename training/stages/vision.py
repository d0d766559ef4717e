"""Stage (a): vision encoder and mask decoder against a learned table of one prompt per target.

The table stands where the reasoner will stand. Its rows are the prompt space: once this stage is
done they are frozen, given a `seg_space` identifier, and the reasoner is trained to hit them.
"""

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reasoncd.ontology import TARGETS
from services.mask_decoder.config import MaskDecoderConfig
from services.mask_decoder.model import ChangeMaskDecoder, Prompts
from services.vision_encoder.config import VisionEncoderConfig
from services.vision_encoder.model import ChangeFeatureEncoder
from training.corrections import boxes_around, click_errors
from training.data.batches import PairBatch
from training.losses import LossWeights, mask_bce, mask_dice, presence_loss, quality_loss
from training.stages.auxiliary import DenseChangeHead, LandCoverHead
from training.stages.stage import Stage

PROMPT_NOISE = 0.1
"""Standard deviation of the noise on unit-variance prompts: a reasoner will never hit them exactly."""

PRESENCE_WEIGHT = 0.8
"""Of the presence loss: telling what is absent limits the answers more than outlines do."""

QUALITY_WEIGHT = 0.2
LAND_WEIGHT = 0.3
CHANGE_WEIGHT = 0.7

Learning = Literal["features", "all", "decoder", "corrections"]
"""What learns: the features by the dense heads alone, at half the cost of a step; everything; the decoder
over features that stay; or what follows corrections alone, while every answer without them stays as it is."""

REFINER = "decoder.correction_refiner."
"""Beginning of the names of what follows corrections."""

CLICK_SHARE = 0.3
"""Share of the steps in which the decoder corrects its own map after clicks on its errors, unless the recipe
says otherwise."""
MOST_CLICKS = 5
"""Clicks come one at a time, each on what is wrong after those before it."""
BOX_SHARE = 0.06
"""Share of the steps in which a box around the change comes with the prompt."""
BOX_SHARE_ALONE = 0.15
"""The same where corrections alone are learned; all other steps show clicks."""

TRAINING_HEADS = ("land_head.", "change_head.")
"""Beginnings of the names of what only training has."""


class PromptTable(nn.Module):
    """One prompt per target, normalised so that every component has unit variance on average."""

    settled: Tensor | None
    """The prompts that stay, (targets, D); None while the rows still learn."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(len(TARGETS), dim))
        # Saves are without it: the working folder keeps it.
        self.register_buffer("settled", None, persistent=False)

    def settle(self, prompts: Tensor) -> None:
        """Give these prompts (targets, D) from now on: the reasoner may be trained to hit them.

        The rows have no say any more; what momentum and weight decay still do to them changes nothing.
        """
        self.settled = prompts.detach().to(self.rows.device, copy=True)

    def prompts(self) -> Tensor:
        """Of all targets: the settled ones, or the rows, normalised: (targets, D)."""
        return F.layer_norm(self.rows, self.rows.shape[1:]) if self.settled is None else self.settled

    def forward(self, index: Tensor) -> Tensor:
        """int64 (Q,) -> (Q, D)."""
        return self.prompts()[index]


class VisionStage(Stage):
    """Losses of stage (a) for one batch."""

    def __init__(
        self, vision: VisionEncoderConfig, decoder: MaskDecoderConfig, weights: LossWeights | None = None
    ) -> None:
        super().__init__()
        self.weights = weights or LossWeights()
        self.encoder = ChangeFeatureEncoder(vision)
        self.decoder = ChangeMaskDecoder(decoder)
        self.table = PromptTable(decoder.embed_dim)
        self.land_head = LandCoverHead(self.encoder.fusion.date_channels)
        self.change_head = DenseChangeHead(vision.out_channels)
        self.learns: Learning = "all"
        self.click_share = CLICK_SHARE

    def freeze_pretrained(self, *, sam: bool, early_backbone: bool) -> None:
        """Stop training what is pretrained: the SAM encoder, the backbone's first stages.

        The first stages run at stride 2: most of the backward pass, least of what there is to learn.
        """
        if sam:
            self.encoder.sam.requires_grad_(False)
        if early_backbone and self.encoder.fpn is not None:
            for name, parameter in self.encoder.fpn.backbone.named_parameters():
                if name.startswith(("conv_stem", "conv1", "bn1", "blocks.0", "blocks.1", "layer1")):
                    parameter.requires_grad_(False)

    @property
    def _features_stay(self) -> bool:
        return self.learns in ("decoder", "corrections")

    def learn_only(self, part: Learning) -> None:
        """Stop training what a run leaves as it is; also what it sees no more of."""
        self.learns = part
        if part == "features":
            self.decoder.requires_grad_(False)
        if self._features_stay:
            for left in (self.encoder, self.land_head, self.change_head):
                left.requires_grad_(False)
        if part == "corrections":
            if self.decoder.correction_refiner is None:
                raise ValueError(
                    "a decoder without refines_corrections has nothing that learns corrections alone"
                )
            self.decoder.requires_grad_(False)
            self.decoder.correction_refiner.requires_grad_(True)
            self.table.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "VisionStage":
        """Training mode for all but features that stay: their batch statistics stay too."""
        super().train(mode)
        if self._features_stay:
            self.encoder.eval()
        return self

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        """The batch's losses by name; `loss` is what is minimised."""
        with self.autocast(batch.images):
            dates = self.encoder.encode_dates(batch.images)
            fused = self.encoder.fusion.fuse_pair(dates)
        if self._features_stay:
            return self._asked(fused, batch)
        with self.autocast(batch.images):
            land = self.land_head(dates.flatten(0, 1), batch.lands.flatten(0, 1))
            change = self.change_head(fused, batch.lands)
        dense = LAND_WEIGHT * land + CHANGE_WEIGHT * change
        if self.learns == "features":
            return {"land": land, "change": change, "loss": dense}
        asked = self._asked(fused, batch)
        return {**asked, "land": land, "change": change, "loss": asked["loss"] + dense}

    def _asked(self, fused: Tensor, batch: PairBatch) -> dict[str, Tensor]:
        """Losses of the decoder's answers to the batch's questions."""
        with self.autocast(batch.images):
            seg = self.table(batch.target_index)
            if self.training:
                seg = seg + PROMPT_NOISE * torch.randn_like(seg)
            prompts = Prompts(seg=seg)
            if self.training:
                prompts = self._corrected(fused, prompts, batch)
            out = self.decoder(fused, prompts, batch.pair_index)
        logits = self.decoder.to_input_size(out.mask_logits)
        w = self.weights
        losses: dict[str, Tensor] = {
            "bce": mask_bce(logits, batch.truth, changed_pixel=w.changed_pixel).mean(),
            "dice": mask_dice(logits, batch.truth).mean(),
            "presence": presence_loss(out.presence_logits, batch.presence),
            "quality": quality_loss(out.quality, logits, batch.truth),
        }
        losses["loss"] = (
            w.bce * losses["bce"]
            + w.dice * losses["dice"]
            + PRESENCE_WEIGHT * losses["presence"]
            + QUALITY_WEIGHT * losses["quality"]
        )
        return losses

    def _corrected(self, fused: Tensor, prompts: Prompts, batch: PairBatch) -> Prompts:
        """In a share of the steps, or in all, the prompts as a user would correct the map that they give."""
        draw = float(torch.rand(()))
        boxes, clicks = BOX_SHARE, self.click_share
        if self.learns == "corrections":
            boxes, clicks = BOX_SHARE_ALONE, 1.0
        if draw < boxes:
            return replace(prompts, boxes=boxes_around(batch.truth))
        if draw > boxes + clicks:
            return prompts
        return self._clicked(fused, prompts, batch, clicks=1 + int(torch.randint(MOST_CLICKS, ())))

    @torch.no_grad()
    def _clicked(self, fused: Tensor, prompts: Prompts, batch: PairBatch, *, clicks: int) -> Prompts:
        """The prompts of the round in which the last of some clicks is given, as programs correct maps."""
        logits = self.decoder(fused, prompts, batch.pair_index).mask_logits.float()
        points, labels = self._click(logits, batch)
        for _ in range(clicks - 1):
            corrected = replace(prompts, points=points, point_labels=labels, previous_logits=logits)
            logits = self.decoder(fused, corrected, batch.pair_index).mask_logits.float()
            place, kind = self._click(logits, batch)
            points, labels = torch.cat([points, place], dim=1), torch.cat([labels, kind], dim=1)
        return replace(prompts, points=points, point_labels=labels, previous_logits=logits)

    def _click(self, logits: Tensor, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """One more click a query, on an error of (Q, 4h, 4w) logits."""
        return click_errors(self.decoder.to_input_size(logits), batch.truth, 1, anywhere=True)


def load_backbone(stage: VisionStage, state: dict[str, Any]) -> None:
    """Put ImageNet weights (timm names of the whole classifier) under the pyramid, strictly."""
    if stage.encoder.fpn is None:
        raise ValueError("this configuration has no backbone to load weights into")
    backbone = stage.encoder.fpn.backbone
    own = backbone.state_dict()
    missing = [k for k in own if k not in state]
    if missing:
        raise ValueError(f"backbone weights lack {len(missing)} entries, first {missing[0]}")
    backbone.load_state_dict({k: state[k] for k in own})
