"""What is guessed, and where guesses come from."""

from reasoncd.ontology import REFUSAL, SHORT_ANSWERS, TARGETS
from reasoncd.ports import Mode
from services.reasoner.guesses import AnswerTrie, Guesses, guesses_for
from services.reasoner.model import ReasonerModel


def test_forced_tokens_stop_at_branches_and_before_the_end() -> None:
    trie = AnswerTrie([(1, 2, 3, 9), (1, 2, 4, 9), (5, 9)])
    assert trie.forced() == ()
    one = trie.child(1)
    assert one is not None
    assert one.forced() == (2,)
    five = trie.child(5)
    assert five is not None
    assert five.forced() == ()
    assert trie.child(7) is None
    assert AnswerTrie().forced() == ()


def test_an_ending_is_entered_wherever_nothing_else_is_known() -> None:
    guesses = Guesses([(1, 2, 3, 9)], endings=[(2, 6, 7, 9)])
    one = guesses.after(guesses.start, 1)
    assert one is not None
    # Within a known answer its own tokens go first, although an ending begins so too.
    two = guesses.after(one, 2)
    assert two is not None
    assert two.forced() == (3,)
    lost = guesses.after(one, 5)
    assert lost is None
    entered = guesses.after(lost, 2)
    assert entered is not None
    assert entered.forced() == (6, 7)
    # Once more, after an ending that went another way.
    assert guesses.after(entered, 2) is not None
    assert guesses.after(entered, 8) is None


def walk(guesses: Guesses, ids: tuple[int, ...]) -> list[bool]:
    """Whether something is known before each token."""
    place: AnswerTrie | None = guesses.start
    known = []
    for token in ids:
        known.append(place is not None and token in place.children)
        place = guesses.after(place, token)
    return known


def test_every_short_answer_is_known_in_short_mode(model: ReasonerModel) -> None:
    guesses = guesses_for(model.tokenizer, Mode.SHORT)
    for answer in SHORT_ANSWERS:
        assert all(walk(guesses, model.tokenizer.encode_answer(answer)))


def test_explained_answers_are_known_from_the_end_of_their_reason(model: ReasonerModel) -> None:
    guesses = guesses_for(model.tokenizer, Mode.EXPLAINED)
    reason = "Families moved to this place."
    for ending in (*(target.short_answer for target in TARGETS), REFUSAL):
        ids = model.tokenizer.encode_answer(f"{reason} {ending}")
        begun = len(model.tokenizer.encode_answer(reason)) - 1
        assert all(walk(guesses, ids)[begun:])
