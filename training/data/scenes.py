"""Drawn overhead scenes: pairs of images whose land cover is known at both dates, pixel by pixel.

`scene_layout` plans a place, `scene_blocks` and `scene_parts` fill it, `scene_raster` draws each
date, `scene_sensor` photographs it. Season, light, sensor, registration, cars and shadows differ
between the dates in every pair; land cover differs in six of seven.
"""

import math
from random import Random

import numpy as np

from reasoncd.errors import InvalidInputError
from training.data.labels import LabelledPair
from training.data.scene_layout import plan
from training.data.scene_light import Light
from training.data.scene_raster import Texture, draw_date
from training.data.scene_sensor import Style, deliver, misregister, photograph

_MARGIN = 8
"""Pixels drawn beyond each edge, so that moving the later image shows no border."""

_UNCHANGED = 0.15
"""Share of pairs without any change of land cover."""

_MIN_SIZE = 64


def render_pair(rng: np.random.Generator, *, size: int = 256) -> LabelledPair:
    """Draw one pair of images with complete labels.

    Args:
        rng: the only source of randomness; equal states give equal pairs.
        size: side of the square images in pixels; 64 or more.

    Returns:
        A pair of origin `scene`; every label is one of the seven fully specified classes. Labels lie on
        the earlier image's grid; the later image may be off it by up to two pixels.

    Raises:
        InvalidInputError: `size` is below 64.
    """
    if size < _MIN_SIZE:
        raise InvalidInputError(f"size is {size}; scenes need at least {_MIN_SIZE} pixels a side")
    side = size + 2 * _MARGIN
    layout_rng = Random(int(rng.integers(2**63)))
    scene, palette = plan(layout_rng, side=side, changed=layout_rng.random() >= _UNCHANGED)
    style = Style.draw(rng)
    inner = slice(_MARGIN, side - _MARGIN)
    images, lands = [], []
    texture: Texture | None = None
    for date in range(2):
        texture = Texture(rng, side, texture)
        light, land = draw_date(scene, palette, date, _light(rng), texture, rng)
        image = photograph(light, style, rng)
        if date == 1:
            image = misregister(image, _MARGIN, rng)
        images.append(deliver(image, _MARGIN, style, rng))
        lands.append(np.ascontiguousarray(land[inner, inner]))
    return LabelledPair(
        image_t1=images[0], image_t2=images[1], land_t1=lands[0], land_t2=lands[1], origin="scene"
    )


def _light(rng: np.random.Generator) -> Light:
    """Sun and season of one date; the canvas has no north, so the sun may stand anywhere."""
    return Light(
        azimuth=rng.uniform(0, 2 * math.pi),
        elevation=math.radians(rng.uniform(28, 68)),
        shade=rng.uniform(0.28, 0.55),
        green=float(rng.beta(2.5, 1.2)),
        autumn=rng.uniform(0.2, 0.9) if rng.random() < 0.15 else 0.0,
        glint=rng.uniform(0.0, 0.12) if rng.random() < 0.3 else 0.0,
    )
