"""Laying a donor's region into one or both dates of a pair, pixels and labels alike."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.data.regions import Mask, feather

U8 = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Paste:
    """Where something was laid, for whoever studies the seams."""

    region: Mask
    """bool (H, W), where the patch has more than half the opacity."""
    dates: tuple[int, ...]
    """0, 1 or both."""
    width: float
    """Pixels over which the edge is soft."""
    keep_land: bool
    """Whether the land stayed as it was."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Canvas:
    """Both dates while they are composed; the arrays are painted over."""

    images: tuple[U8, U8]
    """uint8 (H, W, 3) of each date."""
    lands: tuple[U8, U8]
    """uint8 (H, W) of each date, `LandCover` codes."""
    footprint: bool
    """Whether the land is known as building or not only."""
    pastes: list[Paste] = field(default_factory=list)
    """What was laid so far, in order."""

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width."""
        return self.lands[0].shape[0], self.lands[0].shape[1]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Patch:
    """A donor's pixels and where they go."""

    image: U8
    """uint8 (h, w, 3)."""
    land: U8
    """uint8 (h, w), `LandCover` codes."""
    region: Mask
    """bool (h, w), the pixels to paste."""
    top: int
    """Row of the canvas under the first row; may be negative."""
    left: int
    """Column of the canvas under the first column; may be negative."""


def overlap(patch: Patch, hw: tuple[int, int]) -> tuple[slice, slice, tuple[slice, slice]]:
    """Rows and columns of the canvas under a patch, and the same window within the patch."""
    height, width = patch.land.shape
    top, left = max(0, patch.top), max(0, patch.left)
    bottom, right = max(top, min(hw[0], patch.top + height)), max(left, min(hw[1], patch.left + width))
    inner = (slice(top - patch.top, bottom - patch.top), slice(left - patch.left, right - patch.left))
    return slice(top, bottom), slice(left, right), inner


def lay(
    canvas: Canvas,
    patch: Patch,
    *,
    dates: tuple[int, ...],
    width: float,
    match: float,
    keep_land: bool = False,
) -> None:
    """Blend a patch into dates of a canvas.

    Args:
        canvas: painted over.
        patch: the donor.
        dates: 0, 1 or both.
        width: pixels over which the edge is soft.
        match: how far colours move towards those of the first date, from 0 (not) to 1.
        keep_land: leave the land as it is; else it follows where the patch has more than half the opacity.
    """
    rows, columns, inner = overlap(patch, canvas.hw)
    opacity = feather(patch.region, width)[inner]
    image, land = patch.image[inner].astype(np.float32), patch.land[inner]
    if match > 0:
        image = _matched(image, canvas.images[dates[0]], match)
    stronger = opacity > 0.5
    region = np.zeros(canvas.hw, dtype=np.bool_)
    region[rows, columns] = stronger
    canvas.pastes.append(Paste(region=region, dates=dates, width=width, keep_land=keep_land))
    for date in dates:
        under = canvas.images[date][rows, columns]
        blend = under + opacity[..., None] * (image - under)
        canvas.images[date][rows, columns] = np.clip(np.rint(blend), 0, 255).astype(np.uint8)
        if not keep_land:
            canvas.lands[date][rows, columns][stronger] = land[stronger]


def _matched(image: NDArray[np.float32], reference: U8, strength: float) -> NDArray[np.float32]:
    """The donor moved towards the reference's colours and contrast, by no more than classes differ."""
    sample = reference[::4, ::4].reshape(-1, 3).astype(np.float32)
    own = image[::4, ::4].reshape(-1, 3)
    if own.shape[0] < 16:
        return image
    gain = np.clip((sample.std(axis=0) + 4) / (own.std(axis=0) + 4), 0.75, 1.33)
    center = own.mean(axis=0)
    offset = np.clip(sample.mean(axis=0) - center, -25, 25)
    moved = (image - center) * (1 + strength * (gain - 1)) + center + strength * offset
    return np.asarray(moved, dtype=np.float32)
