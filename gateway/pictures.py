"""One picture that tells a person what was asked, what was answered and where it changed.

Three panels side by side (T1, T2, and T2 with the change tinted and outlined) under a header with the
question and the answer. Drawn with Pillow's own font, so it looks alike everywhere.
"""

import textwrap
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

PANEL_MIN, PANEL_MAX = 512, 896
"""Longest side of one panel in pixels: smaller images are enlarged by a whole factor, larger ones reduced."""

_PAPER, _INK, _SOFT, _FAINT = (255, 255, 255), (24, 28, 34), (62, 70, 82), (104, 112, 124)
_ACCENT = (255, 0, 150)
"""Magenta: no roof, field or water has it."""
_TINT = 0.30
_MAX_LINES = 3

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def overlay(
    images: NDArray[np.uint8], change_map: NDArray[np.bool_], *, query: str, answer: str
) -> Image.Image:
    """Draw the picture.

    Args:
        images: (2, H, W, 3), RGB 0-255, the earlier one first.
        change_map: (H, W).
        query: what was asked.
        answer: what was answered.

    Returns:
        An RGB picture, about 1,600 to 2,800 pixels wide for images that are about square.
    """
    height, width = change_map.shape
    size = _panel_size(width, height)
    panels = [_scaled(images[0], size), _scaled(images[1], size)]
    panels.append(_marked(panels[1], _scaled_map(change_map, size)))
    captions = [
        "T1, earlier",
        "T2, later",
        "T2, change outlined" if change_map.any() else "T2, nothing marked",
    ]
    return _compose(panels, captions, query, answer)


def _panel_size(width: int, height: int) -> tuple[int, int]:
    longest = max(width, height)
    if longest <= PANEL_MIN:
        scale: float = max(1, PANEL_MIN // longest)
    else:
        scale = min(1.0, PANEL_MAX / longest)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _scaled(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    picture = Image.fromarray(pixels)
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def _scaled_map(change_map: NDArray[np.bool_], size: tuple[int, int]) -> Image.Image:
    mask = Image.fromarray(change_map.astype(np.uint8) * 255)
    if size[0] >= mask.width:
        return mask.resize(size, Image.Resampling.NEAREST)
    # Reduced, a panel pixel is marked where any of its pixels changed: small changes must not vanish.
    return mask.resize(size, Image.Resampling.BOX).point(lambda value: 255 if value else 0)


def _marked(panel: Image.Image, mask: Image.Image) -> Image.Image:
    """Tint the mask and outline it, with a dark rim that keeps the line visible on bright ground."""
    thick = 3 if max(panel.size) <= 600 else 5
    tinted = Image.composite(Image.blend(panel, Image.new("RGB", panel.size, _ACCENT), _TINT), panel, mask)
    grown = mask.filter(ImageFilter.MaxFilter(thick))
    line = ImageChops.subtract(grown, _shrunk(mask, thick))
    rim = ImageChops.subtract(mask.filter(ImageFilter.MaxFilter(thick + 2)), grown)
    tinted.paste(Image.blend(panel, Image.new("RGB", panel.size, (0, 0, 0)), 0.75), mask=rim)
    tinted.paste(_ACCENT, mask=line)
    return tinted


def _shrunk(mask: Image.Image, size: int) -> Image.Image:
    """The mask less its border; the picture's own edge counts as outside, so regions are closed there too."""
    framed = Image.new("L", (mask.width + 2 * size, mask.height + 2 * size))
    framed.paste(mask, (size, size))
    eroded = framed.filter(ImageFilter.MinFilter(size))
    return eroded.crop((size, size, size + mask.width, size + mask.height))


def _compose(panels: list[Image.Image], captions: list[str], query: str, answer: str) -> Image.Image:
    panel_width, panel_height = panels[0].size
    margin, gap = 28, 20
    # Narrow images leave the header too little room: panels are then centred in wider columns.
    column = max(panel_width, 320)
    width = 2 * margin + 3 * column + 2 * gap
    unit = width / 1600
    small, large, medium = (_font(round(size * unit)) for size in (19, 30, 24))
    text_width = width - 2 * margin

    header = Image.new("RGB", (width, 2000), _PAPER)
    draw = ImageDraw.Draw(header)
    y = float(margin)
    for text, font, colour in ((query, large, _INK), (answer, medium, _SOFT)):
        for line in _wrapped(text, font, text_width):
            draw.text((margin, y), line, font=font, fill=colour)
            y += 1.35 * _line_height(font)
        y += 0.25 * _line_height(font)
    top = round(y + 10 * unit)
    caption_height = round(1.5 * _line_height(small))

    canvas = Image.new("RGB", (width, top + caption_height + panel_height + margin), _PAPER)
    canvas.paste(header.crop((0, 0, width, top)), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for index, (panel, caption) in enumerate(zip(panels, captions, strict=True)):
        left = margin + index * (column + gap) + (column - panel_width) // 2
        draw.text((left, top), caption, font=small, fill=_FAINT)
        canvas.paste(panel, (left, top + caption_height))
    return canvas


@lru_cache(maxsize=16)
def _font(size: int) -> _Font:
    return ImageFont.load_default(size)


def _line_height(font: _Font) -> float:
    return font.getbbox("Ag")[3]


def _wrapped(text: str, font: _Font, width: int) -> list[str]:
    """Break a text into at most three lines of `width` pixels; what does not fit ends in three dots."""
    average = max(1.0, font.getlength(text) / max(1, len(text)))
    # Counting characters is enough to fill lines; a line of wide letters is broken more tightly.
    for characters in range(max(8, int(1.15 * width / average)), 7, -4):
        lines = textwrap.wrap(text, characters, max_lines=_MAX_LINES, placeholder=" ...")
        if all(font.getlength(line) <= width for line in lines):
            return lines
    return textwrap.wrap(text, 8, max_lines=_MAX_LINES, placeholder=" ...")
