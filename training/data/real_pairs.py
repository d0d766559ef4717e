"""Training crops of real labelled pairs: aerial building change, and buildings that stay through a flood.

A crop keeps what its pair knows: footprints at both dates, or only that a building came or went.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from reasoncd.errors import InvalidInputError
from training.data.augment import PhotometricConfig, cut, photometric, random_shift, random_view
from training.data.labels import LabelledPair
from training.data.real_tiles import fotbcd_pairs, xbd_pairs


@dataclass(frozen=True, kw_only=True, slots=True)
class RealPairConfig:
    """How crops are drawn."""

    footprints: float = 0.45
    """Share of the crops from pairs with footprints at both dates."""
    change_only: float = 0.3
    """Share of the crops from pairs that know building change only."""
    standing: float = 0.25
    """Share of the crops from pairs in which no building comes or goes."""
    scale: tuple[float, float] = (0.5, 1.3)
    """Output pixels per source pixel, lowest and highest."""
    at_change: float = 0.6
    """Chance that a crop lies over a changed pixel, where its pair has one."""
    swap: float = 0.5
    """Chance that the dates are exchanged, which turns gain into loss."""
    misregistration: float = 2.0
    """Largest offset added between the dates, in pixels."""
    photometric: PhotometricConfig = field(default_factory=PhotometricConfig)
    """The light of each date; real pairs differ on their own already."""

    def __post_init__(self) -> None:
        for name in ("footprints", "change_only", "standing", "at_change", "swap"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InvalidInputError(f"real pair {name} is {value}; give a share from 0 to 1")
        if abs(self.footprints + self.change_only + self.standing - 1) > 1e-6:
            raise InvalidInputError("real pair footprints, change_only and standing must sum to 1")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise InvalidInputError(f"real pair scale is {self.scale}; give two rising numbers above 0")
        if not 0 <= self.misregistration <= 8:
            raise InvalidInputError(
                f"real pair misregistration is {self.misregistration}; give 0 to 8 pixels"
            )


class RealPairSource:
    """An endless source of crops of the training pairs of `fotbcd_512` and `xbd_harvey_1024`.

    Args:
        config: how crops are drawn.
        root: the data folder; found by `data_root` where None.

    Raises:
        NotFoundError: if a set is absent.
        CorruptDataError: if a file is no image, or images and labels disagree.
    """

    def __init__(self, config: RealPairConfig | None = None, *, root: Path | None = None) -> None:
        self.config = config or RealPairConfig()
        aerial = [pair for _, pair in fotbcd_pairs("train", root)]
        kinds = (
            (self.config.footprints, [p for p in aerial if p.building_change is None]),
            (self.config.change_only, [p for p in aerial if p.building_change is not None]),
            (self.config.standing, [pair for _, pair in xbd_pairs("train", root)]),
        )
        self._pairs = [pair for _, pairs in kinds for pair in pairs]
        chances = np.array([share / len(pairs) for share, pairs in kinds for _ in pairs])
        if not chances.sum() > 0:
            raise InvalidInputError("the wanted kinds of real pairs have no files; give another kind a share")
        # A kind without files leaves its share to the others.
        self._chances = chances / chances.sum()
        self._changed = [np.argwhere(_change(pair))[::16] for pair in self._pairs]

    def sample(self, rng: np.random.Generator, *, size: int = 256) -> LabelledPair:
        """Draw one crop.

        Args:
            rng: source of randomness; its state decides the crop.
            size: height and width in pixels, 32 or more.

        Returns:
            A pair of `size` x `size` pixels with the origin and the knowledge of the pair cut from.
        """
        if size < 32:
            raise InvalidInputError(f"crop size is {size}; give 32 pixels or more")
        config = self.config
        number = int(rng.choice(len(self._pairs), p=self._chances))
        pair, changed = self._pairs[number], self._changed[number]
        near = None
        if len(changed) and rng.random() < config.at_change:
            row, column = changed[int(rng.integers(len(changed)))] + rng.uniform(-0.3, 0.3, 2) * size
            near = (float(row), float(column))
        view = random_view(
            rng,
            source_hw=(pair.land_t1.shape[0], pair.land_t1.shape[1]),
            out_hw=(size, size),
            scale=config.scale,
            near=near,
            margin=1 + config.misregistration / config.scale[0],
        )
        shift, still = random_shift(rng, config.misregistration), (0.0, 0.0)
        shifts = (shift, still) if rng.random() < 0.5 else (still, shift)
        hw = (size, size)
        first = cut(pair.image_t1, view, hw, shift=shifts[0])
        images = (first, cut(pair.image_t2, view, hw, shift=shifts[1]))
        lands = (cut(pair.land_t1, view, hw), cut(pair.land_t2, view, hw))
        if rng.random() < config.swap:
            images, lands = images[::-1], lands[::-1]
        return LabelledPair(
            image_t1=photometric(images[0], rng, config.photometric),
            image_t2=photometric(images[1], rng, config.photometric),
            land_t1=lands[0],
            land_t2=lands[1],
            origin=pair.origin,
            building_change=None if pair.building_change is None else cut(pair.building_change, view, hw),
        )


def _change(pair: LabelledPair) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """(H, W): where a pair knows of a building that came or went."""
    if pair.building_change is not None:
        return np.asarray(pair.building_change == 1)
    return np.asarray(pair.land_t1 != pair.land_t2)
