"""What an answer says, read from its words alone, as a user would."""

import re

from gateway.wording import NOTHING_SEEN
from reasoncd.ontology import REFUSAL, TARGETS, Target

_BY_WORDS = {target.words.lower(): target for target in TARGETS}
# The longest wording first: "low vegetation to ..." must not be cut to another target's words.
CLAIM = re.compile(
    rf"(?:^|(?<=\W))({'|'.join(sorted(map(re.escape, _BY_WORDS), key=len, reverse=True))}):", re.IGNORECASE
)
"""The words of a target before a colon, with which an answer says what its map shows."""


def named_target(answer: str) -> Target | None:
    """The target that an answer claims last ("New buildings: ..."), or None."""
    claims = CLAIM.findall(answer)
    return _BY_WORDS[claims[-1].lower()] if claims else None


def says_nothing_seen(answer: str) -> bool:
    """Whether the answer states that no such change is seen."""
    return NOTHING_SEEN.lower() in answer.lower()


def says_off_topic(answer: str) -> bool:
    """Whether the answer states that the question is not about a change of land cover."""
    return REFUSAL.rstrip(".").lower() in answer.lower()
