"""The end of one question: threshold once, outline, word."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway import wording
from gateway.decoding import Decoding
from gateway.detection import Detection, Meaning
from gateway.polygons import find_places
from reasoncd.ports import Mode


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What holds for every question of a call."""

    mode: Mode
    threshold: float
    """A pixel is changed at or above this probability."""
    presence_threshold: float
    """Tiles below this presence are taken as unchanged."""
    fingerprints: Mapping[str, str]
    """Of each component that took part, by its name; the reasoner's is that of the question's meaning."""


def conclude(
    query: str,
    meaning: Meaning,
    decoding: Decoding,
    column: int | None,
    *,
    rules: Rules,
    timings_s: Mapping[str, float],
) -> Detection:
    """Make the answer of one question; its row of `decoding.logits` is overwritten.

    Args:
        query: the question.
        meaning: of the question.
        decoding: of all questions.
        column: the question's place in `decoding`; None where it has no `<SEG>`.
        rules: of the call.
        timings_s: seconds of the stages before.
    """
    began = time.perf_counter()
    presence, confidence = 0.0, None
    if column is None:
        probability = np.zeros(decoding.logits.shape[1:], dtype=np.float32)
    else:
        presence = float(decoding.presence[:, column].max())
        probability = _logistic_in_place(decoding.logits[column])
    change_map = probability >= np.float32(rules.threshold)
    if column is not None and change_map.any():
        confidence = _confidence(decoding, column, change_map)
    places = find_places(change_map, probability)
    if column is None:
        answer = wording.refused(meaning.answer)
    elif places.count:
        fraction = float(change_map.mean())
        answer = wording.changed(meaning.answer, places=places.worth_telling, fraction=fraction)
    else:
        answer = wording.nothing(meaning.answer)
    return Detection(
        query=query,
        mode=rules.mode,
        answer=answer,
        model_answer=meaning.answer,
        seg_emitted=column is not None,
        seg_probability=meaning.seg_probability if column is not None else 0.0,
        presence=presence,
        confidence=confidence,
        threshold=rules.threshold,
        presence_threshold=rules.presence_threshold,
        change_map=change_map,
        probability=probability,
        places=places,
        fingerprints={**rules.fingerprints, "reasoner": meaning.fingerprint},
        timings_s={**timings_s, "outline": time.perf_counter() - began},
        meaning=meaning,
    )


def _confidence(decoding: Decoding, column: int, change_map: NDArray[np.bool_]) -> float:
    """Predicted quality, weighted by changed area over the tiles in which the change is present."""
    areas = [change_map[w.top : w.top + w.height, w.left : w.left + w.width].sum() for w in decoding.windows]
    # Absent tiles alone stay below every threshold, so a changed pixel lies in a present one.
    weights = np.array(areas) * decoding.present[:, column]
    return float(np.average(decoding.quality[:, column], weights=weights))


def _logistic_in_place(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits to probabilities, in the same memory: maps are large."""
    with np.errstate(over="ignore"):
        np.negative(logits, out=logits)
        np.exp(logits, out=logits)
        logits += np.float32(1)
        return np.reciprocal(logits, out=logits)
