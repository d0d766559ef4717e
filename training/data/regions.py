"""Where a change lies: irregular blobs, polygons and regions shaped by a label map, with soft edges.

Masks are boolean (H, W). This module knows shapes only, neither images nor what is pasted.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

Mask = NDArray[np.bool_]


def _draw(points: NDArray[np.float64], hw: tuple[int, int]) -> Mask:
    """Fill the polygon with corners (column, row)."""
    canvas = Image.new("L", (hw[1], hw[0]))
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in points], fill=1)
    return np.asarray(canvas) > 0


def blob(rng: np.random.Generator, hw: tuple[int, int], center: tuple[float, float], radius: float) -> Mask:
    """An irregular smooth region.

    Args:
        rng: source of randomness.
        hw: height and width of the mask.
        center: (row, column) of the region.
        radius: mean radius in pixels.
    """
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    reach = np.ones_like(angles)
    for wave in range(1, 6):
        reach += rng.uniform(0, 0.45 / wave) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    reach = radius * np.maximum(reach, 0.15)
    stretch = np.exp(rng.uniform(-0.4, 0.4))
    points = np.stack(
        [center[1] + stretch * reach * np.cos(angles), center[0] + reach / stretch * np.sin(angles)], axis=1
    )
    return _draw(points, hw)


def polygon(
    rng: np.random.Generator, hw: tuple[int, int], center: tuple[float, float], radius: float
) -> Mask:
    """A turned rectangle or a polygon of 3 to 8 straight sides; arguments as in `blob`."""
    turn = rng.uniform(0, np.pi)
    if rng.random() < 0.5:
        flatness = rng.uniform(0.3, 1.0)
        corners = np.array([(1, flatness), (-1, flatness), (-1, -flatness), (1, -flatness)]) * radius
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
        reach = rng.uniform(0.6, 1.2, (len(angles), 1)) * radius
        corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * reach
    cos, sin = np.cos(turn), np.sin(turn)
    points = corners @ np.array([[cos, sin], [-sin, cos]]) + np.array([center[1], center[0]])
    return _draw(points, hw)


def label_region(
    rng: np.random.Generator, members: Mask, *, largest: float, smallest: int = 60, most: int = 1
) -> Mask | None:
    """One or several connected regions of a class.

    Args:
        rng: source of randomness.
        members: pixels of the class.
        largest: pixels that the region may have; a larger one is cut down to a piece.
        smallest: pixels below which a connected region is no candidate.
        most: how many neighbouring regions may be taken together.

    Returns:
        The region's mask, or None if there is no candidate.
    """
    parts, count = ndimage.label(members)
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    areas[0] = 0
    candidates = np.flatnonzero(areas >= smallest)
    if candidates.size == 0:
        return None
    # By the square root of the area: neither only the largest region nor only crumbs.
    chances = np.sqrt(areas[candidates])
    first = int(rng.choice(candidates, p=chances / chances.sum()))
    chosen = [first]
    if most > 1 and candidates.size > 1:
        boxes = ndimage.find_objects(parts)
        middles = np.array([[(s.start + s.stop) / 2 for s in boxes[c - 1]] for c in candidates])
        here = np.array([(s.start + s.stop) / 2 for s in boxes[first - 1]])
        nearest = candidates[np.argsort(((middles - here) ** 2).sum(axis=1), kind="stable")]
        budget = largest
        chosen = []
        for part in nearest[: int(rng.integers(1, most + 1))]:
            if chosen and areas[part] > budget:
                break
            chosen.append(int(part))
            budget -= float(areas[part])
    region = np.isin(parts, chosen)
    if region.sum() > largest:
        rows, columns = np.nonzero(region)
        pick = int(rng.integers(rows.size))
        piece = blob if rng.random() < 0.6 else polygon
        radius = np.sqrt(largest / np.pi) * rng.uniform(0.6, 1.2)
        center = (float(rows[pick]), float(columns[pick]))
        region &= piece(rng, (region.shape[0], region.shape[1]), center, radius)
    return region if region.sum() >= smallest else None


def bounds(mask: Mask) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of a mask that is not empty, the last two exclusive."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def grow(mask: Mask, pixels: int) -> Mask:
    """The mask and all within `pixels` of it (square neighbourhood)."""
    if pixels <= 0:
        return mask
    picture = Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(2 * pixels + 1))
    return np.asarray(picture) > 0


def feather(mask: Mask, width: float) -> NDArray[np.float32]:
    """Opacity 0 to 1 (H, W) that falls from 1 to 0 over about `width` pixels, 0.5 at the mask's edge."""
    if width <= 0:
        return mask.astype(np.float32)
    soft = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(width / 2))
    return np.asarray(np.asarray(soft, dtype=np.float32) / np.float32(255), dtype=np.float32)
