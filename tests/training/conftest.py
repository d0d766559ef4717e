"""A sample file and a recipe that fit in seconds, and generated imagery in the layout of the real sets."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reasoncd.errors import NotFoundError
from reasoncd.ontology import TARGET_BY_KEY
from training.data.real_tiles import XBD_HELD_OUT, data_root
from training.data.samples import export_samples
from training.data.scenes import render_pair

QUICK_RECIPE = """
about: The paper's path without the large backbone, on samples of 64 pixels.
sizes:
  preset: paper_tiny
  vision: {fusion: {multi_scale: false}}
samples:
  epochs: 2
  batch: 4
  micro_batch: 2
  learning_rate: 1e-2
  warmup_updates: 1
  zero_stage: 0
  best_by: loss
  patience: 2
  official_weights: false
  cache_gigabytes: 0.01
  log_steps: 2
"""


@pytest.fixture
def quick_recipe(tmp_path: Path) -> Path:
    """A recipe file `quick.yaml`."""
    path = tmp_path / "quick.yaml"
    path.write_text(QUICK_RECIPE)
    return path


@pytest.fixture(scope="session")
def sample_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten generated pairs of 64 pixels, one question each, in some of which buildings appeared."""
    pairs = [render_pair(np.random.default_rng((7, i)), size=64) for i in range(10)]
    folder = tmp_path_factory.mktemp("samples") / "set"
    return export_samples(pairs, folder, targets=[TARGET_BY_KEY["building.gain"]])


SIDE = 128


def _blocks(rng: np.random.Generator, values: int, side: int) -> np.ndarray:
    """A label map of 32-pixel blocks in which every value occurs."""
    count = (side // 32) ** 2
    drawn = np.concatenate([np.arange(values), rng.integers(0, values, count - values)])
    return np.kron(rng.permutation(drawn).reshape(side // 32, -1), np.ones((32, 32))).astype(np.uint8)


def _image(rng: np.random.Generator, side: int) -> np.ndarray:
    return np.kron(rng.integers(0, 256, (side // 8, side // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)


def _save(array: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def fake_data_root(tmp_path: Path) -> Path:
    """`landcover_dubai` (6 groups of 2), `fotbcd_512` (2 + 2 pairs) and `xbd_harvey_1024` (1 + 1), small."""
    rng = np.random.default_rng(5)
    root = tmp_path / "data"
    for group in range(1, 7):
        for part in (1, 2):
            name = f"t{group}_p{part}"
            _save(_image(rng, SIDE), root / "landcover_dubai" / "images" / f"{name}.jpg")
            _save(_blocks(rng, 6, SIDE), root / "landcover_dubai" / "labels" / f"{name}.png")
    for name in ("ins_train_1", "ins_val_2", "bin_train_3", "bin_val_4"):
        folder = root / "fotbcd_512"
        before, after = _blocks(rng, 2, SIDE), _blocks(rng, 2, SIDE)
        for date in "AB":
            _save(_image(rng, SIDE), folder / date / f"{name}.png")
        if name.startswith("ins"):
            _save(before, folder / "labelA" / f"{name}.png")
            _save(after, folder / "labelB" / f"{name}.png")
        _save((before ^ after) * np.uint8(255), folder / "label" / f"{name}.png")
    folder = root / "xbd_harvey_1024"
    buildings = _blocks(rng, 2, SIDE)
    for name in ("flood_0", XBD_HELD_OUT):
        for date in "AB":
            _save(_image(rng, SIDE), folder / date / f"{name}.png")
        _save(buildings, folder / "labelA" / f"{name}.png")
        _save(buildings * np.uint8(3), folder / "labelB" / f"{name}.png")
    return root


@pytest.fixture
def real_data_root() -> Path:
    """The real imagery, or a skip that says what is missing."""
    try:
        return data_root()
    except NotFoundError as error:
        pytest.skip(f"real imagery is absent: {error.message}")
