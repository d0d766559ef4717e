"""One normalisation for a whole scene: any number type to 8 bit, the same in every tile.

8-bit data pass untouched. Else each band of each date is stretched from its 2nd to its 98th percentile, as
QGIS shows it by default: the model is given what a person sees. Each date has limits of its own, since sun,
haze and sensor differ between dates more than land does; limits for both together would show one of them too
dark.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (2.0, 98.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """What becomes 0 and what becomes 255, by band."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def apply(self, bands: NDArray[Any]) -> NDArray[np.uint8]:
        """(3, H, W) of any number type -> uint8 of the same shape."""
        low = np.array(self.low, dtype=np.float32)[:, None, None]
        high = np.array(self.high, dtype=np.float32)[:, None, None]
        scaled = (bands.astype(np.float32) - low) * (np.float32(255) / (high - low))
        # What is not finite is no valid pixel, and is overwritten later.
        stretched: NDArray[np.uint8] = np.rint(np.clip(np.nan_to_num(scaled), 0, 255)).astype(np.uint8)
        return stretched


def find_stretch(sample: NDArray[Any], valid: NDArray[np.bool_]) -> Stretch | None:
    """The stretch of one date.

    Args:
        sample: (3, H, W), a thinned reading of the whole scene.
        valid: (H, W), where it has data.

    Returns:
        None for 8-bit data, which need none.
    """
    if sample.dtype == np.uint8:
        return None
    values = sample[:, valid].astype(np.float64)
    if not values.size:
        return Stretch(low=(0.0,) * 3, high=(1.0,) * 3)
    low, high = np.percentile(values, PERCENTILES, axis=1)
    # A band of one value has no contrast to stretch.
    high = np.where(high > low, high, low + 1)
    r0, g0, b0 = (float(value) for value in low)
    r1, g1, b1 = (float(value) for value in high)
    return Stretch(low=(r0, g0, b0), high=(r1, g1, b1))
