"""Generated imagery in the layout of the real sets, so that reading is tested without them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reasoncd.errors import NotFoundError
from training.data.real_tiles import XBD_HELD_OUT, data_root

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
