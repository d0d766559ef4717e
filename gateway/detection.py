"""What the pipeline tells while it works, and what it found in the end."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gateway.polygons import Places
from reasoncd.meanings import Click, Meaning
from reasoncd.ports import Mode

__all__ = ["Click", "Detection", "Event", "Meaning", "Stage"]

Stage = Literal["encode", "reason", "decode"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """How far a call of `Pipeline.detect` is."""

    stage: Stage
    done: int
    """Pairs overviewed, questions answered or tiles decoded so far."""
    total: int
    query: int | None = None
    """Position of the question that is being answered."""
    text: str = ""
    """A new piece of the model's own words; `Detection.answer` may complete or withdraw them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """What was found for one question."""

    query: str
    mode: Mode
    answer: str
    """For a person; agrees with the map."""
    model_answer: str
    """The reasoner's own words, control tokens left out."""
    seg_emitted: bool
    """Whether the reasoner took the question for one about land cover and marked a region."""
    seg_probability: float
    """Of the `<SEG>` token where the reasoner chose it, else 0. In [0, 1]."""
    presence: float
    """`seg_probability` x the decoder's presence, at its highest over the tiles. In [0, 1]."""
    confidence: float | None
    """Predicted IoU of the map, tiles weighted by their changed area; None where the map is empty."""
    threshold: float
    """A pixel is changed at or above this probability."""
    presence_threshold: float
    """Tiles below this presence are taken as unchanged."""
    change_map: NDArray[np.bool_]
    """(H, W)."""
    probability: NDArray[np.float32]
    """(H, W), in [0, 1]."""
    places: Places
    fingerprints: dict[str, str]
    """Of each component that took part, by its name."""
    timings_s: dict[str, float]
    """Seconds per stage; `encode` and `decode` are shared by all questions of the call."""
    meaning: Meaning
    """What the question meant, for further calls that ask it."""

    @property
    def changed_fraction(self) -> float:
        """Changed part of the area, in [0, 1]."""
        return float(self.change_map.mean())
