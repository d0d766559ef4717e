"""Greedy decoding: one answer at a time with guesses, or many at once.

Plain greedy decoding feeds one token a pass. A guess of what follows is fed along and verified by the same
pass: the tokens are those of plain decoding, in fewer passes. A wrong guess is cut off and decoding goes on
plainly.

After `<SEG>` is chosen it is fed once more, at the token limit too: its state is the embedding. The
first `<SEG>` counts. A prompt of two turns is answered in the first, `<SEG>` included; the second gives the
reason, and the whole answer is the reason with what was answered after it. This module knows neither modes
nor events.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch

from services.reasoner.guesses import AnswerTrie, Guesses
from services.reasoner.model import ReasonerModel
from services.reasoner.prefix_cache import Prefix, prefill
from services.reasoner.prompt import Prompt
from services.reasoner.rows import Rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """One decoded answer."""

    token_ids: tuple[int, ...]
    """`<SEG>` and end-of-text included; of two turns those of the second, then those of the first."""
    text: str
    """Without control tokens."""
    seg_embedding: torch.Tensor | None
    """float32 (seg_dim,), or None where no `<SEG>` was chosen."""
    seg_probability: float
    """Of `<SEG>` where it was chosen first; 0 without."""
    generated: int
    """Tokens chosen in all."""
    passes: int
    """How often the language model ran after the prefix."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstTurn:
    """The first of two turns."""

    follow_up: tuple[int, ...]
    """Ids that ask for the reason."""
    guesses: Guesses
    """Of the answer."""


class Decoding:
    """One answer as it is decoded: what to feed next, and what the states say about it.

    The passes are run by `step`, for this answer alone or for many at once.

    Args:
        model: in evaluation mode.
        suffix: prompt ids after the prefix.
        limit: most tokens of an answer, at least 1.
        guesses: what is likely to be answered; the tokens are the same with and without.
        first_turn: of a prompt of two turns.
    """

    def __init__(
        self,
        model: ReasonerModel,
        suffix: Sequence[int],
        *,
        limit: int,
        guesses: Guesses | None = None,
        first_turn: FirstTurn | None = None,
    ) -> None:
        self._model = model
        self._suffix = tuple(suffix)
        self._limit = limit
        self._answer_guesses = guesses or Guesses()
        self._first_turn = first_turn
        self._passes = 0
        self._decided: tuple[int, ...] = ()
        self._seg_embedding: torch.Tensor | None = None
        self._seg_probability = 0.0
        self._awaits_seg = False
        self.feeds: tuple[int, ...] = self._suffix
        """Ids to run in the next pass."""
        self._begin(first_turn.guesses if first_turn else self._answer_guesses)

    def _begin(self, guesses: Guesses) -> None:
        """A turn begins."""
        self._guesses = guesses
        self._place: AnswerTrie | None = guesses.start
        self._guess: tuple[int, ...] = ()
        self._ids: list[int] = []

    @property
    def token_ids(self) -> Sequence[int]:
        """Those of the answer that are certain; none while the first of two turns is decoded."""
        if self._first_turn:
            return ()
        return (*self._ids, *self._decided) if self.finished else self._ids

    @property
    def generated(self) -> int:
        """Tokens chosen so far, in all turns."""
        return len(self._decided) + len(self._ids)

    @property
    def finished(self) -> bool:
        """The answer is whole; no pass is needed any more."""
        return not self.feeds

    @property
    def predicts(self) -> int:
        """How many states of the next pass, counted from its end, predict a token."""
        return 0 if self._ended() else 1 + len(self._guess)

    def read(self, states: torch.Tensor, choices: Sequence[int], probabilities: Sequence[float]) -> int:
        """Take in a pass.

        Args:
            states: (L, D) of the L ids in `feeds`.
            choices: the most probable token after each of the last `predicts` states.
            probabilities: of these choices.

        Returns:
            How many of the ids, counted from the end, were wrong and are to be forgotten.
        """
        self._passes += 1
        last = len(states) - 1 - len(self._guess)
        self._take_state(states[last])
        if self._ended():
            self._end(fed=True)
            return 0
        guess, accepted, right = self._guess, 0, False
        for position, token in enumerate(choices):
            self._add(token, probabilities[position])
            # End-of-text is never taken as fed: a second turn reads the first answer without it.
            right = position < len(guess) and guess[position] == token != self._model.tokenizer.eos_id
            if right:
                accepted += 1
                self._take_state(states[last + accepted])
            if self._ended() or not right:
                break
        self._guess = ()
        if not self._ended():
            self._guess = self._place.forced() if self._place else ()
            self.feeds = (self._ids[-1], *self._guess)
        else:
            # A token that was guessed rightly was fed as a guess.
            self._end(fed=right)
        return len(guess) - accepted

    def rewind(self) -> None:
        """Go on from the prefix: the next pass feeds everything that is certain."""
        self._guess = ()
        self.feeds = (*self._suffix, *self._ids)

    def result(self) -> Generation:
        """The answer as far as it goes."""
        visible = self._model.tokenizer.visible
        return Generation(
            token_ids=tuple(self.token_ids),
            # Each turn's by itself: a tokenizer may put no space before the first word of an answer.
            text=" ".join(filter(None, (visible(self._ids), visible(self._decided)))),
            seg_embedding=self._seg_embedding,
            seg_probability=self._seg_probability,
            generated=self.generated,
            passes=self._passes,
        )

    def _ended(self) -> bool:
        """No token of this answer comes any more."""
        ids = self._ids
        return len(ids) >= self._limit or (len(ids) > 0 and ids[-1] == self._model.tokenizer.eos_id)

    def _end(self, *, fed: bool) -> None:
        """A turn is over: what is fed next, if anything.

        Args:
            fed: whether its last token was.
        """
        if self._awaits_seg:
            # `<SEG>` at the limit is fed for its state, which is still awaited where it was not.
            self.feeds = (self._ids[-1],)
            return
        if self._first_turn is None:
            self.feeds = ()
            return
        answer = self._ids
        # End-of-text is never fed; at the limit the last token has not been yet.
        rest: tuple[int, ...] = ()
        if answer[-1] == self._model.tokenizer.eos_id:
            answer = answer[:-1]
        elif not fed:
            rest = (answer[-1],)
        follow_up = self._first_turn.follow_up
        self._suffix = (*self._suffix, *answer, *follow_up)
        self.feeds = (*rest, *follow_up)
        self._decided = tuple(self._ids)
        self._first_turn = None
        self._begin(self._answer_guesses)

    def _add(self, token: int, probability: float) -> None:
        self._ids.append(token)
        self._place = self._guesses.after(self._place, token)
        if self._decided:
            # What is asked about was said; a reason that writes `<SEG>` once more moves nothing.
            return
        if token == self._model.tokenizer.seg_id and self._seg_embedding is None and not self._awaits_seg:
            self._seg_probability = probability
            self._awaits_seg = True

    def _take_state(self, state: torch.Tensor) -> None:
        """The state (D,) at the position of the token added last."""
        if self._awaits_seg:
            self._seg_embedding = self._model.seg_head(state)
            self._awaits_seg = False


