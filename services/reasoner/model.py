"""The reasoner's network: a LLaMA with image embeddings spliced into its prompt and a `<SEG>` head.

Choices:
- Each placeholder token is replaced by the N projected patch embeddings of its image; spans are built while
  splicing, so nothing depends on where a placeholder stands.
- The state taken for `<SEG>` is the last layer's, after the final norm, *at* the position of the `<SEG>`
  token (not of the one that predicts it), in training as at inference.
- Padding is masked by length, never by id: the pad token of some bases is their end-of-text.
- The head runs on answer positions only. The five control rows are peft's `trainable_tokens_delta`,
  read here directly: peft's own layer would copy the whole embedding in every pass and back-propagate a
  dense gradient into it.

Letters: P pairs, Q queries, T = 2 dates, N patch tokens an image, C CLIP width, L positions, D width of
the language model, A answer tokens, V vocabulary. It does not know losses, decoding or files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.nn import functional as F
from transformers import DynamicCache, LlamaForCausalLM, LlamaModel

from reasoncd.errors import InvalidInputError
from services.reasoner.config import ReasonerConfig
from services.reasoner.prompt import Prompt
from services.reasoner.tokens import ReasonerTokenizer

IGNORE = -100
"""Label of positions that are no answer token; cross-entropy's default `ignore_index`."""

ADAPTER = "default"
"""Name under which peft keeps the one adapter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spliced:
    """One row of input embeddings and where its images ended up."""

    embeddings: torch.Tensor
    """(L, D)."""
    spans: tuple[range, ...]
    """Positions of each image, in the order of the placeholders."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasonerOutput:
    """What a training step needs."""

    answer_logits: torch.Tensor
    """float32 (Q, A, V): position a predicts answer token a."""
    answer_labels: torch.Tensor
    """int64 (Q, A): the answer's ids, end-of-text included, then `IGNORE`."""
    seg_embeddings: torch.Tensor
    """float32 (M, seg_dim), one for each answer that holds `<SEG>` (its first)."""
    seg_rows: torch.Tensor
    """int64 (M,): the query that each embedding belongs to, ascending."""


