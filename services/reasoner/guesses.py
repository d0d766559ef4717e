"""Answers that the model was trained to give, as a source of guesses for decoding.

Known answers form a trie over token ids; where it does not branch, what follows is a guess. An explained
answer of one turn begins with a reason in free words, which no trie holds, but it ends as a short answer
does: where a reason's full stop is decoded, a second trie is entered. Guesses cost little where they are
wrong, so nothing here has to know what was asked.
"""

from collections.abc import Iterable, Sequence

from reasoncd.ontology import SHORT_ANSWERS, TARGETS
from reasoncd.ports import Mode
from services.reasoner.prompt import answer_text, explicit_reason
from services.reasoner.tokens import ReasonerTokenizer


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


class Guesses:
    """Where guesses come from while one answer is decoded; shared by all answers.

    Args:
        answers: ids of whole answers, end-of-text included.
        endings: ids of what answers end with whatever they began with; the first id of an ending is where
            it is entered, and end-of-text is its last.
    """

    def __init__(
        self, answers: Iterable[Sequence[int]] = (), *, endings: Iterable[Sequence[int]] = ()
    ) -> None:
        self.start = AnswerTrie(answers)
        """The place before the first token."""
        self._endings = AnswerTrie(endings)

    def after(self, place: AnswerTrie | None, token: int) -> AnswerTrie | None:
        """The place after one more token; None where nothing is known of what follows.

        Args:
            place: before the token.
            token: that was decoded.
        """
        known = place.child(token) if place else None
        return known or self._endings.child(token)


def guesses_for(tokenizer: ReasonerTokenizer, mode: Mode, *, decide_first: bool = False) -> Guesses:
    """Guesses for the answers of one mode, as training teaches them.

    Args:
        tokenizer: gives the ids.
        mode: of the answers.
        decide_first: of the model's configuration; guesses of the explained mode are then of reasons alone.
    """
    if mode is Mode.SHORT:
        return Guesses(tokenizer.encode_answer(answer) for answer in SHORT_ANSWERS)
    if decide_first:
        return Guesses(tokenizer.encode_answer(explicit_reason(target)) for target in TARGETS)
    return Guesses(
        (tokenizer.encode_answer(answer_text(t, reason=explicit_reason(t))) for t in TARGETS),
        endings=(tokenizer.encode_answer(answer_text(t, reason=".")) for t in (*TARGETS, None)),
    )
