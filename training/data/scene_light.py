"""Sun and season of one date, and what they do to heights: slope shading and cast shadows."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Light:
    """Sun and season of one date."""

    azimuth: float
    """Canvas direction towards the sun, radians."""
    elevation: float
    """Radians above the horizon."""
    shade: float
    """Brightness left in full shadow, in (0, 1)."""
    green: float
    """How fresh vegetation is: 0 straw and bare twigs, 1 early summer."""
    autumn: float
    """How far leaves have turned, in [0, 1]."""
    glint: float
    """Chance that a water pixel mirrors the sun."""


def slope_shade(height: Floats, light: Light, gsd: float, strength: float) -> Floats:
    """Brightness of a height field under the sun, 1 where level."""
    dy, dx = np.gradient(height)
    slope = (dx * math.cos(light.azimuth) + dy * math.sin(light.azimuth)) * np.float32(-strength / gsd)
    # The square root tames steep crowns; both signs keep their order.
    return np.asarray(1 + np.float32(0.42) * slope / np.sqrt(1 + slope * slope), dtype=np.float32)


def sunlit(height: Floats, light: Light, gsd: float) -> Floats:
    """Light that reaches each pixel: 1 in the sun, 0 in shadow, soft at the edge.

    The height that shades a pixel is the maximum over all heights towards the sun, lowered by the
    sun's slope; doubling the distance at each step covers 2^n pixels in n steps.
    """
    drop = math.tan(light.elevation) * gsd
    reach = float(height.max()) / drop
    roof = height.copy()
    distance = 1
    while distance <= min(reach, 160):
        dx, dy = round(distance * math.cos(light.azimuth)), round(distance * math.sin(light.azimuth))
        far = _shifted(roof, dx, dy)
        roof = np.maximum(roof, far - np.float32(drop * distance))
        distance *= 2
    dark = (roof > height + np.float32(0.4 + 0.5 * drop)).astype(np.float32)
    return 1 - np.asarray(ndimage.uniform_filter(dark, 2), dtype=np.float32)


def _shifted(field: Floats, dx: int, dy: int) -> Floats:
    """The field seen dx, dy further on: out[y, x] = field[y + dy, x + dx], 0 beyond the edge."""
    out = np.zeros_like(field)
    h, w = field.shape
    y0, y1, x0, x1 = max(0, -dy), min(h, h - dy), max(0, -dx), min(w, w - dx)
    if y0 < y1 and x0 < x1:
        out[y0:y1, x0:x1] = field[y0 + dy : y1 + dy, x0 + dx : x1 + dx]
    return out
