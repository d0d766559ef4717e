"""Stage (c): a short joint tuning with the paper's total loss.

The reasoner's own embedding prompts the decoder, and the mask's loss flows back into it. A share of
the prompts still comes from the table, so that the decoder stays the decoder of its `seg_space` and a
reasoner trained against the table later still fits. Vision encoder and table are frozen.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reasoncd.ports import Mode
from services.mask_decoder.model import Prompts
from training.data.batches import BatchSource, PairBatch
from training.losses import LossWeights, mask_bce, mask_dice, presence_loss, quality_loss, text_loss
from training.queries.sampler import QuerySampler
from training.stages.reasoner import QueryBatch, ReasonerStage, prompt_space_loss, target_rows
from training.stages.stage import Stage
from training.stages.vision import VisionStage

TABLE_SHARE = 0.35
"""Share of the prompts that come from the table instead of the reasoner."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JointBatch:
    """Pairs with masks, and one worded question for each mask."""

    pairs: PairBatch
    questions: QueryBatch
    """The worded questions for the masks first, then others without a mask."""


class JointStage(Stage):
    """Losses of stage (c) for one batch."""

    def __init__(
        self, vision: VisionStage, reasoner: ReasonerStage, weights: LossWeights | None = None
    ) -> None:
        super().__init__()
        self.weights = weights or LossWeights()
        self.vision = vision
        self.reasoner = reasoner
        vision.encoder.requires_grad_(False)
        vision.table.requires_grad_(False)
        vision.land_head.requires_grad_(False)
        vision.change_head.requires_grad_(False)
        if vision.decoder.correction_refiner is not None:
            # Nothing is corrected here.
            vision.decoder.correction_refiner.requires_grad_(False)

    def train(self, mode: bool = True) -> "JointStage":
        """Training mode for what is trained; the frozen encoder keeps its batch statistics."""
        super().train(mode)
        self.vision.encoder.eval()
        self.reasoner.clip.eval()
        return self

    def forward(self, batch: JointBatch) -> dict[str, Tensor]:
        """The batch's losses by name; `loss` is what is minimised."""
        pairs, w = batch.pairs, self.weights
        answers = self.reasoner.read(batch.questions)
        asked = len(pairs.target_index)
        # Every masked question's answer holds `<SEG>`, so the first embeddings are theirs.
        embeddings = answers.seg_embeddings[:asked]
        wanted = target_rows([q.target for q in batch.questions.queries]).to(self.reasoner.table.device)
        rows = self.reasoner.table[pairs.target_index]
        from_table = torch.rand(len(rows), 1, device=rows.device) < TABLE_SHARE
        seg = torch.where(from_table, rows, embeddings)
        with self.autocast(pairs.images):
            with torch.no_grad():
                fused = self.vision.encoder(pairs.images)
            out = self.vision.decoder(fused, Prompts(seg=seg), pairs.pair_index)
        logits = self.vision.decoder.to_input_size(out.mask_logits)
        losses = {
            "text": text_loss(
                answers.answer_logits,
                answers.answer_labels,
                seg_id=self.reasoner.model.tokenizer.seg_id,
                missing_seg=w.missing_seg,
            ),
            "bce": mask_bce(logits, pairs.truth, changed_pixel=w.changed_pixel).mean(),
            "dice": mask_dice(logits, pairs.truth).mean(),
            "presence": presence_loss(out.presence_logits, pairs.presence),
            "quality": quality_loss(out.quality, logits, pairs.truth),
            "nearest": prompt_space_loss(answers.seg_embeddings, self.reasoner.table, wanted),
        }
        losses["loss"] = (
            w.text * losses["text"]
            + w.bce * losses["bce"]
            + w.dice * losses["dice"]
            + 0.4 * losses["presence"]
            + 0.2 * losses["quality"]
            + 0.5 * losses["nearest"]
        )
        return losses


class JointSource:
    """Step number -> batch with masks and wordings, the same for the same seed.

    Beside the questions that have masks, each batch asks `extra` short ones about anything, off-topic ones
    among them: a reasoner that hears none for a while forgets to refuse.
    """

    def __init__(self, pairs: BatchSource, sampler: QuerySampler, *, extra: int = 0) -> None:
        self.pairs = pairs
        self.sampler = sampler
        self.extra = extra

    def batch(self, step: int) -> JointBatch:
        """The batch of one step."""
        pairs = self.pairs.batch(step)
        rng = np.random.default_rng((self.pairs.seed, self.pairs.rank, step, 1))
        asked = [self.sampler.draw_for(t, rng) for t in pairs.targets]
        others = [self.sampler.draw(rng, Mode.SHORT) for _ in range(self.extra)]
        others_pair = rng.integers(len(pairs.images), size=self.extra)
        questions = QueryBatch(
            images=pairs.images,
            queries=(*asked, *others),
            pair_index=(*map(int, pairs.pair_index), *map(int, others_pair)),
        )
        return JointBatch(pairs=pairs, questions=questions)
