"""Does the map hang on the wording? Several phrases of one target, asked about one pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from benchmarks.measuring.measures import overlap
from benchmarks.measuring.outcomes import Failure, ask, stacked
from benchmarks.queries.questions import canonical_query
from gateway.pipeline import Pipeline
from reasoncd.ontology import Target
from training.data.labels import LabelledPair, target_mask
from training.metrics import Confusion
from training.queries import PhraseBank
from training.queries.asked import AskedQuery

PHRASES = 4
"""Implicit phrases of a kind beside the plain wording."""
_IMPLICIT = ("I2", "I3", "D2", "D3")
"""Levels of held-out and development queries that only hint at the change."""
SEEN, UNSEEN = "seen in training", "never seen"


@dataclass(frozen=True, kw_only=True, slots=True)
class Paraphrase:
    """The maps of several phrases of one target on one pair, against the truth and each other."""

    pair: int
    target: Target
    kind: str
    """Whether training has seen the implicit ones among the phrases."""
    f1: tuple[float, ...]
    """Of each phrase's map, the plain wording first."""
    agreement: float | None
    """Mean IoU between two of the maps, of which one marks something; None where all are empty."""

    @property
    def worst(self) -> float:
        """The lowest F1 of a phrase."""
        return min(self.f1)

    def as_json(self) -> dict[str, Any]:
        """Numbers and texts only."""
        return {
            "pair": self.pair, "target": self.target.key, "kind": self.kind, "f1": list(self.f1),
            "agreement": self.agreement,
        }  # fmt: skip


def paraphrase_test(
    pipeline: Pipeline,
    pair: LabelledPair,
    number: int,
    target: Target,
    phrases: PhraseBank,
    held_out: Sequence[AskedQuery],
    rng: np.random.Generator,
) -> tuple[list[Paraphrase], list[Failure]]:
    """Ask for one change in many words; a phrase that fails counts as an empty map.

    Args:
        pipeline: what is measured.
        pair: images and labels.
        number: of the pair in its list.
        target: a change that is there.
        phrases: where phrases that training has seen come from.
        held_out: where those that it has not seen come from; implicit ones that accept only the target.
        rng: of the choice.

    Returns:
        One result for each kind of which there are phrases.
    """
    kinds = {
        SEEN: [p.query for p in phrases.implicit.get(target.key, ())],
        UNSEEN: [q.query for q in held_out if q.accept == (target,) and q.level in _IMPLICIT],
    }
    chosen = {
        kind: [canonical_query(target), *(lines[int(i)] for i in rng.permutation(len(lines))[:PHRASES])]
        for kind, lines in kinds.items()
        if lines
    }
    answers = ask(pipeline, stacked(pair), [query for queries in chosen.values() for query in queries])
    truth = target_mask(pair, target)
    nothing = np.zeros(truth.shape, dtype=bool)
    found = []
    for kind, queries in chosen.items():
        maps = [
            nothing if isinstance(answer, Failure) else answer.change_map
            for answer in (answers[query] for query in queries)
        ]
        overlaps = [overlap(a, b) for a, b in combinations(maps, 2) if a.any() or b.any()]
        found.append(
            Paraphrase(
                pair=number,
                target=target,
                kind=kind,
                f1=tuple(Confusion.of(change_map, truth).f1 for change_map in maps),
                agreement=float(np.mean(overlaps)) if overlaps else None,
            )
        )
    return found, [a for a in answers.values() if isinstance(a, Failure)]
