"""What a drawn scene is made of: surfaces, shapes, trees, and the ground frame that places them.

A scene is laid out in metres on a straight frame (u to the right, v down, origin in the middle).
The frame turns it, bends it a little and scales it to canvas pixels, so streets curve while
every part is still built as if on a grid. Both dates share one list of parts; a part says at which
dates it stands, and a land cover change is nothing but a part that stands at one date only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
from numpy.typing import NDArray

from training.data.labels import LandCover

Dates = tuple[bool, bool]
"""Whether a part stands at the earlier and at the later date."""

Colour = tuple[float, float, float]
"""Reflected light, red, green, blue, in [0, 1] as displayed under full sun."""

Point = tuple[float, float]
"""u, v in metres on the straight frame."""

BOTH: Dates = (True, True)

GROUND, PATCH, DETAIL, ROAD, WATER, BRIDGE, COURT, BUILDING, CAR = range(9)
"""Drawing order; within one layer the later part covers the earlier."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """A material as the sensor sees it, and the class that it is labelled with."""

    land: LandCover
    colour: Colour
    grain: float = 0.02
    """Standard deviation of brightness from pixel to pixel, as a share of the colour."""
    mottle: float = 0.02
    """The same over some 4 pixels."""
    drift: float = 0.02
    """The same over some 24 pixels."""
    hue: float = 0.0
    """How far the drift also moves the colour towards dry straw."""
    season: float = 0.0
    """How far the colour follows the season: 0 stone, 1 deciduous leaves."""
    stripes: tuple[float, float, float] = (0.0, 1.0, 0.0)
    """Amplitude, period in pixels, and angle of rows, furrows, tiles or mowing stripes."""


@dataclass(slots=True)
class Shape:
    """One flat polygon or, with a width, one line."""

    outline: list[float]
    """x0, y0, x1, y1 ... in canvas pixels."""
    surface: Surface
    layer: int
    dates: Dates = BOTH
    height: float = 0.0
    """Metres above ground; casts the shadow."""
    aspect: float | None = None
    """Direction that a roof face looks to, in radians on the canvas; None for level things."""
    width: float = 0.0
    """Pixels, for lines."""


@dataclass(slots=True)
class Dome:
    """A tree crown, or a heap of soil."""

    x: float
    y: float
    radius: float
    """Pixels, like x and y."""
    height: float
    """Metres."""
    tone: float
    """Own brightness of the crown, in [0, 1]."""
    dates: Dates = BOTH


@dataclass(frozen=True, kw_only=True, slots=True)
class Rect:
    """A rectangle on the straight frame, in metres."""

    u0: float
    v0: float
    u1: float
    v1: float

    @property
    def width(self) -> float:
        """Extent along u."""
        return self.u1 - self.u0

    @property
    def depth(self) -> float:
        """Extent along v."""
        return self.v1 - self.v0

    @property
    def centre(self) -> tuple[float, float]:
        """Middle, as u, v."""
        return (self.u0 + self.u1) / 2, (self.v0 + self.v1) / 2

    def part(self, a: float, b: float, w: float, d: float) -> "Rect":
        """A piece of size w, d at a, b, counted from the corner: a and w along the longer side."""
        if self.width < self.depth:
            a, b, w, d = b, a, d, w
        return Rect(u0=self.u0 + a, v0=self.v0 + b, u1=self.u0 + a + w, v1=self.v0 + b + d)

    def shrink(self, margin: float) -> "Rect":
        """The rectangle with a margin taken off each side, never below a tenth of its size."""
        mu, mv = min(margin, 0.45 * self.width), min(margin, 0.45 * self.depth)
        return Rect(u0=self.u0 + mu, v0=self.v0 + mv, u1=self.u1 - mu, v1=self.v1 - mv)


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """The map from metres on the straight frame to canvas pixels."""

    side: int
    """Canvas side in pixels."""
    gsd: float
    """Metres a pixel."""
    turn: float
    """Radians."""
    bend: tuple[float, float]
    """Amplitude of the two bends, metres."""
    wave: tuple[float, float]
    """Wave numbers of the two bends, radians a metre."""
    phase: tuple[float, float]
    lean: tuple[float, float] = (0.0, 0.0)
    """Pixels that a roof is displaced by for each metre of height: the sensor looks aslant."""

    def point(self, u: float, v: float) -> tuple[float, float]:
        """Canvas x, y of a point."""
        bu = u + self.bend[0] * math.sin(self.wave[0] * v + self.phase[0])
        bv = v + self.bend[1] * math.sin(self.wave[1] * u + self.phase[1])
        c, s = math.cos(self.turn) / self.gsd, math.sin(self.turn) / self.gsd
        return self.side / 2 + c * bu - s * bv, self.side / 2 + s * bu + c * bv

    def angle(self, u: float, v: float) -> float:
        """Canvas direction of the u axis at a point."""
        return self.turn + math.atan(self.bend[1] * self.wave[1] * math.cos(self.wave[1] * u + self.phase[1]))

    def outline(self, uv: NDArray[np.float64]) -> list[float]:
        """Canvas outline of many points, bent with the frame.

        Args:
            uv: (N, 2) metres.
        """
        u, v = uv[:, 0], uv[:, 1]
        bu = u + self.bend[0] * np.sin(self.wave[0] * v + self.phase[0])
        bv = v + self.bend[1] * np.sin(self.wave[1] * u + self.phase[1])
        c, s = math.cos(self.turn) / self.gsd, math.sin(self.turn) / self.gsd
        xy = np.empty_like(uv)
        xy[:, 0] = self.side / 2 + c * bu - s * bv
        xy[:, 1] = self.side / 2 + s * bu + c * bv
        flat: list[float] = xy.ravel().tolist()
        return flat

    def rigid(self, centre: tuple[float, float], offsets: Sequence[tuple[float, float]]) -> list[float]:
        """Canvas outline of a stiff thing: placed and turned with the frame, but not bent."""
        x, y = self.point(*centre)
        angle = self.angle(*centre)
        c, s = math.cos(angle) / self.gsd, math.sin(angle) / self.gsd
        flat: list[float] = []
        for du, dv in offsets:
            flat.append(x + c * du - s * dv)
            flat.append(y + s * du + c * dv)
        return flat


@dataclass(kw_only=True, slots=True)
class Churn:
    """Chance that a single thing comes or goes between the dates; all 0 in unchanged pairs."""

    building: float = 0.0
    tree: float = 0.0
    road: float = 0.0
    water: float = 0.0
    court: float = 0.0


@dataclass(kw_only=True, slots=True)
class Scene:
    """The parts of one place at both dates, under construction."""

    frame: Frame
    rng: Random
    """Layout draws are scalars by the thousand; the standard generator is far faster at those."""
    leaf: Colour = (0.2, 0.3, 0.17)
    """The region's typical crown colour."""
    churn: Churn = field(default_factory=Churn)
    shapes: list[Shape] = field(default_factory=list)
    trees: list[Dome] = field(default_factory=list)
    heaps: list[Dome] = field(default_factory=list)
    parking: list[tuple[float, float, float, float]] = field(default_factory=list)
    """Spots where a car may stand or drive: x, y, heading, chance; transient at each date."""

    def flip(self, chance: float, dates: Dates = BOTH) -> Dates:
        """The dates of one thing within a part that stands at `dates`: rarely it comes or goes."""
        if dates != BOTH or self.rng.random() >= chance:
            return dates
        return (True, False) if self.rng.random() < 0.5 else (False, True)

    def add(
        self, outline: list[float], surface: Surface, layer: int, dates: Dates = BOTH, **more: float
    ) -> None:
        """Add a shape unless it lies wholly off the canvas."""
        xs, ys, side = outline[0::2], outline[1::2], self.frame.side
        pad = more.get("width", 0.0)
        if max(xs) < -pad or max(ys) < -pad or min(xs) > side + pad or min(ys) > side + pad:
            return
        self.shapes.append(Shape(outline, surface, layer, dates, **more))

    def area(self, rect: Rect, surface: Surface, layer: int, dates: Dates = BOTH) -> None:
        """Cover a rectangle, its edges bent with the frame."""
        t = np.linspace(0.0, 1.0, 7)[:-1]
        o, i = np.zeros_like(t), np.ones_like(t)
        unit = np.concatenate([np.stack(e, 1) for e in ((t, o), (i, t), (1 - t, i), (o, 1 - t))])
        uv = unit * (rect.width, rect.depth) + (rect.u0, rect.v0)
        self.add(self.frame.outline(uv), surface, layer, dates)

    def box(
        self,
        centre: tuple[float, float],
        size: tuple[float, float],
        surface: Surface,
        layer: int,
        dates: Dates = BOTH,
        **more: float,
    ) -> None:
        """Cover a stiff rectangle."""
        a, b = size[0] / 2, size[1] / 2
        outline = self.frame.rigid(centre, ((-a, -b), (a, -b), (a, b), (-a, b)))
        self.add(outline, surface, layer, dates, **more)

    def blob(
        self,
        centre: tuple[float, float],
        size: tuple[float, float],
        surface: Surface,
        layer: int,
        dates: Dates = BOTH,
        rough: float = 0.25,
    ) -> None:
        """Cover an irregular round area."""
        rng = self.rng
        t = np.linspace(0.0, 2 * math.pi, 40, endpoint=False)
        r = np.ones_like(t)
        for k in (2, 3, 5, 8, 13):
            r += rough * rng.uniform(0.3, 1.0) / k * np.sin(k * t + rng.uniform(0, 6.3)) * 1.6
        uv = np.stack((np.cos(t) * r * size[0] / 2, np.sin(t) * r * size[1] / 2), 1) + centre
        self.add(self.frame.outline(uv), surface, layer, dates)

    def tree(
        self, u: float, v: float, radius: float, dates: Dates = BOTH, height: float | None = None
    ) -> None:
        """Plant one tree; radius and height in metres."""
        x, y = self.frame.point(u, v)
        r, side = radius / self.frame.gsd, self.frame.side
        if -r < x < side + r and -r < y < side + r:
            rng = self.rng
            tall = height if height is not None else radius * rng.uniform(1.6, 3.0)
            self.trees.append(Dome(x, y, r, min(tall, 24.0), rng.random(), dates))
