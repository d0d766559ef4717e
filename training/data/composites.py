"""Pairs with known land cover at both dates, composed of single-date labelled images.

Both dates start as one crop in two lights. Regions of other crops are then pasted into
either date at random, which gives gain and loss the same seams, and into both dates or over ground of the
same class, which gives seams without change. Labels follow the pasted pixels. Every pair is a function of
the generator's state alone.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reasoncd.errors import InvalidInputError
from training.data.augment import cut, photometric, random_shift, random_view
from training.data.composite_config import CompositeConfig
from training.data.labels import LabelledPair, LandCover
from training.data.pasting import Canvas, Paste, Patch, overlap
from training.data.pasting import lay as lay_patch
from training.data.real_tiles import LabelledImage
from training.data.regions import blob, bounds, grow, label_region, polygon
from training.data.tile_index import TileIndex

U8 = NDArray[np.uint8]

MAIN_COVERS: tuple[LandCover, ...] = (
    LandCover.BUILDING,
    LandCover.BARE_GROUND,
    LandCover.ROAD,
    LandCover.VEGETATION,
    LandCover.WATER,
)
"""The classes that composites gain and lose, equally often."""

_SELDOM: dict[LandCover, tuple[LandCover, ...]] = {
    LandCover.BUILDING: (LandCover.WATER, LandCover.ROAD),
    LandCover.ROAD: (LandCover.WATER, LandCover.BUILDING),
    LandCover.WATER: (LandCover.BUILDING, LandCover.ROAD),
}
"""Ground that a class seldom replaces."""

_MARGIN = 6
"""Donor pixels around a region, for feathering outwards."""


class CompositeSource:
    """An endless source of composite pairs.

    Args:
        tiles: labelled images; those with `NOT_BUILDING` pixels count as footprint tiles and give or receive
            buildings only. No pair mixes tiles beyond this sequence, so splits stay apart if it is one split.
        config: how pairs are drawn.

    Raises:
        InvalidInputError: if no tile shows two of the main classes.
    """

    def __init__(self, tiles: Sequence[LabelledImage], config: CompositeConfig | None = None) -> None:
        self.config = config or CompositeConfig()
        footprint: list[LabelledImage] = []
        ground: list[LabelledImage] = []
        for tile in tiles:
            (footprint if (tile.land == LandCover.NOT_BUILDING).any() else ground).append(tile)
        self._ground = TileIndex(ground, MAIN_COVERS)
        self._footprints = TileIndex(footprint, (LandCover.BUILDING, LandCover.NOT_BUILDING))
        if len(self._ground.covers) < 2:
            raise InvalidInputError(
                "the tiles show fewer than two main classes; give tiles of full land cover"
            )

    def sample(self, rng: np.random.Generator, *, size: int = 256) -> LabelledPair:
        """Draw one pair.

        Args:
            rng: source of randomness; its state decides the pair.
            size: height and width in pixels, 32 or more.

        Returns:
            A pair of origin `composite`, with `size` x `size` pixels and land cover known at both dates.
        """
        return self.compose(rng, size=size)[0]

    def compose(self, rng: np.random.Generator, *, size: int = 256) -> tuple[LabelledPair, tuple[Paste, ...]]:
        """As `sample`, and what was pasted where, in order."""
        if size < 32:
            raise InvalidInputError(f"composite size is {size}; give 32 pixels or more")
        canvas = self._base(rng, size)
        if rng.random() < self.config.unchanged:
            for _ in range(int(rng.integers(0, 4))):
                self._paste_without_change(canvas, rng)
        else:
            self._paste_changes(canvas, rng)
            if rng.random() < self.config.bystander:
                self._paste_without_change(canvas, rng)
        light = self.config.photometric
        pair = LabelledPair(
            image_t1=photometric(canvas.images[0], rng, light),
            image_t2=photometric(canvas.images[1], rng, light),
            land_t1=canvas.lands[0],
            land_t2=canvas.lands[1],
            origin="composite",
        )
        return pair, tuple(canvas.pastes)

    def _base(self, rng: np.random.Generator, size: int) -> Canvas:
        """One crop at both dates, one of them slightly off its place; labels keep the place."""
        config = self.config
        footprint = bool(self._footprints.covers) and rng.random() < config.footprint_base
        index = self._footprints if footprint else self._ground
        tile, near = index.draw(rng, index.covers[int(rng.integers(len(index.covers)))])
        # The class that was drawn need not be in the middle.
        near = (near[0] + rng.uniform(-0.3, 0.3) * size, near[1] + rng.uniform(-0.3, 0.3) * size)
        view = random_view(
            rng,
            source_hw=(tile.land.shape[0], tile.land.shape[1]),
            out_hw=(size, size),
            scale=config.footprint_scale if footprint else config.scale,
            max_tilt=config.max_tilt,
            near=near,
            margin=2 + config.misregistration / config.scale[0],
        )
        shift, still = random_shift(rng, config.misregistration), (0.0, 0.0)
        shifts = (shift, still) if rng.random() < 0.5 else (still, shift)
        land = cut(tile.land, view, (size, size))
        return Canvas(
            images=(
                cut(tile.image, view, (size, size), shift=shifts[0]).copy(),
                cut(tile.image, view, (size, size), shift=shifts[1]).copy(),
            ),
            lands=(land.copy(), land.copy()),
            footprint=footprint,
        )

    def _paste_changes(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Paste regions for distinct (class, direction) events, drawn alike."""
        covers = (LandCover.BUILDING,) if canvas.footprint else self._ground.covers
        events = [(cover, gain) for cover in covers for gain in (True, False)]
        count = 1 + int(rng.choice(len(self.config.paste_counts), p=self.config.paste_counts))
        for number in rng.permutation(len(events))[:count]:
            cover, gain = events[int(number)]
            for _ in range(3):  # a region may find no place where it changes anything
                removal = rng.random() < self.config.removal * self.config.label_shaped
                # A class is gained by laying it into the later date or by covering it in the earlier one.
                date = int(gain != removal)
                draw = self._covering if removal else self._adding
                patch = draw(canvas, rng, cover, date)
                if patch is not None:
                    self._lay(canvas, patch, rng, dates=(date,))
                    break

    def _donor(
        self,
        rng: np.random.Generator,
        canvas: Canvas,
        cover: LandCover,
        hw: tuple[int, int],
        *,
        core: bool = False,
    ) -> tuple[U8, U8] | None:
        """A crop of a tile with `cover` in its middle; (image, land), or None if no tile has such a place."""
        building = cover == LandCover.BUILDING and self._footprints.has(cover)
        footprint = cover == LandCover.NOT_BUILDING or (building and (canvas.footprint or rng.random() < 0.4))
        index = self._footprints if footprint else self._ground
        if not index.has(cover):
            return None
        tile, near = index.draw(rng, cover, core=core)
        scale = self.config.footprint_scale if footprint else self.config.scale
        view = random_view(
            rng,
            source_hw=(tile.land.shape[0], tile.land.shape[1]),
            out_hw=hw,
            scale=scale,
            max_tilt=self.config.max_tilt,
            near=near,
        )
        return cut(tile.image, view, hw), cut(tile.land, view, hw)

    def _adding(self, canvas: Canvas, rng: np.random.Generator, cover: LandCover, date: int) -> Patch | None:
        """A region of a donor that shows `cover`, at a place where the date shows something else."""
        height, width = canvas.hw
        donor = self._donor(rng, canvas, cover, (height, width))
        if donor is None:
            return None
        image, land = donor
        largest = self.config.largest * height * width
        members = land == cover
        seldom = _SELDOM.get(cover, ()) if rng.random() < self.config.plausible else ()
        if canvas.footprint or rng.random() < self.config.label_shaped:
            region = label_region(rng, members, largest=largest, most=5 if cover == LandCover.BUILDING else 1)
            if region is not None:
                # A region that the donor's border cuts straight gets an irregular end instead.
                region = grow(region, int(rng.integers(0, 3)))
                region = region & blob(rng, canvas.hw, (height / 2, width / 2), min(height, width) * 0.45)
        else:
            center = (height / 2 + rng.uniform(-30, 30), width / 2 + rng.uniform(-30, 30))
            shape = blob if rng.random() < 0.6 else polygon
            region = shape(rng, canvas.hw, center, np.sqrt(largest / np.pi) * rng.uniform(0.25, 0.9))
        if region is None or np.count_nonzero(region & members) < 60:
            return None
        # A footprint tile does not know what its ground is: only its buildings go onto full land cover.
        if not canvas.footprint:
            region = region & (land != LandCover.NOT_BUILDING)
        box = bounds(region)
        patch = Patch(image=image, land=land, region=region, top=0, left=0)
        for attempt in range(4):
            if attempt or rng.random() < 0.6:
                top = int(rng.integers(-(box[2] - box[0]) // 4, height - (box[2] - box[0]) * 3 // 4)) - box[0]
                left = int(rng.integers(-(box[3] - box[1]) // 4, width - (box[3] - box[1]) * 3 // 4)) - box[1]
                patch = Patch(image=image, land=land, region=region, top=top, left=left)
            rows, columns, inner = overlap(patch, canvas.hw)
            under = canvas.lands[date][rows, columns]
            new = region[inner] & members[inner] & ~np.isin(under, (cover, *seldom))
            if np.count_nonzero(new) >= max(40, 0.5 * np.count_nonzero(region & members)):
                return patch
        return None

    def _covering(
        self, canvas: Canvas, rng: np.random.Generator, cover: LandCover, date: int
    ) -> Patch | None:
        """Ground of another class over a region of the date that shows `cover`."""
        others = [c for c in self._ground.covers if c != cover]
        if canvas.footprint:
            others = [LandCover.NOT_BUILDING]
        return self._over_object(canvas, rng, cover, others[int(rng.integers(len(others)))], date)

    def _over_object(
        self, canvas: Canvas, rng: np.random.Generator, cover: LandCover, ground: LandCover, date: int
    ) -> Patch | None:
        """A donor's `ground` cut to the shape of a region of the date that shows `cover`."""
        height, width = canvas.hw
        most = 4 if cover == LandCover.BUILDING else 1
        members = canvas.lands[date] == cover
        region = label_region(rng, members, largest=self.config.largest * height * width, most=most)
        if region is None:
            return None
        # Over the object's fringe as well, which misregistration may have moved.
        region = grow(region, int(rng.integers(2, 5))) if ground != cover else region & members
        top, left, bottom, right = bounds(region)
        top, left = top - _MARGIN, left - _MARGIN
        hw = (bottom + _MARGIN - top, right + _MARGIN - left)
        window = np.zeros(hw, dtype=np.bool_)
        window[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = region[top + _MARGIN : bottom, left + _MARGIN : right]
        for _ in range(3):
            donor = self._donor(rng, canvas, ground, hw, core=True)
            if donor is None:
                return None
            image, land = donor
            covered = window & (land == ground)
            if np.count_nonzero(covered) >= max(60, 0.7 * np.count_nonzero(window)):
                return Patch(image=image, land=land, region=covered, top=top, left=left)
        return None

    def _paste_without_change(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """One region of the same class into one date, or one region of any class into both."""
        covers = (LandCover.BUILDING,) if canvas.footprint else self._ground.covers
        cover = covers[int(rng.integers(len(covers)))]
        if rng.random() < 0.6:
            present = [c for c in covers if (canvas.lands[0] == c).any()]
            if not present:
                return
            cover, date = present[int(rng.integers(len(present)))], int(rng.integers(2))
            patch = self._over_object(canvas, rng, cover, cover, date)
            if patch is not None:
                self._lay(canvas, patch, rng, dates=(date,), keep_land=True)
            return
        patch = self._adding(canvas, rng, cover, int(rng.integers(2)))
        if patch is not None:
            self._lay(canvas, patch, rng, dates=(0, 1))

    def _lay(
        self,
        canvas: Canvas,
        patch: Patch,
        rng: np.random.Generator,
        *,
        dates: tuple[int, ...],
        keep_land: bool = False,
    ) -> None:
        """Lay a patch with an edge and a colour match drawn at random."""
        width = rng.uniform(0, self.config.feather) if rng.random() < 0.85 else 0.0
        match = rng.uniform(0.3, 0.8) if rng.random() < self.config.color_match else 0.0
        lay_patch(canvas, patch, dates=dates, width=width, match=match, keep_land=keep_land)
