"""Which questions are asked about a pair whose land cover is labelled at both dates.

Every change that is there is asked for in plain words (E0, T for transitions) and, if wanted, by implicit
phrases of the bank (I1). Of the changes that are surely not there, a few are asked for too: N2 where only
the opposite happened, N1 where the class is there and stayed, N0 where it is in neither image.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError
from reasoncd.ontology import MAIN_TARGETS, TARGETS, Target
from services.reasoner.prompt import answer_text
from training.data.labels import NO, UNKNOWN, YES
from training.data.prepare.label_ontology import LabelOntology
from training.data.prepare.pair import U8, Question
from training.data.sample_labels import Level
from training.queries.bank import load_phrases


@dataclass(frozen=True, kw_only=True, slots=True)
class AskConfig:
    """What is asked of each pair."""

    main_only: bool = False
    """Only gain and loss of the five main classes, the ten targets of the accuracy protocol."""
    smallest: int = 24
    """Pixels from which a change counts as there; fewer are slivers between two outlines of one thing."""
    absent: int = 2
    """Most questions about changes that are not there."""
    implicit: int = 0
    """Implicit phrases for each change that is there and has some in the phrase bank."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("smallest", 1), ("absent", 0), ("implicit", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise InvalidInputError(f"{name} is {getattr(self, name)}; give {least} or more")


def ask_about(
    name: str,
    ontology: LabelOntology,
    labels_t1: U8,
    labels_t2: U8,
    config: AskConfig,
    *,
    hidden: NDArray[np.bool_] | None = None,
) -> tuple[Question, ...]:
    """The questions of one pair; they depend on its labels, its name and the seed.

    Args:
        name: of the pair.
        ontology: what the labels mean.
        labels_t1: (H, W) as the ontology reads it, the earlier date.
        labels_t2: (H, W), the later date.
        config: what is asked.
        hidden: (H, W), where the masks become unknown, since a neighbouring tile shows it already.

    Returns:
        Present changes in the order of the targets, then absent ones; empty where nothing is known.
    """
    rng = np.random.default_rng((config.seed, zlib.crc32(name.encode())))
    targets = MAIN_TARGETS if config.main_only else TARGETS
    masks = dict(zip(targets, ontology.masks(labels_t1, labels_t2, targets), strict=True))
    absent = {t for t, mask in masks.items() if (mask == NO).all()}
    for mask in masks.values():
        if hidden is not None:
            mask[hidden] = UNKNOWN
    there = [t for t, mask in masks.items() if np.count_nonzero(mask == YES) >= config.smallest]
    found: list[Question] = []
    for target in there:
        level: Level = "T" if target.to else "E0"
        found.append(_question(target.words, target, masks[target], level))
        found += [_question(words, target, masks[target], "I1") for words in _phrases(target, config, rng)]
    directed = [t for t in masks if t in absent and t.direction in ("gain", "loss")]
    for target in _chosen(directed, there, config.absent, rng):
        kind: Level | None = "N2" if target.reversed in there else None
        if target.reversed in absent:
            kind = _level_of_stillness(target, ontology, labels_t1, labels_t2)
        found.append(_question(target.words, target, masks[target], kind))
    return tuple(found)


def _question(words: str, target: Target, mask: U8, level: Level | None) -> Question:
    return Question(mask=mask, words=words, answer=answer_text(target), target=target, level=level)


def _phrases(target: Target, config: AskConfig, rng: np.random.Generator) -> list[str]:
    phrases = load_phrases().implicit.get(target.key, ()) if config.implicit else ()
    picked = rng.permutation(len(phrases))[: config.implicit]
    return [phrases[int(i)].query for i in picked]


def _chosen(
    absent: Sequence[Target], there: Sequence[Target], count: int, rng: np.random.Generator
) -> list[Target]:
    """Absent targets in random order, the wrong directions first: they are the hard ones."""
    order = [absent[int(i)] for i in rng.permutation(len(absent))]
    return sorted(order, key=lambda target: target.reversed not in there)[:count]


def _level_of_stillness(
    target: Target, ontology: LabelOntology, labels_t1: U8, labels_t2: U8
) -> Level | None:
    """The level where nothing of a class came or went."""
    seen = [ontology.seen(target.cls, labels) for labels in (labels_t1, labels_t2)]
    if seen == [YES, YES]:
        return "N1"
    return "N0" if seen == [NO, NO] else None
