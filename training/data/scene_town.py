"""What fills a block in town: housing, offices, industry, parks, sports grounds, car parks.

A fill covers a rectangle with ground and things, all standing at the given dates.
"""

import math
from dataclasses import dataclass

import numpy as np

from training.data.scene_buildings import building
from training.data.scene_courts import court
from training.data.scene_model import BRIDGE, DETAIL, GROUND, PATCH, ROAD, WATER, Dates, Rect, Scene
from training.data.scene_nature import grove, pond, tree_line
from training.data.scene_palette import Palette
from training.data.scene_roads import parking


@dataclass(frozen=True, kw_only=True, slots=True)
class _Street:
    """What the lots of one block have in common."""

    lot: float
    """Width of a lot, metres, as are all lengths."""
    depth: float
    size: float
    """Share of the lot's width that the house takes."""
    style: str
    green: float
    """How many trees a garden has."""
    pools: float
    """Chance of a pool."""
    yards: bool
    """Whether each lot has ground of its own."""


def fill_houses(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Lots along both long sides, one house each, with drive, garden, pool and trees."""
    rng = scene.rng
    arid = rng.random() < 0.6 * palette.arid
    scene.area(block, palette.soil() if arid else palette.grass(), GROUND, dates)
    length, depth = max(block.width, block.depth), min(block.width, block.depth)
    rows = 2 if depth > 26 else 1
    count = max(1, round(length / rng.uniform(13, 26)))
    street = _Street(
        lot=length / count,
        depth=depth / rows,
        size=rng.uniform(0.5, 0.72),
        style="house" if rng.random() < 0.85 - 0.5 * palette.arid else "flat",
        green=rng.uniform(0.0, 1.6) * (1 - 0.6 * palette.arid),
        pools=0.22 if rng.random() < 0.5 else 0.02,
        yards=rng.random() < 0.4,
    )
    for row in range(rows):
        for i in range(count):
            plot = block.part(i * street.lot, row * street.depth, street.lot, street.depth)
            x, y = scene.frame.point(*plot.centre)
            reach = street.lot / scene.frame.gsd
            if -reach < x < scene.frame.side + reach and -reach < y < scene.frame.side + reach:
                _lot(scene, palette, block, (i * street.lot, row * street.depth), street, row == 1, dates)
    if rng.random() < 0.3 * street.green and scene.frame.gsd < 0.9:
        hedge = block.part(0, depth / 2 if rows == 2 else depth - 0.8, length, 0)
        tree_line(scene, (hedge.u0, hedge.v0), (hedge.u1, hedge.v1), dates, spacing=1.4, radius=0.9)


def _lot(
    scene: Scene,
    palette: Palette,
    block: Rect,
    corner: tuple[float, float],
    street: _Street,
    mirrored: bool,
    dates: Dates,
) -> None:
    """One lot: the house near the street, the garden behind it."""
    rng = scene.rng

    def part(a: float, b: float, w: float, d: float) -> Rect:
        # Lots of the second row face the other street.
        b = street.depth - b - d if mirrored else b
        return block.part(corner[0] + a, corner[1] + b, w, d)

    if street.yards:
        surface = palette.grass() if rng.random() < 0.7 else palette.soil()
        scene.area(part(0.4, 0.4, street.lot - 0.8, street.depth - 0.8), surface, PATCH, dates)
    wide = min(street.lot * street.size * rng.uniform(0.85, 1.1), street.lot - 2)
    deep = min(rng.uniform(8, 13), 0.62 * street.depth)
    left = (street.lot - wide) * rng.uniform(0.3, 0.7)
    own = scene.flip(scene.churn.building, dates)
    if rng.random() < 0.93 and wide > 4 and deep > 4:
        home = part(left, 3.0, wide, deep)
        building(scene, palette, home, own, kind=street.style, height=rng.uniform(4.5, 8.5))
        if scene.frame.gsd < 1.0 and rng.random() < 0.6:
            drive = part(left + 0.5, -0.5, 3.0, 3.6)
            scene.area(drive, palette.concrete(), ROAD, own)
            x, y = scene.frame.point(*drive.centre)
            turn = math.pi / 2 if block.width >= block.depth else 0.0
            scene.parking.append((x, y, scene.frame.angle(*home.centre) + turn, 0.3))
    back = 3.0 + deep + 1.5
    room = street.depth - 1 - back
    if room > 5 and rng.random() < street.pools:
        pool = part(0.35 * street.lot, back + 0.25 * room, 0.32 * street.lot, min(4.5, 0.5 * room))
        wet = scene.flip(scene.churn.water, own)
        scene.area(pool.shrink(-1.0), palette.concrete(), DETAIL, wet)
        scene.area(pool, palette.water(pool=True), WATER, wet)
    elif room > 5 and scene.frame.gsd < 0.7 and rng.random() < 0.3:
        shed = part(rng.uniform(0, street.lot - 4), back + room - 3.5, rng.uniform(2, 4), rng.uniform(2, 3))
        building(scene, palette, shed, own, kind="flat", height=2.4)
    for _ in range(int(street.green * rng.random() * (1 + street.lot * max(room, 2) / 60))):
        at = part(rng.random() * street.lot, back + rng.random() * max(room, 1), 0, 0)
        scene.tree(at.u0, at.v0, rng.uniform(1.0, 3.6), scene.flip(scene.churn.tree, dates))


def fill_slabs(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Apartment or office blocks, loosely or tightly set, among lawn, car parks and trees."""
    rng = scene.rng
    tight = rng.random() < 0.45
    ground = (
        palette.concrete() if tight else palette.grass() if rng.random() > palette.arid else palette.soil()
    )
    scene.area(block, ground, ROAD if tight else GROUND, dates)
    gap = rng.uniform(4, 8) if tight else rng.uniform(9, 16)
    unit = rng.uniform(16, 30) if tight else rng.uniform(20, 42)
    nu, nv = max(1, round(block.width / unit)), max(1, round(block.depth / unit))
    height = rng.choice((8.0, 12.0, 16.0, 24.0, 36.0))
    for i in range(nu):
        for j in range(nv):
            cell = Rect(
                u0=block.u0 + i * block.width / nu,
                v0=block.v0 + j * block.depth / nv,
                u1=block.u0 + (i + 1) * block.width / nu,
                v1=block.v0 + (j + 1) * block.depth / nv,
            )
            body = cell.shrink(gap / 2 + rng.random())
            if nu * nv > 1 and rng.random() < 0.22:
                if rng.random() < 0.5:
                    parking(scene, palette, cell.shrink(1.5), dates)
                else:
                    grove(scene, cell.shrink(1.0), dates, spacing=6, keep=0.6, radius=2.8)
                continue
            if not tight:
                cut = rng.uniform(0.0, 0.35)
                body = Rect(u0=body.u0, v0=body.v0, u1=body.u1, v1=body.v1 - cut * body.depth)
                if rng.random() < 0.5:
                    grove(
                        scene,
                        Rect(u0=cell.u0, v0=body.v1 + 2, u1=cell.u1, v1=cell.v1),
                        dates,
                        spacing=7,
                        keep=0.6,
                        radius=2.6,
                    )
            if min(body.width, body.depth) > 4:
                own = scene.flip(scene.churn.building, dates)
                building(scene, palette, body, own, kind="flat", height=height * rng.uniform(0.7, 1.3))


def fill_halls(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Industry: big sheds in a sealed or dusty yard, with a strip of parking."""
    rng = scene.rng
    scene.area(block, palette.concrete() if rng.random() < 0.6 else palette.soil(), ROAD, dates)
    inner = block.shrink(rng.uniform(3, 7))
    pieces = max(1, min(4, round(max(inner.width, inner.depth) / rng.uniform(35, 70))))
    for i in range(pieces):
        a, b = i / pieces, (i + 0.88) / pieces
        length, depth = max(inner.width, inner.depth), min(inner.width, inner.depth)
        part = inner.part(a * length, 0, (b - a) * length, depth * rng.uniform(0.55, 1.0))
        if rng.random() < 0.1:
            parking(scene, palette, part, dates)
        else:
            building(
                scene,
                palette,
                part,
                scene.flip(scene.churn.building, dates),
                kind="hall",
                height=rng.uniform(6, 13),
            )


def fill_park(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Lawn with paths, scattered trees, sometimes a pond or a playground."""
    rng = scene.rng
    scene.area(block, palette.grass(), GROUND, dates)
    if rng.random() < 0.6:
        t = np.linspace(0, 1, 12)
        sway = 0.15 * block.depth * np.sin(t * rng.uniform(3, 8) + rng.uniform(0, 6))
        path = np.stack((block.u0 + t * block.width, block.centre[1] + sway), 1)
        surface = palette.track() if rng.random() < 0.5 else palette.concrete()
        own = scene.flip(scene.churn.road, dates)
        scene.add(
            scene.frame.outline(path), surface, ROAD, own, width=rng.uniform(1.8, 3.5) / scene.frame.gsd
        )
    u, v = (
        block.u0 + rng.uniform(0.25, 0.75) * block.width,
        block.v0 + rng.uniform(0.25, 0.75) * block.depth,
    )
    room = (0.4 * block.width, 0.4 * block.depth)
    chance = rng.random()
    if chance < 0.3:
        pond(scene, palette, (u, v), room, scene.flip(scene.churn.water, dates))
    elif chance < 0.7 and min(room) > 6:
        court(
            scene, palette, (u, v), (min(room[0], 40), min(room[1], 40)), scene.flip(scene.churn.court, dates)
        )
    step = rng.uniform(7, 14)
    for i in range(2):
        strip = Rect(
            u0=block.u0,
            v0=block.v0 + i * block.depth * 0.7,
            u1=block.u1,
            v1=block.v0 + (0.3 + 0.7 * i) * block.depth,
        )
        grove(
            scene,
            strip,
            scene.flip(scene.churn.tree, dates),
            spacing=step,
            keep=rng.uniform(0.2, 0.8),
            radius=3.0,
        )


def fill_sports(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Pitches and courts on a lawn."""
    rng = scene.rng
    scene.area(block, palette.grass() if rng.random() < 0.8 else palette.concrete(), GROUND, dates)
    inner = block.shrink(2.5)
    pieces = 1 if rng.random() < 0.5 else max(1, int(inner.width / 36))
    for i in range(pieces):
        at = (inner.u0 + (i + 0.5) * inner.width / pieces, inner.centre[1])
        room = (0.94 * inner.width / pieces, inner.depth)
        court(scene, palette, at, room, scene.flip(scene.churn.court, dates))
    if rng.random() < 0.4:
        tree_line(scene, (block.u0, block.v0 + 1), (block.u1, block.v0 + 1), dates, spacing=6, radius=2.2)


def fill_parking(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """A car park, with rows of trees at times."""
    parking(scene, palette, block, dates)
    if scene.rng.random() < 0.4:
        v = block.v0 + 0.5 * block.depth
        island = Rect(u0=block.u0, v0=v - 1.2, u1=block.u1, v1=v + 1.2)
        scene.area(island, palette.grass(), BRIDGE, dates)
        tree_line(scene, (block.u0, v), (block.u1, v), dates, spacing=9, radius=1.8)
