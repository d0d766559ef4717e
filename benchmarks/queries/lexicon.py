"""The lexicon control: keywords to class and direction, without any model.

If it does as well as the model on implicit phrases, the model does not reason.
"""

import re

from reasoncd.ontology import MAIN_CLASSES, TARGET_BY_KEY, ClassName, Target

_CLASSES: dict[ClassName, str] = {
    "building": "build(?:ing)?s?|built-up|houses?|homes?|roof(?:top)?s?|structures?|dwellings?|apartments?"
    "|warehouses?|factor(?:y|ies)|sheds?|garages?|offices?|flats?|halls?",
    "road": "roads?|streets?|pave(?:d|ment)|asphalt(?:ed)?|tarmac|highways?|motorways?|lanes?|driveways?"
    "|car parks?|parking",
    "vegetation": "vegetation|trees?|woods?|woodland|forests?|grass(?:land)?|lawns?|green(?:ery)?|plants?"
    "|crops?|shrubs?|meadows?|bush(?:es)?",
    "water": "water|lakes?|ponds?|rivers?|canals?|pools?|reservoirs?|streams?|flood(?:ed)?",
    "bare_ground": "bare|soil|earth|sand|dirt|mud|dust|barren|gravel|clay",
}  # fmt: skip
_CLASS_WORDS = {cls: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for cls, words in _CLASSES.items()}
_GAIN = re.compile(
    r"\b(?:new|newly|fresh(?:ly)?|recent(?:ly)?|add(?:ed|itional)?|more|gain(?:ed)?|grew|grown|appear(?:ed)?"
    r"|built|erected|constructed|construction|increase[ds]?|extra|planted|laid|opened|now|later image)\b",
    re.IGNORECASE,
)
_LOSS = re.compile(
    r"\b(?:lost|loss|lose|removed?|removal|demoli(?:shed|tion)|gone|fewer|less|disappear(?:ed)?|vanish(?:ed)?"
    r"|torn|razed|shrank|shrunk|decrease[ds]?|cleared|cut|felled|dried|drained|missing|no longer"
    r"|earlier image)\b",
    re.IGNORECASE,
)


def lexicon_target(query: str) -> Target | None:
    """The target that keywords suggest; None where no class is named.

    Two classes with words of becoming between them are a transition, in their order; else the class that is
    named first counts, and without a word of direction any change of it.
    """
    places = sorted(
        (match.start(), cls) for cls in MAIN_CLASSES if (match := _CLASS_WORDS[cls].search(query)) is not None
    )
    if not places:
        return None
    if len(places) > 1 and re.search(r"\b(?:to|into|became|replaced by|turned)\b", query, re.IGNORECASE):
        return TARGET_BY_KEY[f"{places[0][1]}>{places[1][1]}"]
    gains, losses = len(_GAIN.findall(query)), len(_LOSS.findall(query))
    direction = "change" if gains == losses else "gain" if gains > losses else "loss"
    return TARGET_BY_KEY[f"{places[0][1]}.{direction}"]
