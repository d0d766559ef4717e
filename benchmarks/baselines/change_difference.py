"""The oldest baseline: how much the colours differ, cut where Otsu's rule cuts. Nothing is learnt."""

import numpy as np
from numpy.typing import NDArray

_LEVELS = 256


def difference(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far each pixel moved in colour, once both dates have the same light.

    Args:
        images: (2, H, W, 3), RGB 0-255.

    Returns:
        float32 (H, W), 0 and above: the length of the change vector in standard deviations of a channel.
    """
    pixels = images.astype(np.float32)
    spread = pixels.std(axis=(1, 2), keepdims=True)
    normal = (pixels - pixels.mean(axis=(1, 2), keepdims=True)) / np.maximum(spread, 1e-6)
    return np.asarray(np.sqrt(np.square(normal[1] - normal[0]).sum(axis=-1)), dtype=np.float32)


def otsu_threshold(values: NDArray[np.float32]) -> float:
    """The cut that leaves the least variance within its two sides (Otsu 1979), at 256 levels.

    Args:
        values: of any shape.

    Returns:
        The lower edge of the first level that counts as changed; infinite where all values are equal.
    """
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return float("inf")
    counts, edges = np.histogram(values, bins=_LEVELS, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(float)
    above = values.size - below
    moment = np.cumsum(counts * centres)
    mean_below = moment[:-1] / np.maximum(below, 1)
    mean_above = (moment[-1] - moment[:-1]) / np.maximum(above, 1)
    between = below * above * (mean_below - mean_above) ** 2
    return float(edges[int(between.argmax()) + 1])


def difference_map(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels whose difference is at or above the pair's own threshold: bool (H, W)."""
    found = difference(images)
    return np.asarray(found >= otsu_threshold(found))
