"""One question, checked, and one answer in progress: what the engine hands to whoever runs the passes.

Nothing is computed here; the events are those of `reasoncd.ports.Reasoner`.
"""

from dataclasses import dataclass

from reasoncd.ports import ReasonDone, ReasonEvent, ReasonText
from reasoncd.tensors import Tensor
from services.reasoner.generation import Decoding
from services.reasoner.prefix_cache import Prefix
from services.reasoner.prompt import Prompt
from services.reasoner.tokens import ReasonerTokenizer, TextStream
from services.wire import from_torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question that can be answered: features and query were checked."""

    prompt: Prompt
    source: Prefix | Tensor
    """The pair's prefix where it was there already, else its patch tokens, bfloat16 (T, N, C)."""
    digest: str
    """Of the patch tokens."""


class Answering:
    """An answer while it is decoded.

    Args:
        tokenizer: turns its tokens into text.
        prefix: of the pair.
        decoding: not begun.
    """

    def __init__(self, tokenizer: ReasonerTokenizer, prefix: Prefix, decoding: Decoding) -> None:
        self.prefix = prefix
        self.decoding = decoding
        self._stream = TextStream(tokenizer)
        self._read = 0

    def events(self) -> list[ReasonEvent]:
        """What came since the last call: text, and the end once the decoding is finished."""
        if self.decoding.finished:
            return self._last_events()
        fresh = self.decoding.token_ids[self._read :]
        self._read += len(fresh)
        pieces = [self._stream.push(token) for token in fresh]
        return [ReasonText(text=piece) for piece in pieces if piece]

    def _last_events(self) -> list[ReasonEvent]:
        generation = self.decoding.result()
        rest = self._stream.advance(generation.text)
        seg = generation.seg_embedding
        return [
            *([ReasonText(text=rest)] if rest else []),
            ReasonDone(
                answer=generation.text,
                seg_embedding=None if seg is None else from_torch(seg),
                seg_probability=generation.seg_probability,
                token_count=generation.generated,
            ),
        ]
