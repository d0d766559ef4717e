"""What is to be seen on the map, as pixels of the screen."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from playwright.sync_api import Page

Colour = tuple[int, int, int]
CLOSEST = 16
"""Screen pixels for one of the image, at most."""


def on_map(page: Page, size: tuple[int, int], x: float, y: float) -> tuple[float, float]:
    """Where a pixel of a pair is on the screen: the pair is fitted into the map, 16 pixels off its edge."""
    width, height = size
    box = page.locator(".map-ground").bounding_box()
    assert box is not None
    scale = min((box["width"] - 32) / width, (box["height"] - 32) / height, CLOSEST)
    return (
        box["x"] + box["width"] / 2 + (x - width / 2) * scale,
        box["y"] + box["height"] / 2 + (y - height / 2) * scale,
    )


def shown_at(page: Page, size: tuple[int, int], x: float, y: float) -> Colour:
    """The colour that is shown there."""
    # What was asked for is drawn with the next frames.
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    across, down = on_map(page, size, x, y)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    red, green, blue = np.asarray(picture)[round(down), round(across)].tolist()
    return red, green, blue


def is_marked(colour: Colour) -> bool:
    """Whether it is the colour of change."""
    red, green, _ = colour
    return red - green > 60


def eventually(true: Callable[[], bool], page: Page) -> None:
    """Wait for what the map shows."""
    for _ in range(100):
        if true():
            return
        page.wait_for_timeout(50)
    raise AssertionError("the map does not show it")
