"""Fixed lists of generated pairs to measure on: the same for everybody, and able to prove it.

A list is decided by kind, split, count and seed; a longer list begins with the shorter one. Its hash covers
every pixel and label, so a report can name what it was measured on. Another image decoder may round
differently, which the hash then shows.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from reasoncd.errors import InvalidInputError
from training.data.composite_config import CompositeConfig
from training.data.composites import CompositeSource
from training.data.labels import LabelledPair
from training.data.real_tiles import dubai_tiles, footprint_tiles

GENERATOR_VERSION = 1
"""Raised whenever the same seed gives other pairs; part of the seed, and to be printed with every figure."""

PairKind = Literal["composite", "scene", "footprint"]
MeasuredSplit = Literal["validation", "test"]

DEFAULT_SIZE = 256
_KIND_KEYS: dict[PairKind, int] = {"composite": 1, "scene": 2, "footprint": 3}
_SPLIT_KEYS: dict[MeasuredSplit, int] = {"validation": 1, "test": 2}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FixedPairs:
    """A list of pairs and what identifies it."""

    kind: PairKind
    """Composites of real tiles, rendered scenes, or composites on the held-out tile with footprints."""
    split: MeasuredSplit
    """Which tiles the composites use; scenes of the two splits have other seeds."""
    seed: int
    """The seed that was asked for."""
    version: int
    """`GENERATOR_VERSION` of the code that made the list."""
    sha256: str
    """Hash over all pixels and labels, in order."""
    pairs: tuple[LabelledPair, ...]
    """The pairs, all of one size."""


def validation_pairs(
    kind: PairKind,
    split: MeasuredSplit,
    count: int,
    seed: int,
    *,
    size: int = DEFAULT_SIZE,
    root: Path | None = None,
) -> FixedPairs:
    """Make one fixed list of pairs.

    Args:
        kind: `composite` and `footprint` (both need the real tiles) or `scene`. Footprint composites know
            buildings alone, and only the validation split has a tile for them.
        split: `validation` or `test`; training tiles are not measured on.
        count: number of pairs, 1 or more.
        seed: 0 or more; reports use one committed seed.
        size: side of every pair in pixels; reports use the default.
        root: the data folder for composites; found by `real_tiles.data_root` where None.

    Raises:
        InvalidInputError: if kind, split, count or seed is none of these.
        NotFoundError: if the tiles of a composite are absent.
    """
    if kind not in _KIND_KEYS:
        raise InvalidInputError(f"kind is {kind!r}; give composite, scene or footprint")
    if split not in _SPLIT_KEYS:
        raise InvalidInputError(f"split is {split!r}; give validation or test")
    if count < 1 or seed < 0:
        raise InvalidInputError(f"count is {count} and seed {seed}; give at least 1 and at least 0")
    if kind == "footprint" and split != "validation":
        raise InvalidInputError(f"split is {split!r}; footprint pairs are there for validation only")
    draw = _scenes(size) if kind == "scene" else _composites(kind, split, size, root)
    # One generator per pair: a list may grow without altering its beginning.
    keys = (GENERATOR_VERSION, _KIND_KEYS[kind], _SPLIT_KEYS[split], seed)
    pairs = tuple(draw(np.random.default_rng([*keys, number])) for number in range(count))
    return FixedPairs(
        kind=kind, split=split, seed=seed, version=GENERATOR_VERSION, sha256=pairs_sha256(pairs), pairs=pairs
    )


def pairs_sha256(pairs: Sequence[LabelledPair]) -> str:
    """Hex SHA-256 over the images, land cover and building change of pairs, in order, sizes included."""
    digest = hashlib.sha256()
    for pair in pairs:
        arrays = (pair.image_t1, pair.image_t2, pair.land_t1, pair.land_t2, pair.building_change)
        for array in arrays:
            if array is None:
                digest.update(b"none;")
                continue
            digest.update(f"{array.shape};".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _composites(
    kind: PairKind, split: MeasuredSplit, size: int, root: Path | None
) -> Callable[[np.random.Generator], LabelledPair]:
    tiles = dubai_tiles(split, root)
    if kind == "footprint":
        # All that is drawn comes from the held-out tile; a source must have tiles of full land cover, too.
        source = CompositeSource((*tiles, *footprint_tiles(split, root)), CompositeConfig(footprint_base=1.0))
    else:
        source = CompositeSource(tiles)
    return lambda rng: source.sample(rng, size=size)


def _scenes(size: int) -> Callable[[np.random.Generator], LabelledPair]:
    # Here, since composites are measured without the renderer.
    from training.data.scenes import render_pair

    return lambda rng: render_pair(rng, size=size)
