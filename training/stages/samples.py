"""The paper's one stage: everything that is trained, together, on pairs with masks, questions and answers.

Frozen are CLIP, SAM's image encoder, SAM's prompt encoder and the language model. Trained are its adapter,
the new tokens' rows, the CLIP projection, the `<SEG>` MLP, ResNet and pyramid, fusion and mask decoder.
P samples, T = 2 dates, c, h, w the map of SAM, D the prompt's width, S the mask's side.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from services.mask_decoder.model import ChangeMaskDecoder, DecoderOutput, Prompts
from services.reasoner.model import ReasonerModel, ReasonerOutput
from services.reasoner.prompt import build_prompt
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.model import ChangeFeatureEncoder
from training.data.sample_batches import SampleBatch
from training.losses import LossWeights, mask_bce, mask_dice, presence_loss, quality_loss, text_loss
from training.stages.stage import Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleOutput:
    """What the models say of P samples, answers given."""

    reasoner: ReasonerOutput
    decoder: DecoderOutput
    """Of all P; where the answer holds no `<SEG>`, of a prompt of zeros."""
    logits: Tensor
    """(P, S, S) of "changed"."""
    asked: Tensor
    """bool (P,): whether the answer holds `<SEG>`, so that there is a map."""


class SampleStage(Stage):
    """Losses of one batch.

    Args:
        clip: frozen here.
        encoder: its SAM is frozen here.
        decoder: its prompt encoder is frozen here.
        reasoner: with its adapter.
        weights: of the paper's losses.
        presence: weight of the presence head's loss; 0 freezes the head.
        quality: weight of the predicted IoU's loss; 0 freezes that head.
        checkpoint_activations: compute the language model's activations twice instead of keeping them.
    """

    def __init__(
        self,
        clip: ClipPatchEncoder,
        encoder: ChangeFeatureEncoder,
        decoder: ChangeMaskDecoder,
        reasoner: ReasonerModel,
        weights: LossWeights | None = None,
        *,
        presence: float = 0.0,
        quality: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.weights = weights or LossWeights()
        self.presence_weight = presence
        self.quality_weight = quality
        self.clip = clip.requires_grad_(False)
        self.encoder = encoder
        self.decoder = decoder
        self.reasoner = reasoner
        encoder.sam.requires_grad_(False)
        decoder.prompt_encoder.requires_grad_(False)
        decoder.presence_head.requires_grad_(presence > 0)
        heads: Any = decoder.mask_decoder
        heads.iou_prediction_head.requires_grad_(quality > 0)
        # Of the masks for ambiguous prompts, which are never asked for.
        heads.output_hypernetworks_mlps[1:].requires_grad_(False)
        if checkpoint_activations:
            language_model: Any = reasoner.causal_lm
            language_model.activation_checkpointing_enable({"use_reentrant": False})

    def forward(self, batch: SampleBatch) -> dict[str, Tensor]:
        """The batch's losses by name; `loss` is what is minimised."""
        return self.losses_of(self.read(batch), batch)

    def losses_of(self, out: SampleOutput, batch: SampleBatch) -> dict[str, Tensor]:
        """Losses of what `read` gave for a batch."""
        w = self.weights
        asked = out.asked.float()
        count = asked.sum().clamp(min=1.0)
        losses = {
            "text": text_loss(
                out.reasoner.answer_logits,
                out.reasoner.answer_labels,
                seg_id=self.reasoner.tokenizer.seg_id,
                missing_seg=w.missing_seg,
            ),
            "bce": (mask_bce(out.logits, batch.truth, changed_pixel=w.changed_pixel) * asked).sum() / count,
            "dice": (mask_dice(out.logits, batch.truth) * asked).sum() / count,
        }
        losses["loss"] = w.text * losses["text"] + w.bce * losses["bce"] + w.dice * losses["dice"]
        if self.presence_weight:
            there = presence_of(batch.truth, out.asked)
            losses["presence"] = presence_loss(out.decoder.presence_logits, there)
            losses["loss"] = losses["loss"] + self.presence_weight * losses["presence"]
        if self.quality_weight:
            losses["quality"] = quality_loss(out.decoder.quality, out.logits, batch.truth)
            losses["loss"] = losses["loss"] + self.quality_weight * losses["quality"]
        return losses

    def read(self, batch: SampleBatch) -> SampleOutput:
        """Teacher-forced pass over the answers, and the maps that their `<SEG>` embeddings ask for."""
        with self.autocast(batch.images):
            fused = self.fuse(batch.images, batch.sam_maps)
            prompts = [
                build_prompt(self.reasoner.tokenizer, question, mode)
                for question, mode in zip(batch.questions, batch.modes, strict=True)
            ]
            answers: ReasonerOutput = self.reasoner(batch.clip_tokens, prompts, batch.answers)
            # A row for each sample, so that every process has gradients for the same parameters.
            seg = answers.seg_embeddings.new_zeros(len(prompts), answers.seg_embeddings.shape[1])
            seg = seg.index_copy(0, answers.seg_rows, answers.seg_embeddings)
            decoded = self.decode(fused, seg)
        asked = torch.zeros(len(prompts), dtype=torch.bool, device=seg.device)
        asked[answers.seg_rows] = True
        return SampleOutput(
            reasoner=answers,
            decoder=decoded,
            logits=self.decoder.to_input_size(decoded.mask_logits),
            asked=asked,
        )

    def fuse(self, images: Tensor, sam_maps: Tensor) -> Tensor:
        """Images (P, T, 3, S, S) and SAM's maps (P, T, c, h, w) -> fused maps (P, D, h, w)."""
        encoder = self.encoder
        flat = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        levels = encoder.fpn(flat) if encoder.fpn is not None else []
        size = (encoder.config.grid_size, encoder.config.grid_size)
        dates = encoder.fusion.fuse_date(sam_maps.flatten(0, 1), levels, size)
        return encoder.fusion.fuse_pair(dates.view(*images.shape[:2], *dates.shape[1:]))

    def decode(self, fused: Tensor, seg: Tensor) -> DecoderOutput:
        """Fused maps (P, D, h, w) and one embedding (P, D) for each -> masks."""
        out: DecoderOutput = self.decoder(fused, Prompts(seg=seg), torch.arange(len(seg), device=seg.device))
        return out


def presence_of(truth: Tensor, asked: Tensor) -> Tensor:
    """Whether each sample's change is there: uint8 (P,), 0 no, 1 yes, 255 unknown or not asked."""
    there = (truth == 1).any(dim=2).any(dim=1)
    surely_not = (truth == 0).all(dim=2).all(dim=1)
    out = torch.full_like(there, 255, dtype=torch.uint8)
    out[surely_not & asked] = 0
    out[there & asked] = 1
    return out
