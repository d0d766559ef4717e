"""Stage (b): the reasoner learns to answer and to hit the frozen prompt space.

Vision encoder and decoder take no part but for the CLIP tokens: the question is what is learned. A
reasoner trained like this against an existing table fits the decoder of that table. P pairs, Q queries,
D prompt width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reasoncd.ontology import TARGETS, Target
from reasoncd.ports import Mode
from services.reasoner.model import ReasonerModel, ReasonerOutput
from services.reasoner.prompt import answer_text, build_prompt
from services.vision_encoder.clip import ClipPatchEncoder
from training.data.bank import PairBank
from training.data.batches import stack_images
from training.losses import LossWeights, text_loss
from training.queries.sampler import QuerySampler, TrainingQuery
from training.stages.stage import Stage

_ROW = {target: i for i, target in enumerate(TARGETS)}


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryBatch:
    """Images of P pairs and Q questions about them."""

    images: Tensor
    """uint8 (P, T, 3, S, S)."""
    queries: tuple[TrainingQuery, ...]
    pair_index: tuple[int, ...]
    """Pair of each question."""


def target_rows(targets: Sequence[Target | None]) -> Tensor:
    """Index into the prompt table for each target that is one: int64 (M,)."""
    return torch.tensor([_ROW[t] for t in targets if t is not None], dtype=torch.long)


class ReasonerStage(Stage):
    """Losses of stage (b) for one batch.

    Args:
        model: with its adapter.
        clip: frozen.
        table: (targets, D) the frozen prompt space.
    """

    table: Tensor

    def __init__(
        self, model: ReasonerModel, clip: ClipPatchEncoder, table: Tensor, weights: LossWeights | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.clip = clip.requires_grad_(False)
        self.weights = weights or LossWeights()
        self.register_buffer("table", table, persistent=False)

    def forward(self, batch: QueryBatch) -> dict[str, Tensor]:
        """The batch's losses by name; `loss` is what is minimised."""
        out = self.read(batch)
        wanted = target_rows([q.target for q in batch.queries]).to(self.table.device)
        losses = {
            "text": text_loss(
                out.answer_logits,
                out.answer_labels,
                seg_id=self.model.tokenizer.seg_id,
                missing_seg=self.weights.missing_seg,
            ),
            **self._prompt_losses(out.seg_embeddings, wanted),
        }
        losses["loss"] = self.weights.text * losses["text"] + losses["seg"] + 0.5 * losses["nearest"]
        return losses

    def _prompt_losses(self, embeddings: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        if len(wanted) == 0:
            # No answer of the batch has `<SEG>`: there is nothing to hit, and the mean over nothing is NaN.
            nothing = embeddings.float().sum()
            return {"seg": nothing, "nearest": nothing, "row_right": nothing.detach()}
        return {
            "seg": F.mse_loss(embeddings, self.table[wanted]),
            "nearest": prompt_space_loss(embeddings, self.table, wanted),
            "row_right": (nearest_row(embeddings, self.table) == wanted).float().mean(),
        }

    def read(self, batch: QueryBatch) -> ReasonerOutput:
        """Teacher-forced pass over the batch's questions and answers."""
        with self.autocast(batch.images):
            tokens = self.clip(batch.images.flatten(0, 1)).unflatten(0, (-1, 2))
            two_turns = self.model.config.decide_first
            prompts = [
                build_prompt(self.model.tokenizer, q.query, q.mode, decide_first=two_turns)
                for q in batch.queries
            ]
            # In two turns the answer comes first and by itself, then its reason.
            answers = [
                answer_text(q.target) if prompt.follow_up else q.answer
                for q, prompt in zip(batch.queries, prompts, strict=True)
            ]
            out: ReasonerOutput = self.model(
                tokens,
                prompts,
                answers,
                reasons=[q.reason for q in batch.queries],
                pair_index=batch.pair_index,
            )
        return out


def prompt_space_loss(embeddings: Tensor, table: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of the right row among all rows, by negative squared distance per component."""
    distance = torch.cdist(embeddings.float(), table.float()).square() / table.shape[1]
    return F.cross_entropy(-4.0 * distance, wanted)


def nearest_row(embeddings: Tensor, table: Tensor) -> Tensor:
    """Index of the closest prompt: (M, D) and (targets, D) -> int64 (M,)."""
    return torch.cdist(embeddings.float(), table.float()).argmin(dim=1)


EXPLAINED_EVERY = 3
"""One batch in so many asks for reasons."""

EXPLAINED_SHARE = 0.5
"""Questions of such a batch against one of short answers, whose rows are half as long."""


class QuerySource:
    """Step number -> batch of questions, the same for the same seed.

    A batch holds one mode: beside an explained answer a short one would be mostly padding.
    """

    def __init__(
        self,
        bank: PairBank,
        sampler: QuerySampler,
        *,
        pairs: int,
        queries_per_pair: int,
        seed: int,
        rank: int = 0,
    ) -> None:
        self.bank = bank
        self.sampler = sampler
        self.pairs = pairs
        self.queries_per_pair = queries_per_pair
        self.seed = seed
        self.rank = rank

    def batch(self, step: int) -> QueryBatch:
        """The batch of one step."""
        rng = np.random.default_rng((self.seed, step, self.rank) if self.rank else (self.seed, step))
        mode = Mode.EXPLAINED if step % EXPLAINED_EVERY == EXPLAINED_EVERY - 1 else Mode.SHORT
        each = self.queries_per_pair
        if mode is Mode.EXPLAINED:
            each = max(int(each * EXPLAINED_SHARE), 1)
        chosen = [self.bank[int(i)] for i in rng.choice(len(self.bank), size=self.pairs, replace=False)]
        count = self.pairs * each
        return QueryBatch(
            images=stack_images(chosen),
            queries=tuple(self.sampler.draw(rng, mode) for _ in range(count)),
            pair_index=tuple(i // each for i in range(count)),
        )
