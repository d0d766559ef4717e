"""The picture for people: its layout holds, and the change is marked where it is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.pictures import overlay

pytestmark = pytest.mark.unit


def scene(height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    images = np.full((2, height, width, 3), 128, np.uint8)
    change = np.zeros((height, width), bool)
    change[height // 4 : height // 2, width // 4 : width // 2] = True
    return images, change


def reds(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray(picture[..., 0].astype(int) - picture[..., 2]) > 20


@pytest.mark.parametrize("size", [(16, 16), (256, 256), (1024, 1024), (300, 1200), (16, 1000), (1000, 16)])
def test_only_the_third_panel_is_marked(size: tuple[int, int]) -> None:
    images, change = scene(*size)
    picture = np.asarray(overlay(images, change, query="new buildings", answer="New buildings."))
    marked = np.argwhere(reds(picture).any(axis=0))
    assert marked.min() > picture.shape[1] * 0.6
    assert 900 < picture.shape[1] < 2900


def test_an_empty_map_marks_nothing() -> None:
    images, change = scene(64, 64)
    picture = np.asarray(overlay(images, np.zeros_like(change), query="q", answer="No such change is seen."))
    assert not reds(picture).any()


def test_a_single_changed_pixel_stays_visible_in_a_large_image() -> None:
    images = np.full((2, 3000, 3000, 3), 128, np.uint8)
    change = np.zeros((3000, 3000), bool)
    change[1500, 1500] = True
    assert reds(np.asarray(overlay(images, change, query="q", answer="a"))).any()


@pytest.mark.parametrize("query", ["w" * 2000, "new buildings " * 140, "WWWW MMMM " * 30, "x"])
def test_long_texts_are_shortened_not_cut(query: str) -> None:
    images, change = scene(64, 64)
    picture = np.asarray(overlay(images, change, query=query, answer="a"))
    # Nothing is written into the right margin, and the header leaves the panels in sight.
    assert (picture[:, -20:] == 255).all()
    assert picture.shape[0] < 1100