def first_turn_of(prompt: Prompt, guesses: Guesses | None = None) -> FirstTurn | None:
    """The first turn of a prompt of two; None for a prompt of one.

    Args:
        prompt: of a query.
        guesses: of the first answer.
    """
    if not prompt.follow_up:
        return None
    return FirstTurn(follow_up=prompt.follow_up, guesses=guesses or Guesses())


@torch.inference_mode()
def step(rows: Rows, decodings: Sequence[Decoding]) -> None:
    """One pass for some answers.

    Args:
        rows: one for each answer.
        decodings: none of them finished.
    """
    states = rows.feed([decoding.feeds for decoding in decodings])
    counts = [decoding.predicts for decoding in decodings]
    choices, probabilities = _choose(
        rows.model, torch.cat([row[len(row) - n :] for row, n in zip(states, counts, strict=True)])
    )
    wrong, start = [], 0
    for decoding, row, count in zip(decodings, states, counts, strict=True):
        mine = slice(start, start + count)
        wrong.append(decoding.read(row, choices[mine], probabilities[mine]))
        start += count
    rows.drop(wrong)


def decode(
    model: ReasonerModel,
    prefix: Prefix,
    suffix: Sequence[int],
    *,
    limit: int,
    guesses: Guesses | None = None,
    first_turn: FirstTurn | None = None,
) -> Generator[int, None, Generation]:
    """Decode one answer greedily.

    Args:
        model: merged or with its adapter, in evaluation mode.
        prefix: of the pair; not changed.
        suffix: prompt ids after the prefix.
        limit: most tokens of each answer, at least 1.
        guesses: what is likely to be answered; the tokens are the same with and without.
        first_turn: of a prompt of two turns.

    Yields:
        Each token id as soon as it is certain.

    Returns:
        The whole answer.
    """
    rows = Rows(model, [prefix])
    decoding = Decoding(model, suffix, limit=limit, guesses=guesses, first_turn=first_turn)
    told = 0
    while not decoding.finished:
        step(rows, [decoding])
        yield from decoding.token_ids[told:]
        told = len(decoding.token_ids)
    return decoding.result()


def generate(
    model: ReasonerModel,
    prefix: Prefix,
    suffix: Sequence[int],
    *,
    limit: int,
    guesses: Guesses | None = None,
    first_turn: FirstTurn | None = None,
) -> Generation:
    """`decode` without the intermediate tokens."""
    steps = decode(model, prefix, suffix, limit=limit, guesses=guesses, first_turn=first_turn)
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
    rows = Rows(model, [prefixes[i] for i in pairs])
    decodings = [
        Decoding(model, prompt.suffix, limit=limit, first_turn=first_turn_of(prompt)) for prompt in prompts
    ]
    active = decodings
    while active:
        step(rows, active)
        going = [n for n, decoding in enumerate(active) if not decoding.finished]
        if going and len(going) < len(active):
            rows.keep(going)
        active = [active[n] for n in going]
    return [decoding.result() for decoding in decodings]


@torch.inference_mode()
def _choose(model: ReasonerModel, states: torch.Tensor) -> tuple[list[int], list[float]]:
    """The most probable next token after each state (L, D), and its probability."""
    logits = model.logits(states)
    # The largest logit, not the largest probability: rounding may make two probabilities equal.
    best = logits.max(dim=-1)
    probabilities = (best.values - logits.logsumexp(dim=-1)).exp()
    return best.indices.tolist(), probabilities.tolist()
