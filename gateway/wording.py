"""The sentence a person reads, made so that it never contradicts the map.

The reasoner writes its answer before any pixel is decided; the mask decoder may then find nothing.
So the claim of the answer is completed with what the map holds, or withdrawn.
"""

import re

from reasoncd.ontology import SEG_TOKEN, TARGETS, Target

NOTHING_SEEN = "no such change is seen"
NO_ANSWER = "The question got no answer."

_LONGEST_FIRST = sorted(TARGETS, key=lambda target: -len(target.words))


def split_answer(text: str) -> tuple[str, Target | None]:
    """Take a model's answer apart.

    Args:
        text: for example "Homes were put up where fields were. New buildings: ".

    Returns:
        The text before the claim ("Homes were put up where fields were."), and the target that the answer
        ends with, or None where it ends with something else; the text is then all of it.
    """
    text = _tidy(text)
    for target in _LONGEST_FIRST:
        if re.search(rf"(?:^|\W){re.escape(target.words)}$", text, flags=re.IGNORECASE):
            return text[: -len(target.words)].strip(), target
    return text, None


def changed(text: str, *, places: int, fraction: float) -> str:
    """The answer where the map shows something, for example "New buildings: 3 places, 4.2 % of the area.".

    Args:
        text: the model's answer without control tokens.
        places: connected changed regions worth telling, at least 1.
        fraction: changed part of the area, in (0, 1].
    """
    reason, target = split_answer(text)
    found = f"{places:,} place{'s' if places > 1 else ''}, {percent(fraction)} of the area"
    # Text that is no whole sentence ("It's") was the opening of a claim; the map completes it.
    kept = reason if reason.endswith((".", "!", "?")) else ""
    claim = target.words if target else "Change"
    return f"{kept} {claim}: {found}.".strip()


def nothing(text: str) -> str:
    """The answer where the map is empty although a change was asked for; a reason for it is withdrawn too."""
    _, target = split_answer(text)
    claim = f"{target.words}: {NOTHING_SEEN}" if target else NOTHING_SEEN.capitalize()
    return f"{claim}."


def refused(text: str) -> str:
    """The answer where the model marked no region: its own words, unless they claim a change all the same."""
    words, target = split_answer(text)
    if target:
        return nothing(text)
    if not words:
        return NO_ANSWER
    return words if words.endswith((".", "!", "?")) else f"{words}."


def percent(fraction: float) -> str:
    """A part in words: "4.2 %", "under 0.1 %", "100 %"."""
    share = 100 * fraction
    if share < 0.1:
        return "under 0.1 %"
    if share >= 10:
        # 99.96 must not read as the whole.
        return f"{min(share, 99):.0f} %" if share < 100 else "100 %"
    return f"{share:.1f} %"


def _tidy(text: str) -> str:
    return " ".join(text.replace(SEG_TOKEN, " ").split()).rstrip(" :")
