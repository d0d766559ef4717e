"""What the client gives: answers, events and who answers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reasoncd.meanings import Meaning
from reasoncd.ports import Description


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Detection:
    """The answer to one question."""

    query: str
    """As the gateway read it."""
    answer: str
    """For a person; agrees with the map."""
    model_answer: str
    """The model's own words."""
    seg_emitted: bool
    """Whether the model took the question for one about land cover."""
    seg_probability: float
    """Of the `<SEG>` token where it was chosen, else 0. In [0, 1]."""
    presence: float
    """Probability that the asked change is there at all, in [0, 1]."""
    confidence: float | None
    """Predicted IoU of the map, in [0, 1]; None where the map is empty."""
    threshold: float
    """A pixel is changed at or above this probability."""
    presence_threshold: float
    """Tiles below this presence are taken as unchanged."""
    changed_fraction: float
    """Changed part of the area, in [0, 1]."""
    change_map: NDArray[np.bool_]
    """(H, W), of the images' size."""
    probability: NDArray[np.float32] | None
    """(H, W), in [0, 1]; None unless it was asked for."""
    polygons: dict[str, Any]
    """GeoJSON FeatureCollection: longitude and latitude where the images are georeferenced, else pixels (x to
    the right, y down), which its member `"coordinates": "pixels"` says."""
    place_count: int
    """How many places there are, those without a polygon included."""
    fingerprints: dict[str, str]
    """Of each component that took part, by its name."""
    timings_s: dict[str, float]
    """Seconds a stage; `encode` and `decode` are shared by all questions of a request."""
    meaning: Meaning | None
    """What the question meant, for further requests that ask it; None from an older gateway."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the work is."""

    stage: str
    """`encode`, `reason` or `decode`."""
    done: int
    """Pairs overviewed, questions answered or tiles decoded so far."""
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A piece of the model's own words; the answer may complete or withdraw them."""

    query: int
    """Position of the question, from 0."""
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Detected:
    """One question is answered."""

    query: int
    """Position of the question, from 0."""
    detection: Detection


Event = Progress | Text | Detected


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectLimits:
    """What the gateway refuses more of."""

    message_bytes: int
    image_bytes: int
    """Of one image file."""
    image_side: int
    """Longest side in pixels."""
    queries: int
    """About one pair."""
    requests: int
    """In work at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayDescription:
    """Who answers."""

    version: str
    """Of the gateway's software."""
    components: tuple[Description, ...]
    """Vision encoder, reasoner and mask decoder."""
    limits: DetectLimits
