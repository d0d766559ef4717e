"""The colours and textures of one scene: a region has its own soil, roofs, grass and water.

Sampled once a scene, so that one place looks of a piece; every call of a method then varies a
little around it. Classes are told apart by shape and context as much as by colour, as in real
imagery: dry grass comes close to soil, grey roofs to asphalt, green water to meadows.
"""

import math
from random import Random

from training.data.labels import LandCover
from training.data.scene_colours import (
    CARS,
    CONCRETE,
    COURTS,
    FLATS,
    GRASSES,
    LEAVES,
    SANDS,
    SHEETS,
    SOILS,
    TILES,
    TOYS,
    WATERS,
)
from training.data.scene_model import Colour, Surface


def _mix(a: Colour, b: Colour, t: float) -> Colour:
    return (a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2]))


class Palette:
    """Materials of one region.

    Args:
        rng: source of every draw, also of those of later calls.
        arid: in [0, 1]; dry regions have sandy ground, dull grass and light roofs.
    """

    def __init__(self, rng: Random, *, arid: float) -> None:
        self.rng = rng
        self.arid = arid
        self.soil_colour = self._near(rng.choice(SANDS if rng.random() < arid else SOILS), 0.05)
        self.sand_colour = self._near(rng.choice(SANDS), 0.05)
        grass = _mix(rng.choice(GRASSES), (0.52, 0.50, 0.36), 0.5 * arid * rng.random())
        self.grass_colour = self._near(grass, 0.05)
        self.leaf_colour = self._near(rng.choice(LEAVES), 0.04)
        self.water_colour = self._near(rng.choice(WATERS), 0.03)
        grey = rng.uniform(0.30, 0.66)
        self.asphalt_colour: Colour = (grey, grey * rng.uniform(0.96, 1.0), grey * rng.uniform(0.92, 1.03))
        self.dirt_colour = _mix(self.soil_colour, (0.82, 0.77, 0.68), rng.random())
        self.tiles = [self._near(rng.choice(TILES), 0.03) for _ in range(rng.choice((1, 2, 4)))]
        self.flats = [self._near(rng.choice(FLATS), 0.03) for _ in range(rng.choice((2, 3, 4)))]

    def _near(self, colour: Colour, spread: float) -> Colour:
        """A colour close to another: mostly lighter or darker, a little off in hue."""
        rng = self.rng
        light = 1.0 + rng.gauss(0.0, 1.6 * spread)
        r, g, b = (min(0.98, max(0.01, c * light + rng.gauss(0.0, 0.3 * spread))) for c in colour)
        return r, g, b

    def rows(self, *, low: float, high: float, gsd: float, strength: float) -> tuple[float, float, float]:
        """Stripes with a period drawn between two lengths in metres; none where too fine to see."""
        period = self.rng.uniform(low, high) / gsd
        return (strength if period > 2.2 else 0.0, max(period, 2.2), self.rng.uniform(0, math.pi))

    def grass(self) -> Surface:
        """Lawn or meadow."""
        rng = self.rng
        return Surface(
            land=LandCover.LOW_VEGETATION,
            colour=self._near(self.grass_colour, 0.04),
            grain=rng.uniform(0.03, 0.08),
            mottle=rng.uniform(0.03, 0.09),
            drift=rng.uniform(0.03, 0.10),
            hue=rng.uniform(0.03, 0.25),
            season=0.6,
        )

    def scrub(self) -> Surface:
        """Rough growth: weeds and dry bushes."""
        return Surface(
            land=LandCover.LOW_VEGETATION,
            colour=self._near(_mix(self.grass_colour, self.leaf_colour, self.rng.uniform(0.1, 0.6)), 0.05),
            grain=0.12,
            mottle=0.16,
            drift=0.10,
            hue=0.22,
            season=0.5,
        )

    def crop(self, gsd: float) -> Surface:
        """A field under crop, in rows."""
        rng = self.rng
        colour = _mix(
            self.grass_colour, rng.choice(((0.24, 0.38, 0.18), (0.46, 0.50, 0.24), (0.30, 0.48, 0.22))), 0.6
        )
        return Surface(
            land=LandCover.LOW_VEGETATION,
            colour=self._near(colour, 0.06),
            grain=rng.uniform(0.03, 0.09),
            mottle=0.03,
            drift=rng.uniform(0.02, 0.08),
            hue=rng.uniform(0.0, 0.2),
            season=0.4,
            stripes=self.rows(low=0.7, high=6.0, gsd=gsd, strength=rng.uniform(0.02, 0.14)),
        )

    def soil(self) -> Surface:
        """Bare earth or a sandy lot."""
        rng = self.rng
        return Surface(
            land=LandCover.BARE_GROUND,
            colour=self._near(self.soil_colour, 0.05),
            grain=rng.uniform(0.02, 0.05),
            mottle=rng.uniform(0.02, 0.06),
            drift=rng.uniform(0.04, 0.13),
        )

    def sand(self) -> Surface:
        """Beach or desert sand."""
        rng = self.rng
        return Surface(
            land=LandCover.BARE_GROUND,
            colour=self._near(self.sand_colour, 0.03),
            grain=0.02,
            mottle=rng.uniform(0.01, 0.035),
            drift=rng.uniform(0.03, 0.09),
        )

    def furrows(self, gsd: float) -> Surface:
        """A ploughed or harrowed field."""
        rng = self.rng
        return Surface(
            land=LandCover.BARE_GROUND,
            colour=self._near(_mix(self.soil_colour, (0.42, 0.33, 0.25), rng.uniform(0.0, 0.7)), 0.05),
            grain=0.05,
            mottle=0.04,
            drift=rng.uniform(0.03, 0.10),
            stripes=self.rows(low=0.8, high=5.0, gsd=gsd, strength=rng.uniform(0.02, 0.10)),
        )

    def asphalt(self) -> Surface:
        """Sealed road."""
        return Surface(
            land=LandCover.ROAD,
            colour=self._near(self.asphalt_colour, 0.03),
            grain=0.025,
            mottle=0.025,
            drift=0.04,
        )

    def track(self) -> Surface:
        """Unsealed road."""
        return Surface(
            land=LandCover.ROAD,
            colour=self._near(self.dirt_colour, 0.04),
            grain=0.05,
            mottle=0.06,
            drift=0.04,
        )

    def concrete(self) -> Surface:
        """Pavement, yards, kerbs."""
        colour = _mix(self.asphalt_colour, CONCRETE, self.rng.uniform(0.3, 1.0))
        return Surface(
            land=LandCover.ROAD, colour=self._near(colour, 0.04), grain=0.025, mottle=0.03, drift=0.03
        )

    def paint(self, land: LandCover) -> Surface:
        """White lines on roads and courts."""
        return Surface(land=land, colour=self._near((0.86, 0.86, 0.84), 0.04), grain=0.02)

    def water(self, *, pool: bool = False) -> Surface:
        """Open water; its shore, waves and glint are added when it is drawn."""
        colour: Colour = (0.30, 0.66, 0.74) if pool else self.water_colour
        return Surface(
            land=LandCover.WATER, colour=self._near(colour, 0.03), grain=0.02, mottle=0.02, drift=0.03
        )

    def tile(self, gsd: float, angle: float) -> Surface:
        """Pitched roof."""
        return Surface(
            land=LandCover.BUILDING,
            colour=self._near(self.rng.choice(self.tiles), 0.04),
            grain=0.03,
            mottle=0.035,
            stripes=(0.05 if gsd < 0.4 else 0.0, max(2.2, 0.9 / gsd), angle),
        )

    def flat(self) -> Surface:
        """Flat roof: gravel, membrane or concrete."""
        colour = self._near(self.rng.choice(self.flats), 0.05)
        return Surface(land=LandCover.BUILDING, colour=colour, grain=0.02, mottle=0.03, drift=0.02)

    def sheet(self, gsd: float, angle: float) -> Surface:
        """Metal roof of a hall."""
        return Surface(
            land=LandCover.BUILDING,
            colour=self._near(self.rng.choice(SHEETS), 0.03),
            grain=0.012,
            mottle=0.015,
            stripes=(0.035, max(2.4, self.rng.uniform(1.0, 3.0) / gsd), angle),
        )

    def shade(self, surface: Surface, factor: float) -> Surface:
        """The same material, lighter or darker."""
        r, g, b = (min(0.98, c * factor) for c in surface.colour)
        return Surface(land=surface.land, colour=(r, g, b), grain=surface.grain, mottle=surface.mottle)

    def court(self) -> Surface:
        """Coloured sports ground."""
        return Surface(
            land=LandCover.PLAYGROUND, colour=self._near(self.rng.choice(COURTS), 0.04), grain=0.02
        )

    def turf(self, gsd: float) -> Surface:
        """A pitch with mowing stripes."""
        return Surface(
            land=LandCover.PLAYGROUND,
            colour=self._near(_mix(self.grass_colour, (0.26, 0.46, 0.22), 0.6), 0.04),
            grain=0.04,
            mottle=0.03,
            drift=0.04,
            season=0.2,
            stripes=self.rows(low=8.0, high=12.0, gsd=gsd, strength=self.rng.uniform(0.0, 0.08)),
        )

    def rubber(self) -> Surface:
        """Soft ground under swings and slides."""
        colour = self.rng.choice((*COURTS, (0.84, 0.74, 0.56), (0.62, 0.46, 0.34)))
        return Surface(land=LandCover.PLAYGROUND, colour=self._near(colour, 0.05), grain=0.04, mottle=0.04)

    def toy(self) -> Surface:
        """Bright equipment on a playground."""
        return Surface(land=LandCover.PLAYGROUND, colour=self._near(self.rng.choice(TOYS), 0.08))

    def car(self) -> Surface:
        """A car; it stands on a road and is labelled as one."""
        return Surface(land=LandCover.ROAD, colour=self._near(self.rng.choice(CARS), 0.05), grain=0.03)
