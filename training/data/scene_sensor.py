"""From light to a delivered image: exposure, haze, optics, noise, resampling, JPEG.

The later image is moved against the earlier one by up to two pixels, as imperfect registration
does; labels stay on the earlier grid.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from training.data.scene_light import Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """What both dates of a pair have in common: the provider's way of making pictures."""

    exposure: float
    contrast: float
    haze: float
    blur: float
    sharpen: float
    noise: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Style":
        """Draw a style: mostly plain orthophotos, at times overexposed, dark or oversharpened."""
        return cls(
            exposure=float(np.exp(np.clip(rng.normal(0.06, 0.2), -0.4, 0.45))),
            contrast=float(np.exp(rng.normal(0.0, 0.14))),
            haze=float(rng.uniform(0.0, 0.14)),
            blur=float(rng.uniform(0.25, 0.8) if rng.random() < 0.8 else rng.uniform(0.8, 1.4)),
            sharpen=float(rng.uniform(50, 140)) if rng.random() < 0.3 else 0.0,
            noise=float(rng.uniform(0.4, 3.2)),
        )


def photograph(light: Floats, style: Style, rng: np.random.Generator) -> Image.Image:
    """Expose one date; each date deviates a little from the pair's style.

    Args:
        light: float32 (S, S, 3), about [0, 1].
        style: the pair's style.
        rng: source of the date's deviation.

    Returns:
        RGB image of the same size.
    """
    gain = style.exposure * math.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.045, 3))
    gamma = style.contrast * math.exp(rng.normal(0, 0.08))
    haze = min(0.35, style.haze + abs(rng.normal(0, 0.04)))
    veil = np.array((0.60, 0.66, 0.72)) * rng.uniform(0.8, 1.15)
    # A table per channel: 1,024 levels are exact enough and cost a tenth of `power` on pixels.
    level = np.linspace(0, 1.5, 1536)[:, None]
    out = np.clip(level * gain, 1e-4, 2.0) ** gamma
    out = np.clip((out * (1 - haze) + veil * haze) * 255, 0, 255).astype(np.uint8)
    index = np.clip(light * np.float32(1024), 0, 1535).astype(np.int16)
    image = np.empty(light.shape, dtype=np.uint8)
    for c in range(3):
        image[..., c] = out[:, c][index[..., c]]
    return Image.fromarray(image)


def misregister(image: Image.Image, margin: int, rng: np.random.Generator) -> Image.Image:
    """Move, turn and warp an image by up to two pixels in all."""
    side = image.width
    shift = rng.uniform(-1.1, 1.1, 2)
    turn = rng.normal(0, 0.35) / (side / 2)
    cells = 3
    knots = np.linspace(0, side, cells + 1)
    gx, gy = np.meshgrid(knots, knots)
    move = rng.normal(0, 0.3, (2, cells + 1, cells + 1))
    off_x = shift[0] - turn * (gy - side / 2) + move[0]
    off_y = shift[1] + turn * (gx - side / 2) + move[1]
    # Half a pixel to spare: `margin` pixels are cropped afterwards, so no edge shows.
    bound = min(2.0, margin - 1.0) / math.sqrt(2)
    px, py = gx + np.clip(off_x, -bound, bound), gy + np.clip(off_y, -bound, bound)
    edges = [round(k) for k in knots]
    mesh = [
        (
            (edges[i], edges[j], edges[i + 1], edges[j + 1]),
            tuple(
                float(v)
                for a, b in ((j, i), (j + 1, i), (j + 1, i + 1), (j, i + 1))
                for v in (px[a, b], py[a, b])
            ),
        )
        for j in range(cells)
        for i in range(cells)
    ]
    return image.transform(image.size, Image.Transform.MESH, mesh, Image.Resampling.BICUBIC)


def deliver(image: Image.Image, margin: int, style: Style, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Optics, noise and compression; the margin is cut off.

    Returns:
        uint8 (H, W, 3), H = W = the image's side less twice the margin.
    """
    blur = style.blur * rng.uniform(0.7, 1.3)
    image = image.filter(ImageFilter.GaussianBlur(blur))
    side = image.width
    image = image.crop((margin, margin, side - margin, side - margin))
    pixels = np.asarray(image, dtype=np.float32)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(
        style.noise * rng.uniform(0.5, 1.5)
    )
    image = Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
    if style.sharpen:
        image = image.filter(ImageFilter.UnsharpMask(1.2, int(style.sharpen), 0))
    quality = int(rng.integers(45, 98))
    if quality < 93:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        image = Image.open(buffer).convert("RGB")
    return np.asarray(image)