class ReasonerModel(nn.Module):
    """LLaMA plus CLIP projection plus `<SEG>` head.

    Args:
        config: the sizes.
        tokenizer: gives the control tokens' ids and encodes training answers.
        llm: a `LlamaForCausalLM` whose embedding has at least `tokenizer.size` rows, wrapped by peft while
            it is trained; see `services.reasoner.build`.
    """

    def __init__(self, config: ReasonerConfig, tokenizer: ReasonerTokenizer, llm: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        self.llm: Any = llm
        self.clip_projection = nn.Linear(config.clip_width, config.llm.width)
        self.seg_mlp = nn.Sequential(
            nn.Linear(config.llm.width, config.seg_mlp_hidden),
            nn.GELU(),
            nn.Linear(config.seg_mlp_hidden, config.seg_dim),
        )

    @property
    def causal_lm(self) -> LlamaForCausalLM:
        """The language model without peft's wrapper around it."""
        inner = self.llm if isinstance(self.llm, LlamaForCausalLM) else self.llm.get_base_model()
        return cast(LlamaForCausalLM, inner)

    @property
    def llama(self) -> LlamaModel:
        """The language model without its head."""
        return cast(LlamaModel, self.causal_lm.model)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.clip_projection.weight.device

    @property
    def llm_dtype(self) -> torch.dtype:
        """Of the language model's activations."""
        return cast(torch.Tensor, self.llama.norm.weight).dtype

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Token ids (...,) -> embeddings (..., D), the trained control rows in place."""
        weight, delta = _rows(self.llama.embed_tokens)
        embeddings = F.embedding(ids, weight)
        if delta is None:
            return embeddings
        first = self.tokenizer.control_ids[0]
        offsets = ids - first
        is_control = (offsets >= 0) & (offsets < len(delta))
        control = F.embedding(offsets.clamp(0, len(delta) - 1), delta).to(embeddings.dtype)
        return torch.where(is_control.unsqueeze(-1), control, embeddings)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Last-layer states (..., D) -> float32 logits (..., V)."""
        weight, delta = _rows(self.causal_lm.lm_head)
        scores = F.linear(states, weight)
        if delta is not None:
            columns = torch.tensor(self.tokenizer.control_ids, device=scores.device)
            control = F.linear(states, delta.to(states.dtype))
            scores = scores.index_copy(-1, columns, control)
        return scores.float()

    def seg_head(self, states: torch.Tensor) -> torch.Tensor:
        """States at `<SEG>` (..., D) -> float32 embeddings (..., seg_dim)."""
        embeddings: torch.Tensor = self.seg_mlp(states.to(self.clip_projection.weight.dtype))
        return embeddings.float()

    def project_images(self, clip_tokens: torch.Tensor) -> torch.Tensor:
        """CLIP patch tokens (P, T, N, C), any float dtype -> (P, T, N, D) in the language model's dtype.

        Raises:
            InvalidInputError: the shape is not that of the configuration.
        """
        expected = (2, self.config.image_tokens, self.config.clip_width)
        if clip_tokens.ndim != 4 or tuple(clip_tokens.shape[1:]) != expected:
            raise InvalidInputError(
                f"clip_tokens has shape {tuple(clip_tokens.shape)}; expected (pairs, dates, tokens, width) = "
                f"(P, {', '.join(map(str, expected))}): use the vision encoder of the same preset"
            )
        projected = self.clip_projection(clip_tokens.to(self.device, self.clip_projection.weight.dtype))
        return cast(torch.Tensor, projected).to(self.llm_dtype)

    def splice(self, ids: Sequence[int], images: torch.Tensor | None = None) -> Spliced:
        """Embed ids and replace each placeholder by its image.

        Args:
            ids: prompt ids; `<T1>` and `<T2>` stand for the images and may each occur anywhere.
            images: (T, N, D) projected patch tokens of one pair; None where no placeholder occurs.
        """
        embedded = self.embed(torch.tensor(ids, dtype=torch.long, device=self.device))
        if images is None:
            return Spliced(embeddings=embedded, spans=())
        date_of = {self.tokenizer.t1_id: 0, self.tokenizer.t2_id: 1}
        pieces: list[torch.Tensor] = []
        spans: list[range] = []
        length = done = 0
        for position, token in enumerate(ids):
            if token not in date_of:
                continue
            image = images[date_of[token]]
            pieces += [embedded[done:position], image]
            start = length + position - done
            length, done = start + len(image), position + 1
            spans.append(range(start, length))
        pieces.append(embedded[done:])
        return Spliced(embeddings=torch.cat(pieces), spans=tuple(spans))

    def run(
        self,
        embeddings: torch.Tensor,
        *,
        mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
        cache: DynamicCache | None = None,
    ) -> torch.Tensor:
        """One pass through the blocks and the final norm.

        Args:
            embeddings: (B, L, D).
            mask: (B, cached + L), 1 for real positions; None where there is no padding.
            positions: (B, L) or None for consecutive ones after the cache.
            cache: keys and values of what came before; grows by L positions.

        Returns:
            States (B, L, D).
        """
        out = self.llama(
            inputs_embeds=embeddings,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        states: torch.Tensor = out.last_hidden_state
        return states

    def prefill_prefix(self, clip_tokens: torch.Tensor, prefix: Sequence[int]) -> DynamicCache:
        """Keys and values of the prompt up to the query: (P, T, N, C) -> P rows without padding."""
        images = self.project_images(clip_tokens)
        rows = torch.stack([self.splice(prefix, pair).embeddings for pair in images])
        cache = DynamicCache(config=self.llama.config)
        self.run(rows, cache=cache)
        return cache

    def forward(
        self,
        clip_tokens: torch.Tensor,
        prompts: Sequence[Prompt],
        answers: Sequence[str],
        *,
        reasons: Sequence[str | None] | None = None,
        pair_index: Sequence[int] | None = None,
        padding_side: Literal["left", "right"] = "right",
    ) -> ReasonerOutput:
        """Teacher-forced pass over whole answers.

        Args:
            clip_tokens: (P, T, N, C).
            prompts: Q of them; all share one prefix.
            answers: Q texts as `answer_text` writes them; end-of-text is added here.
            reasons: Q texts, each given in the second turn where the prompt has two; both turns are taught.
                None where no prompt has.
            pair_index: the pair of each query where several ask about one: each pair's prefix is then
                computed once. None means that query q asks about pair q.
            padding_side: where shorter rows are filled up; the result does not depend on it.

        Raises:
            InvalidInputError: the lengths disagree or `clip_tokens` has another shape.
        """
        if len(prompts) != len(answers) or len(prompts) != len(pair_index or clip_tokens):
            raise InvalidInputError(
                f"{len(prompts)} prompts, {len(answers)} answers and {len(pair_index or clip_tokens)} pair "
                "references: give one of each a query"
            )
        given = reasons or [None] * len(prompts)
        taught = [self._taught(*row) for row in zip(prompts, answers, given, strict=True)]
        targets = [labels for _, labels in taught]
        tails = [(*p.suffix, *fed) for p, (fed, _) in zip(prompts, taught, strict=True)]
        if pair_index is None or self.llama.is_activation_checkpointing:
            images = self.project_images(clip_tokens)
            pairs = pair_index or range(len(prompts))
            rows = [
                self.splice((*p.prefix, *tail), images[i]).embeddings
                for p, tail, i in zip(prompts, tails, pairs, strict=True)
            ]
            batch, mask, starts = pad(rows, padding_side)
            states = self.run(batch, mask=mask, positions=positions_of(mask))
            ends = [start + len(row) for start, row in zip(starts, rows, strict=True)]
        else:
            cache = self.prefill_prefix(clip_tokens, prompts[0].prefix)
            past = cache.get_seq_length()
            cache.batch_select_indices(torch.tensor(pair_index, device=self.device))
            rows = [self.splice(tail).embeddings for tail in tails]
            batch, mask, starts = pad(rows, padding_side)
            mask = torch.cat([mask.new_ones(len(rows), past), mask], dim=1)
            states = self.run(batch, mask=mask, positions=positions_of(mask)[:, past:], cache=cache)
            ends = [start + len(row) for start, row in zip(starts, rows, strict=True)]
        return self._read_answers(states, ends, targets)

    def _taught(
        self, prompt: Prompt, answer: str, reason: str | None
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What is fed after a prompt, and what is to be predicted from the prompt's last id on.

        End-of-text is predicted, never fed. In two turns the words between them are fed, never predicted.
        """
        first = self.tokenizer.encode_answer(answer)
        if not prompt.follow_up:
            return first[:-1], first
        if not reason:
            raise InvalidInputError("a prompt of two turns came without a reason; give one")
        second = self.tokenizer.encode_answer(reason)
        between = (IGNORE,) * (len(prompt.follow_up) - 1)
        return (*first[:-1], *prompt.follow_up, *second[:-1]), (*first, *between, *second)

    def _read_answers(
        self, states: torch.Tensor, ends: Sequence[int], targets: Sequence[tuple[int, ...]]
    ) -> ReasonerOutput:
        """Logits, labels and `<SEG>` embeddings out of states (Q, L, D) whose rows end at `ends`."""
        longest = max(len(t) for t in targets)
        device = states.device
        labels = torch.full((len(targets), longest), IGNORE, dtype=torch.long)
        where = torch.zeros((len(targets), longest), dtype=torch.long)
        seg_rows: list[int] = []
        seg_positions: list[int] = []
        for row, (end, target) in enumerate(zip(ends, targets, strict=True)):
            # The last fed position predicts end-of-text, the one before the answer its first token.
            labels[row, : len(target)] = torch.tensor(target)
            where[row, : len(target)] = torch.arange(end - len(target), end)
            if self.tokenizer.seg_id in target:
                seg_rows.append(row)
                seg_positions.append(end - len(target) + 1 + target.index(self.tokenizer.seg_id))
        rows = torch.arange(len(targets), device=device).unsqueeze(1)
        seg_row_ids = torch.tensor(seg_rows, dtype=torch.long, device=device)
        seg_states = states[seg_row_ids, torch.tensor(seg_positions, dtype=torch.long, device=device)]
        return ReasonerOutput(
            answer_logits=self.logits(states[rows, where.to(device)]),
            answer_labels=labels.to(device),
            seg_embeddings=self.seg_head(seg_states),
            seg_rows=seg_row_ids,
        )


def pad(
    rows: Sequence[torch.Tensor], side: Literal["left", "right"]
) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Rows (L_i, D) -> batch (B, L, D), mask (B, L) of 0 and 1, and where each row starts."""
    longest = max(len(row) for row in rows)
    batch = [
        F.pad(r, (0, 0, longest - len(r), 0) if side == "left" else (0, 0, 0, longest - len(r))) for r in rows
    ]
    starts = [longest - len(r) if side == "left" else 0 for r in rows]
    mask = torch.zeros(len(rows), longest, dtype=torch.long, device=rows[0].device)
    for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
        mask[i, start : start + len(row)] = 1
    return torch.stack(batch), mask, starts


def positions_of(mask: torch.Tensor) -> torch.Tensor:
    """Mask (B, L) -> the position ids (B, L) that real positions have without padding."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def _rows(layer: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Weight of an embedding or head and, under peft, the trained control rows that replace part of it."""
    adapter = getattr(layer, "token_adapter", None)
    if adapter is None:
        return layer.weight, None
    deltas: Mapping[str, torch.Tensor] = adapter.trainable_tokens_delta
    return adapter.base_layer.weight, deltas[ADAPTER]
