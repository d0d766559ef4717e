"""The queries that text arms are asked, and which target an answer names."""

from collections.abc import Sequence
from pathlib import Path

from reasoncd.errors import NotFoundError
from reasoncd.ontology import TARGETS, Target
from services.reasoner.tokens import ReasonerTokenizer
from training.queries.asked import AskedQuery, parse_queries

_LONGEST_FIRST = sorted(TARGETS, key=lambda target: -len(target.words))


def load_queries(path: Path) -> tuple[AskedQuery, ...]:
    """Read a YAML file of the layout that `training.queries.asked` tells.

    Raises:
        NotFoundError: there is no such file.
        CorruptDataError: it is no such file; the message names the entry.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read; name a YAML file of queries with --queries") from error
    return parse_queries(data, where=str(path))


def named_target(tokenizer: ReasonerTokenizer, ids: Sequence[int], *, decided: bool = False) -> Target | None:
    """The target named right before the `<SEG>` that counts, wherever the reason stands; None where none is.

    Args:
        tokenizer: of the reasoner.
        ids: of an answer.
        decided: it was decided in a turn of its own, which then ends the answer: the last `<SEG>` counts,
            else the first.
    """
    places = [place for place, token in enumerate(ids) if token == tokenizer.seg_id]
    if not places:
        return None
    claim = tokenizer.visible(ids[: places[-1 if decided else 0]]).casefold()
    return next((t for t in _LONGEST_FIRST if claim.endswith(t.words.casefold())), None)
