"""The prompt: everything that is the same for one pair first, then the query, then the mode.

    <s> task. Earlier image: <T1> Later image: <T2>     prefix, cached per pair
    Query: <CRoI> query </CRoI> how to answer. Change map:     suffix, one per query

The order is what makes the prefix serve every query and mode on a pair. It does not know how many
embeddings an image placeholder stands for.

A model that decides first is asked for an explained answer in two turns. What it answers briefly stands
between them, and is what it then gives the reason of; the answer is the reason and the brief answer after
it:

    ... </CRoI> Answer briefly. Change map: New buildings: <SEG> Now give the reason:
"""

from dataclasses import dataclass

from reasoncd.ontology import REFUSAL, Target
from reasoncd.ports import Mode
from reasoncd.queries import validate_query
from services.reasoner.tokens import CROI_CLOSE, CROI_OPEN, T1_TOKEN, T2_TOKEN, ReasonerTokenizer

TASK = (
    f"Find what changed between two images of one place. Earlier image:{T1_TOKEN}Later image:{T2_TOKEN}Query:"
)
"""What stands before the query. No space touches a placeholder: it would be a token of its own."""

MODE_WORDS = {
    Mode.SHORT: "Answer briefly. Change map:",
    Mode.EXPLAINED: "Give the reason, then answer. Change map:",
}
FOLLOW_UP = "Now give the reason:"
"""The second turn of a model that decides first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One prompt as token ids; `prefix` still holds one placeholder id an image."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    query_tokens: int
    """How many ids of the suffix are the user's."""
    mode: Mode
    follow_up: tuple[int, ...] = ()
    """What asks for the reason once the answer was given; empty where there is one turn only."""


def build_prompt(
    tokenizer: ReasonerTokenizer, query: str, mode: Mode, *, decide_first: bool = False
) -> Prompt:
    """Build the prompt of one query.

    Args:
        tokenizer: gives the ids.
        query: as typed; checked and brought into one line here.
        mode: what the answer holds.
        decide_first: of the model's configuration.

    Raises:
        InvalidInputError: the query cannot be used as given.
    """
    user = tokenizer.encode_user(validate_query(query))
    open_id, close_id = tokenizer.encode_fixed(CROI_OPEN), tokenizer.encode_fixed(CROI_CLOSE)
    two_turns = decide_first and mode is Mode.EXPLAINED
    words = MODE_WORDS[Mode.SHORT if two_turns else mode]
    return Prompt(
        prefix=prefix_ids(tokenizer),
        suffix=(*open_id, *user, *close_id, *tokenizer.encode_fixed(words)),
        query_tokens=len(user),
        mode=mode,
        follow_up=tokenizer.encode_fixed(FOLLOW_UP) if two_turns else (),
    )


def prefix_ids(tokenizer: ReasonerTokenizer) -> tuple[int, ...]:
    """The ids before the query, the base tokenizer's begin token first."""
    return (tokenizer.bos_id, *tokenizer.encode_fixed(TASK))


def explicit_reason(target: Target) -> str:
    """The reason that is trained where the query names the class: there is nothing to infer."""
    return f"The question names the change itself: {target.words.lower()}."


def answer_text(target: Target | None, *, reason: str | None = None, seg_first: bool = False) -> str:
    """The answer that is trained for a target: `[reason ]New buildings: <SEG>`, or the refusal.

    Args:
        target: what the query means, or None where it is no question about land cover.
        reason: one or two sentences, for the explained mode. It stands before `<SEG>`, so that it
            can shape the map.
        seg_first: the other order, which training compares with this one and nothing is served with.
    """
    short = REFUSAL if target is None else target.short_answer
    if not reason:
        return short
    return f"{short} {reason.strip()}" if seg_first else f"{reason.strip()} {short}"
