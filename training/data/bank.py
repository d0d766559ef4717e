"""A bank of rendered pairs on disk: made once, read in any order by every stage.

Rendering costs tens of milliseconds a pair, reading one a fraction of one. The bank is a folder of
numpy arrays under the user's cache, named after everything that it was made from.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from reasoncd.folders import whole_folder
from training.data.composites import CompositeSource
from training.data.labels import LabelledPair
from training.data.real_pairs import RealPairSource
from training.data.real_tiles import dubai_tiles, footprint_tiles
from training.data.scenes import render_pair

BANK_VERSION = 2
"""Raised whenever a generator changes, so that an old bank is not taken for a new one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BankConfig:
    """What a bank holds."""

    count: int
    size: int = 256
    """Side of each pair in pixels."""
    seed: int = 1
    scenes: float = 0.3
    """Share of rendered scenes; with no real data at hand all pairs are scenes."""
    real_pairs: float = 0.15
    """Share of crops from real pairs of known building footprints; the rest are composites."""
    real_data: bool = True

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError("count must be at least 1")
        if self.size < 1:
            raise ValueError(f"size is {self.size}; it must be at least 1")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must not be negative")
        if self.scenes < 0 or self.real_pairs < 0 or self.scenes + self.real_pairs > 1:
            raise ValueError("scenes and real_pairs are shares that add up to at most 1")

    @property
    def name(self) -> str:
        """Folder name that tells banks apart."""
        kind = f"s{self.scenes:.2f}-r{self.real_pairs:.2f}" if self.real_data else "scenes"
        return f"bank-v{BANK_VERSION}-{self.count}x{self.size}-{kind}-seed{self.seed}"


class PairBank:
    """Random access to the pairs of one bank.

    Args:
        folder: as `build_bank` wrote it.
        first: how many pairs of its beginning are used; None uses all.
    """

    def __init__(self, folder: Path, *, first: int | None = None) -> None:
        self._images: NDArray[np.uint8] = np.load(folder / "images.npy", mmap_mode="r")
        self._lands: NDArray[np.uint8] = np.load(folder / "lands.npy", mmap_mode="r")
        self._building: NDArray[np.uint8] = np.load(folder / "building_change.npy", mmap_mode="r")
        self._meta = json.loads((folder / "meta.json").read_text())
        self._change_row: dict[str, int] = self._meta["change_row"]
        self._count = min(int(self._images.shape[0]), first or int(self._images.shape[0]))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> LabelledPair:
        row = self._change_row.get(str(index))
        return LabelledPair(
            image_t1=np.array(self._images[index, 0]),
            image_t2=np.array(self._images[index, 1]),
            land_t1=np.array(self._lands[index, 0]),
            land_t2=np.array(self._lands[index, 1]),
            origin=self._meta["origins"][index],
            building_change=None if row is None else np.array(self._building[row]),
        )


def pair_maker(config: BankConfig) -> Callable[[np.random.Generator], LabelledPair]:
    """The mixed source that a bank is filled from: one call, one training pair."""
    if not config.real_data:
        return lambda rng: render_pair(rng, size=config.size)
    composites = CompositeSource((*dubai_tiles("train"), *footprint_tiles("train")))
    real = RealPairSource()

    def make(rng: np.random.Generator) -> LabelledPair:
        kind = rng.random()
        if kind < config.scenes:
            return render_pair(rng, size=config.size)
        if kind < config.scenes + config.real_pairs:
            return real.sample(rng, size=config.size)
        return composites.sample(rng, size=config.size)

    return make


def build_bank(
    root: Path,
    config: BankConfig,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int = 1,
) -> Path:
    """Render a bank under `root` unless it is already there.

    Pair `i` depends on the seed and `i` alone. The folder appears when it is complete.

    Args:
        root: where banks are kept.
        config: what it holds.
        progress: is told how many pairs of how many are done.
        workers: processes that render; they do not change what is rendered.

    Returns:
        The bank's folder.

    Raises:
        NotFoundError, CorruptDataError: the real imagery is absent or damaged; nothing was written then.
        OutputError: the bank cannot be written.
    """
    folder = root / config.name
    if (folder / "meta.json").exists():
        return folder
    # Here first: an error of a worker process would not say what is wrong with the imagery.
    make = pair_maker(config)
    with whole_folder(folder) as new:
        _fill(new, config, _rendered(config, make, workers), progress)
    return folder


def _fill(
    folder: Path,
    config: BankConfig,
    pairs: Iterable[LabelledPair],
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write the files of a bank."""
    size = config.size
    images = open_memmap(
        folder / "images.npy", mode="w+", dtype=np.uint8, shape=(config.count, 2, size, size, 3)
    )
    lands = open_memmap(folder / "lands.npy", mode="w+", dtype=np.uint8, shape=(config.count, 2, size, size))
    origins: list[str] = []
    changes: list[NDArray[np.uint8]] = []
    change_row: dict[str, int] = {}
    for i, pair in enumerate(pairs):
        images[i] = pair.image_t1, pair.image_t2
        lands[i] = pair.land_t1, pair.land_t2
        origins.append(pair.origin)
        if pair.building_change is not None:
            change_row[str(i)] = len(changes)
            changes.append(pair.building_change)
        if progress is not None:
            progress(i + 1, config.count)
    images.flush()
    lands.flush()
    np.save(folder / "building_change.npy", np.array(changes, dtype=np.uint8).reshape(-1, size, size))
    meta = {"config": asdict(config), "origins": origins, "change_row": change_row}
    (folder / "meta.json").write_text(json.dumps(meta))


_make: Callable[[np.random.Generator], LabelledPair] | None = None
"""A worker process's own source; reading the tiles takes seconds, so it is made once."""


def _start_worker(config: BankConfig) -> None:
    global _make
    _make = pair_maker(config)


def _render(key: tuple[int, int]) -> LabelledPair:
    assert _make is not None  # `_start_worker` ran before the first task
    return _make(np.random.default_rng(key))


def _rendered(
    config: BankConfig, make: Callable[[np.random.Generator], LabelledPair], workers: int
) -> Iterator[LabelledPair]:
    """All pairs of a bank in order."""
    keys = [(config.seed, i) for i in range(config.count)]
    if workers == 1:
        yield from (make(np.random.default_rng(key)) for key in keys)
        return
    with ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(config,)) as pool:
        yield from pool.map(_render, keys, chunksize=16)
