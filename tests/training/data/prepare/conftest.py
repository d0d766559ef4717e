"""Small sets in the layouts of the published ones, drawn anew for each test."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

U8 = NDArray[np.uint8]
Save = Callable[[Path, NDArray[np.generic]], Path]


@pytest.fixture
def noise() -> Callable[..., U8]:
    """(seed, height, width) -> an RGB picture no two pixels of which are alike for long."""

    def draw(seed: int, height: int = 64, width: int = 64) -> U8:
        return np.random.default_rng(seed).integers(1, 256, (height, width, 3), dtype=np.uint8)

    return draw


@pytest.fixture
def save() -> Save:
    """Write an array as a picture, folders included."""

    def write(path: Path, array: NDArray[np.generic]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
        return path

    return write


@pytest.fixture
def change() -> Callable[..., U8]:
    """(number, height, width) -> a mask of 0 and 255 with one block that moves with the number."""

    def draw(number: int = 0, height: int = 64, width: int = 64) -> U8:
        mask = np.zeros((height, width), np.uint8)
        mask[8 : 8 + 12, 4 + number : 20 + number] = 255
        return mask

    return draw


@pytest.fixture
def folder_set(tmp_path: Path, noise: Callable[..., U8], change: Callable[..., U8], save: Save) -> Path:
    """Ten pairs of 64 pixels as A/, B/ and label/; the last two without change."""
    source = tmp_path / "set"
    for number in range(10):
        save(source / "A" / f"p_{number}.png", noise(number))
        save(source / "B" / f"p_{number}.png", noise(100 + number))
        mask = change(number) if number < 8 else np.zeros((64, 64), np.uint8)
        save(source / "label" / f"p_{number}.png", mask)
    return source
