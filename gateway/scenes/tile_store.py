"""Finished tiles on the disk, each written whole or not at all, so that a run that was cut off goes on.

A tile's file names what it was made from; a file of another run, or one that the disk has damaged, is taken
as not there.
"""

import hashlib
import json
import os
import zipfile
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.tiling import Window

NO_DATA = np.float32(-1)
"""Stands for a pixel without data in one of the dates; below every probability and threshold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TileFacts:
    """What was found on one tile, besides its map."""

    answer: str
    """The reasoner's own words."""
    seg_emitted: bool
    presence: float
    confidence: float | None
    changed_pixels: int
    threshold: float
    presence_threshold: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tile:
    """One finished tile."""

    probability: NDArray[np.float32]
    """(H, W), in [0, 1], or `NO_DATA`."""
    facts: TileFacts | None
    """None where no pixel of the tile is valid, and no model was asked."""


class TileStore:
    """The tiles of one run.

    Args:
        folder: holds one file a tile; made if it is not there.
        run_key: of the inputs, the question, the settings and the model.
    """

    def __init__(self, folder: Path, run_key: str) -> None:
        self._folder, self._run_key = folder, run_key
        folder.mkdir(parents=True, exist_ok=True)
        # Neighbouring blocks share tiles; a few of them at hand save most of the reading.
        self._recent = lru_cache(maxsize=6)(self._read)

    def key(self, window: Window) -> str:
        """SHA-256 of everything that the tile is made from, in hex."""
        return hashlib.sha256(f"{self._run_key} {asdict(window)}".encode()).hexdigest()

    def has(self, window: Window) -> bool:
        """Whether the tile is finished and whole."""
        return self._read(window) is not None

    def get(self, window: Window) -> Tile | None:
        """The tile; None where it is not finished. Not to be changed."""
        return self._recent(window)

    def facts(self, window: Window) -> TileFacts | None:
        """What was found on a tile; None where it is not finished or holds no valid pixel."""
        tile = self._read(window)
        return tile.facts if tile else None

    def put(self, window: Window, tile: Tile) -> None:
        """Keep a finished tile.

        Raises:
            OSError: the disk takes no more.
        """
        facts = {"key": self.key(window), "facts": asdict(tile.facts) if tile.facts else None}
        path = self._path(window)
        scratch = path.with_suffix(".part")
        with scratch.open("wb") as file:
            text = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
            np.savez_compressed(file, probability=tile.probability, facts=text)
            # A name must never stand before its bytes do, also where the power fails.
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        self._recent.cache_clear()

    def _path(self, window: Window) -> Path:
        return self._folder / f"{window.top:07d}-{window.left:07d}.npz"

    def _read(self, window: Window) -> Tile | None:
        try:
            # Opened here, since numpy leaves a damaged file open.
            with self._path(window).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                probability = stored["probability"]
                facts = json.loads(stored["facts"].tobytes())
            if facts["key"] != self.key(window) or probability.shape != (window.height, window.width):
                return None
            return Tile(
                probability=probability, facts=TileFacts(**facts["facts"]) if facts["facts"] else None
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            # Written by something else or damaged: it is made again.
            return None
