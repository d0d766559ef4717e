"""Greedy decoding: one answer at a time with guesses from a trie, or many at once.

Plain greedy decoding feeds one token a pass. Where the answers that the model was trained to give form a
trie, the tokens that follow without a branch are fed along as a guess and verified by the same pass: the
tokens are those of plain decoding, in fewer passes. A wrong guess is cut off and decoding goes on plainly.

After `<SEG>` is chosen it is fed once more, at the token limit too: its state is the embedding. The
first `<SEG>` counts. This module knows neither modes nor events.
"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field

import torch

from services.reasoner.model import ReasonerModel, pad, positions_of
from services.reasoner.prefix_cache import Prefix, prefill, stack_prefixes
from services.reasoner.prompt import Prompt


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """One decoded answer."""

    token_ids: tuple[int, ...]
    """`<SEG>` and end-of-text included."""
    text: str
    """Without control tokens."""
    seg_embedding: torch.Tensor | None
    """float32 (seg_dim,), or None where no `<SEG>` was chosen."""
    seg_probability: float
    """Of `<SEG>` where it was chosen first; 0 without."""
    passes: int
    """How often the language model ran after the prefix."""


class AnswerTrie:
    """Known answers as a tree over token ids.

    Args:
        answers: ids of each answer, end-of-text included.
    """

    def __init__(self, answers: Iterable[Sequence[int]] = ()) -> None:
        self.children: dict[int, AnswerTrie] = {}
        """The nodes after each possible next token."""
        for answer in answers:
            node = self
            for token in answer:
                node = node.children.setdefault(token, AnswerTrie())

    def child(self, token: int) -> "AnswerTrie | None":
        """The node after `token`, or None where no answer goes on like this."""
        return self.children.get(token)

    def forced(self) -> tuple[int, ...]:
        """The tokens that follow before the next branch; the last token of an answer is not among them.

        That last one is end-of-text, which is predicted but never fed.
        """
        tokens: list[int] = []
        node = self
        while len(node.children) == 1:
            token, child = next(iter(node.children.items()))
            if not child.children:
                break
            tokens.append(token)
            node = child
        return tuple(tokens)


@dataclass(kw_only=True, slots=True)
class _Answer:
    """An answer while it grows."""

    model: ReasonerModel
    limit: int
    ids: list[int] = field(default_factory=list)
    seg_embedding: torch.Tensor | None = None
    seg_probability: float = 0.0
    awaits_seg: bool = False
    """`<SEG>` was chosen and its state is not there yet."""

    @property
    def finished(self) -> bool:
        return len(self.ids) >= self.limit or self.ids[-1] == self.model.tokenizer.eos_id

    def add(self, token: int, probability: float) -> None:
        self.ids.append(token)
        if token == self.model.tokenizer.seg_id and self.seg_embedding is None and not self.awaits_seg:
            self.seg_probability = probability
            self.awaits_seg = True

    def take_state(self, state: torch.Tensor) -> None:
        """The state (D,) at the position of the token added last."""
        if self.awaits_seg:
            self.seg_embedding = self.model.seg_head(state)
            self.awaits_seg = False

    def result(self, passes: int) -> Generation:
        tokenizer = self.model.tokenizer
        return Generation(
            token_ids=tuple(self.ids),
            text=tokenizer.visible(self.ids),
            seg_embedding=self.seg_embedding,
            seg_probability=self.seg_probability,
            passes=passes,
        )


class _Row:
    """One sequence on a clone of its prefix."""

    def __init__(self, model: ReasonerModel, prefix: Prefix) -> None:
        self._model = model
        self._cache = prefix.clone()
        self.passes = 0

    @torch.inference_mode()
    def feed(self, ids: Sequence[int]) -> torch.Tensor:
        """Run ids (L,) in one pass; returns their states (L, D)."""
        self.passes += 1
        return self._model.run(self._model.splice(ids).embeddings.unsqueeze(0), cache=self._cache)[0]

    def drop(self, count: int) -> None:
        """Forget the last `count` positions."""
        if count:
            self._cache.crop(-count)


def decode(
    model: ReasonerModel, prefix: Prefix, suffix: Sequence[int], *, limit: int, trie: AnswerTrie | None = None
) -> Generator[int, None, Generation]:
    """Decode one answer greedily.

    Args:
        model: merged or with its adapter, in evaluation mode.
        prefix: of the pair; not changed.
        suffix: prompt ids after the prefix.
        limit: most tokens of the answer, at least 1.
        trie: answers that are likely; the tokens are the same with and without.

    Yields:
        Each token id as soon as it is certain.

    Returns:
        The whole answer.
    """
    row = _Row(model, prefix)
    answer = _Answer(model=model, limit=limit)
    node = trie
    guess: tuple[int, ...] = ()
    states = row.feed(suffix)[-1:]
    while True:
        choices, probabilities = _choose(model, states)
        accepted = 0
        for position, token in enumerate(choices):
            answer.add(token, probabilities[position])
            node = node.child(token) if node else None
            yield token
            right = position < len(guess) and guess[position] == token
            if right:
                accepted += 1
                _take_state(answer, states[position + 1])
            if answer.finished or not right:
                break
        if answer.finished:
            if answer.awaits_seg:
                row.drop(len(guess) - accepted)
                _take_state(answer, row.feed(answer.ids[-1:])[0])
            return answer.result(row.passes)
        row.drop(len(guess) - accepted)
        guess = node.forced() if node else ()
        states = row.feed((answer.ids[-1], *guess))
        _take_state(answer, states[0])


def generate(
    model: ReasonerModel, prefix: Prefix, suffix: Sequence[int], *, limit: int, trie: AnswerTrie | None = None
) -> Generation:
    """`decode` without the intermediate tokens."""
    steps = decode(model, prefix, suffix, limit=limit, trie=trie)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Generation = end.value
            return result


@torch.inference_mode()
def generate_batch(
    model: ReasonerModel,
    clip_tokens: torch.Tensor,
    prompts: Sequence[Prompt],
    *,
    pair_index: Sequence[int] | None = None,
    limit: int | None = None,
) -> list[Generation]:
    """Decode many answers at once, plainly; for evaluation.

    Args:
        model: merged or with its adapter, in evaluation mode.
        clip_tokens: (P, T, N, C).
        prompts: Q of them.
        pair_index: the pair of each prompt; None means that prompt q asks about pair q.
        limit: most tokens of an answer; None takes the configuration's.

    Returns:
        One result a prompt. `passes` counts the batch's passes that the row took part in.
    """
    pairs = list(pair_index) if pair_index is not None else list(range(len(prompts)))
    limit = limit or model.config.max_new_tokens
    prefixes = {i: prefill(model, clip_tokens[i], prompts[0].prefix) for i in sorted(set(pairs))}
    cache = stack_prefixes([prefixes[i] for i in pairs])
    answers = [_Answer(model=model, limit=limit) for _ in prompts]
    passes = [0] * len(prompts)

    # Left padding brings the last position of every row, which predicts, to the same place.
    batch, mask, _ = pad([model.splice(p.suffix).embeddings for p in prompts], "left")
    past = cache.get_seq_length()
    mask = torch.cat([mask.new_ones(len(prompts), past), mask], dim=1)
    active = list(range(len(prompts)))
    states = model.run(batch, mask=mask, positions=positions_of(mask)[:, past:], cache=cache)[:, -1]
    while True:
        choices, probabilities = _choose(model, states)
        for i, token, probability in zip(active, choices, probabilities, strict=True):
            passes[i] += 1
            if not (answers[i].ids and answers[i].finished):
                answers[i].add(token, probability)
        going = [n for n, i in enumerate(active) if not answers[i].finished or answers[i].awaits_seg]
        if not going:
            return [answer.result(n) for answer, n in zip(answers, passes, strict=True)]
        if len(going) < len(active):
            rows = torch.tensor(going, device=mask.device)
            cache.batch_select_indices(rows)
            mask, active = mask[rows], [active[n] for n in going]
        mask = torch.cat([mask, mask.new_ones(len(active), 1)], dim=1)
        last = torch.tensor([[answers[i].ids[-1]] for i in active], device=mask.device)
        states = model.run(model.embed(last), mask=mask, positions=positions_of(mask)[:, -1:], cache=cache)[
            :, -1
        ]
        for i, state in zip(active, states, strict=True):
            answers[i].take_state(state)


@torch.inference_mode()
def _choose(model: ReasonerModel, states: torch.Tensor) -> tuple[list[int], list[float]]:
    """The most probable next token after each state (L, D), and its probability."""
    logits = model.logits(states)
    # The largest logit, not the largest probability: rounding may make two probabilities equal.
    best = logits.max(dim=-1)
    probabilities = (best.values - logits.logsumexp(dim=-1)).exp()
    return best.indices.tolist(), probabilities.tolist()


@torch.inference_mode()
def _take_state(answer: _Answer, state: torch.Tensor) -> None:
    answer.take_state(state)
