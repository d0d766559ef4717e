"""What a run over a scene is asked to do, how far it is, and what it found."""

import datetime as dt
import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal, Self

from gateway.checks import check_threshold
from reasoncd.errors import InvalidInputError
from reasoncd.ports import Mode

Stage = Literal["check", "reason", "tiles", "stitch", "write"]

MAX_TILE = 4096
"""Pixels along the side of one tile: the largest pair that a model takes."""


class Reasoning(StrEnum):
    """How often the question is read."""

    ONCE = "once"
    """On an overview of both scenes; every tile is decoded with that one `<SEG>`."""
    TILE = "tile"
    """Anew on each tile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneSettings:
    """Everything that may alter the outputs, and how stubborn a run is.

    Raises:
        InvalidInputError: a value is out of bounds.
    """

    mode: Mode = Mode.SHORT
    threshold: float | None = None
    """A pixel is changed at or above this probability; the model's own if None."""
    reasoning: Reasoning = Reasoning.ONCE
    tile: int | None = None
    """Side of the tiles in pixels, a multiple of the model's own; four times that if None."""
    overlap: int | None = None
    """Least overlap of neighbouring tiles in pixels; a quarter of the model's side if None."""
    bands: tuple[int, int, int] | None = None
    """Red, green and blue, counted from 1; what the files say if None."""
    min_pixels: int = 1
    """Regions of fewer pixels are in the map but are not outlined."""
    parquet: bool = False
    """Write `changes.parquet` too."""
    views: bool = False
    """Write `t1_view.tif` and `t2_view.tif` too: what the model saw, for a page to show."""
    t1_date: dt.date | None = None
    """Of the earlier scene, for the catalogue entry; what the file says if None."""
    t2_date: dt.date | None = None
    tries: int = 3
    """How often a tile is tried before it is given up."""
    pause_s: float = 1.0
    """Before a tile is tried again, doubled each time; in seconds."""

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        if self.tile is not None and not 16 <= self.tile <= MAX_TILE:
            raise InvalidInputError(f"tile is {self.tile} but must lie in [16, {MAX_TILE}] pixels")
        if self.overlap is not None and self.overlap < 0:
            raise InvalidInputError(f"overlap is {self.overlap} but must be 0 or more pixels")
        if self.bands is not None and min(self.bands) < 1:
            raise InvalidInputError(f"bands are {self.bands} but are counted from 1")
        if self.min_pixels < 1:
            raise InvalidInputError(f"min_pixels is {self.min_pixels} but must be 1 or more")
        if self.tries < 1 or self.pause_s < 0:
            raise InvalidInputError(
                f"tries is {self.tries} and pause_s {self.pause_s}; give at least 1 and 0"
            )

    def of_outputs(self) -> dict[str, Any]:
        """The values that decide what is written, as JSON takes them."""
        values = asdict(self)
        for patience in ("tries", "pause_s"):
            del values[patience]
        return {name: str(value) if isinstance(value, dt.date) else value for name, value in values.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneProgress:
    """How far a run is."""

    stage: Stage
    done: int
    """Of `total`: tiles detected, blocks stitched or files written."""
    total: int
    seconds_left: float | None = None
    """Until the last tile is detected, judged by the tiles of this run; None where there were none yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedTile:
    """A tile that could not be detected; its part of the map holds no data."""

    top: int
    """First row, in pixels of T1."""
    left: int
    height: int
    width: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneResult:
    """What a run found; also what `result.json` holds."""

    query: str
    mode: Mode
    answer: str
    """For a person; agrees with the map."""
    model_answer: str
    seg_emitted: bool
    presence: float
    """The highest of any tile. In [0, 1]."""
    confidence: float | None
    """Predicted IoU, tiles weighted by their changed area; None where the map is empty."""
    threshold: float
    presence_threshold: float
    width: int
    """Of the map, in pixels."""
    height: int
    crs: str | None
    valid_pixels: int
    """Where both dates have data and the tile did not fail."""
    changed_pixels: int
    places: int
    """Connected regions of at least `polygons.SPECK` pixels; all of them where all are smaller."""
    polygons: int
    """Regions that were outlined."""
    area_m2: float | None
    """Of the outlined regions; None without a coordinate reference system."""
    histogram: tuple[int, ...]
    """Valid pixels by probability, in bins of equal width over [0, 1]."""
    tiles: int
    failed: tuple[FailedTile, ...] = ()
    files: tuple[str, ...] = ()
    """Names in the folder."""
    fingerprints: dict[str, str] = field(default_factory=dict)

    @property
    def changed_fraction(self) -> float:
        """Changed part of the valid area, in [0, 1]."""
        return self.changed_pixels / self.valid_pixels if self.valid_pixels else 0.0

    def to_json(self) -> str:
        """As text; equal results give equal text."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """What `to_json` wrote.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        values = json.loads(text)
        return cls(
            **{
                **values,
                "mode": Mode(values["mode"]),
                "histogram": tuple(values["histogram"]),
                "failed": tuple(FailedTile(**tile) for tile in values["failed"]),
                "files": tuple(values["files"]),
            }
        )
