"""What fills a block of land between the roads: houses, halls, fields, woods, water, building sites.

A use is a function that fills a rectangle with ground and things, all standing at the given dates.
A block that changes is filled twice, each use at its own date.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from training.data.scene_model import BOTH, DETAIL, GROUND, PATCH, ROAD, WATER, Dates, Rect, Scene
from training.data.scene_palette import Palette
from training.data.scene_parts import building, court, grove, heaps, parking, pond, tree_line

Fill = Callable[[Scene, Palette, Rect, Dates], None]


def _houses(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Lots along both long sides, one house each, with drive, garden, pool and trees."""
    rng, gsd = scene.rng, scene.frame.gsd
    arid = rng.random() < 0.6 * palette.arid
    scene.area(block, palette.soil() if arid else palette.grass(), GROUND, dates)
    along = block.width >= block.depth
    length, depth = (block.width, block.depth) if along else (block.depth, block.width)
    rows = 2 if depth > 26 else 1
    lot, row_depth = rng.uniform(13, 26), depth / rows
    count = max(1, round(length / lot))
    lot = length / count
    green = rng.uniform(0.0, 1.6) * (1 - 0.6 * palette.arid)
    size = rng.uniform(0.5, 0.72)
    style = "house" if rng.random() < 0.85 - 0.5 * palette.arid else "flat"
    pools = 0.22 if rng.random() < 0.5 else 0.02
    yards = rng.random() < 0.4
    for row in range(rows):
        for i in range(count):
            u0, v0 = i * lot, row * row_depth
            wide = min(lot * size * rng.uniform(0.85, 1.1), lot - 2)
            deep = min(rng.uniform(8, 13), 0.62 * row_depth)
            front = 3.0 if rows == 1 or row == 0 else row_depth - 3.0 - deep
            u, v = u0 + (lot - wide) * rng.uniform(0.3, 0.7), v0 + front

            def on_block(a: float, b: float, w: float, d: float) -> Rect:
                if along:
                    return Rect(u0=block.u0 + a, v0=block.v0 + b, u1=block.u0 + a + w, v1=block.v0 + b + d)
                return Rect(u0=block.u0 + b, v0=block.v0 + a, u1=block.u0 + b + d, v1=block.v0 + a + w)

            if yards:
                surface = palette.grass() if rng.random() < 0.7 else palette.soil()
                scene.area(on_block(u0 + 0.4, v0 + 0.4, lot - 0.8, row_depth - 0.8), surface, PATCH, dates)
            own = scene.flip(scene.churn.building, dates)
            if rng.random() < 0.93 and wide > 4 and deep > 4:
                home = on_block(u, v, wide, deep)
                building(scene, palette, home, own, kind=style, height=rng.uniform(4.5, 8.5))
                drive_v = v0 if row == 0 or rows == 1 else v + deep
                if gsd < 1.0 and rng.random() < 0.6:
                    scene.area(on_block(u + 0.5, drive_v, 3.0, 3.0), palette.concrete(), ROAD, own)
                    x, y = scene.frame.point(*on_block(u + 0.5, drive_v, 3.0, 3.0).centre)
                    scene.parking.append((x, y, scene.frame.angle(*home.centre) + math.pi / 2 * along, 0.3))
            back = (v0 + front + deep + 1.5, v0 + row_depth - 1) if row == 0 or rows == 1 else (v0 + 1, v - 1.5)
            room = back[1] - back[0]
            if room > 5 and rng.random() < pools:
                pool = on_block(u0 + lot * 0.35, back[0] + 0.25 * room, 0.32 * lot, min(4.5, 0.5 * room))
                wet = scene.flip(scene.churn.water, own)
                scene.area(pool.shrink(-1.0), palette.concrete(), DETAIL, wet)
                scene.area(pool, palette.water(pool=True), WATER, wet)
            for _ in range(int(green * rng.random() * (1 + lot * max(room, 2) / 60))):
                at = on_block(u0 + rng.random() * lot, back[0] + rng.random() * max(room, 1), 0, 0)
                scene.tree(at.u0, at.v0, rng.uniform(1.0, 3.6), scene.flip(scene.churn.tree, dates))
    if rng.random() < 0.3 * green and gsd < 0.9:
        middle = depth / 2 if rows == 2 else depth - 0.8
        ends = ((0.0, middle), (length, middle))
        p, q = [(block.u0 + a, block.v0 + b) if along else (block.u0 + b, block.v0 + a) for a, b in ends]
        tree_line(scene, p, q, dates, spacing=1.4, radius=0.9)


def _slabs(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Apartment or office blocks, loosely or tightly set, among lawn, car parks and trees."""
    rng = scene.rng
    tight = rng.random() < 0.45
    ground = palette.concrete() if tight else palette.grass() if rng.random() > palette.arid else palette.soil()
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
                    grove(scene, Rect(u0=cell.u0, v0=body.v1 + 2, u1=cell.u1, v1=cell.v1), dates,
                          spacing=7, keep=0.6, radius=2.6)
            if min(body.width, body.depth) > 4:
                own = scene.flip(scene.churn.building, dates)
                building(scene, palette, body, own, kind="flat", height=height * rng.uniform(0.7, 1.3))


def _halls(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Industry: big sheds in a sealed or dusty yard, with a strip of parking."""
    rng = scene.rng
    scene.area(block, palette.concrete() if rng.random() < 0.6 else palette.soil(), ROAD, dates)
    inner = block.shrink(rng.uniform(3, 7))
    pieces = max(1, min(4, round(max(inner.width, inner.depth) / rng.uniform(35, 70))))
    for i in range(pieces):
        a, b = i / pieces, (i + 0.88) / pieces
        if inner.width >= inner.depth:
            part = Rect(u0=inner.u0 + a * inner.width, v0=inner.v0, u1=inner.u0 + b * inner.width,
                        v1=inner.v0 + inner.depth * rng.uniform(0.55, 1.0))
        else:
            part = Rect(u0=inner.u0, v0=inner.v0 + a * inner.depth, u1=inner.u0 + inner.width * rng.uniform(0.55, 1.0),
                        v1=inner.v0 + b * inner.depth)
        if rng.random() < 0.1:
            parking(scene, palette, part, dates)
        else:
            building(scene, palette, part, scene.flip(scene.churn.building, dates), kind="hall",
                     height=rng.uniform(6, 13))


def _park(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Lawn with paths, scattered trees, sometimes a pond or a playground."""
    rng = scene.rng
    scene.area(block, palette.grass(), GROUND, dates)
    if rng.random() < 0.6:
        t = np.linspace(0, 1, 12)
        sway = 0.15 * block.depth * np.sin(t * rng.uniform(3, 8) + rng.uniform(0, 6))
        path = np.stack((block.u0 + t * block.width, block.centre[1] + sway), 1)
        surface = palette.track() if rng.random() < 0.5 else palette.concrete()
        own = scene.flip(scene.churn.road, dates)
        scene.add(scene.frame.outline(path), surface, ROAD, own, width=rng.uniform(1.8, 3.5) / scene.frame.gsd)
    u, v = (block.u0 + rng.uniform(0.25, 0.75) * block.width, block.v0 + rng.uniform(0.25, 0.75) * block.depth)
    room = (0.4 * block.width, 0.4 * block.depth)
    chance = rng.random()
    if chance < 0.3:
        pond(scene, palette, (u, v), room, scene.flip(scene.churn.water, dates))
    elif chance < 0.7 and min(room) > 6:
        court(scene, palette, (u, v), (min(room[0], 40), min(room[1], 40)), scene.flip(scene.churn.court, dates))
    step = rng.uniform(7, 14)
    for i in range(2):
        strip = Rect(u0=block.u0, v0=block.v0 + i * block.depth * 0.7, u1=block.u1, v1=block.v0 + (0.3 + 0.7 * i) * block.depth)
        grove(scene, strip, scene.flip(scene.churn.tree, dates), spacing=step, keep=rng.uniform(0.2, 0.8), radius=3.0)


def _sports(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
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


def _crop(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Fields under crop, in one or a few strips."""
    _strips(scene, palette, block, dates, bare=0.0)


def _ploughed(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Bare fields."""
    _strips(scene, palette, block, dates, bare=1.0)


def _strips(scene: Scene, palette: Palette, block: Rect, dates: Dates, bare: float) -> None:
    rng, gsd = scene.rng, scene.frame.gsd
    edge = palette.scrub() if rng.random() < 0.5 else palette.grass()
    scene.area(block, edge, GROUND, dates)
    inner = block.shrink(rng.uniform(0.0, 2.5))
    cuts = sorted([0.0, 1.0, *(rng.uniform(0.1, 0.9) for _ in range(rng.choice((0, 0, 1, 2))))])
    for a, b in zip(cuts[:-1], cuts[1:], strict=True):
        part = Rect(u0=inner.u0 + a * inner.width, v0=inner.v0, u1=inner.u0 + b * inner.width, v1=inner.v1)
        surface = palette.furrows(gsd) if rng.random() < bare else palette.crop(gsd)
        scene.area(part, surface, PATCH, dates)
    if rng.random() < 0.35:
        radius = rng.uniform(1.2, 3.5)
        own = scene.flip(scene.churn.tree, dates)
        tree_line(scene, (block.u0, block.v1), (block.u1, block.v1), own, spacing=1.6 * radius, radius=radius)


def _meadow(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Grassland with bushes and single trees."""
    rng = scene.rng
    scene.area(block, palette.grass() if rng.random() < 0.6 else palette.scrub(), GROUND, dates)
    for _ in range(rng.randint(0, 3)):
        at = (rng.uniform(block.u0, block.u1), rng.uniform(block.v0, block.v1))
        surface = palette.scrub() if rng.random() < 0.75 else palette.soil()
        scene.blob(at, (0.35 * block.width * rng.random(), 0.35 * block.depth * rng.random()), surface, PATCH, dates, 0.5)
    grove(scene, block, dates, spacing=rng.uniform(9, 16), keep=rng.uniform(0.0, 0.3), radius=rng.uniform(1.4, 3.0))


def _wood(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Closed or open woodland."""
    rng = scene.rng
    scene.area(block, palette.scrub(), GROUND, dates)
    radius = rng.uniform(2.4, 4.2)
    dense = rng.random() < 0.7
    grove(scene, block, dates, spacing=radius * (1.45 if dense else 2.3), keep=0.97 if dense else 0.6, radius=radius)


def _orchard(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Planted rows of trees over grass or soil."""
    rng = scene.rng
    scene.area(block, palette.grass() if rng.random() < 0.6 else palette.furrows(scene.frame.gsd), GROUND, dates)
    radius = rng.uniform(1.3, 2.8)
    grove(scene, block.shrink(1.5), dates, spacing=radius * rng.uniform(2.1, 3.0), keep=0.95, radius=radius, neat=True)


def _bare(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Open dirt: stains, tyre tracks, a few weeds."""
    rng = scene.rng
    scene.area(block, palette.soil(), GROUND, dates)
    inner = block.shrink(0.12 * min(block.width, block.depth))
    for _ in range(rng.randint(1, 4)):
        at = (rng.uniform(inner.u0, inner.u1), rng.uniform(inner.v0, inner.v1))
        surface = palette.scrub() if rng.random() < 0.25 else palette.shade(palette.soil(), rng.uniform(0.75, 1.15))
        size = (0.4 * block.width * rng.random(), 0.4 * block.depth * rng.random())
        scene.blob(at, size, surface, PATCH, dates, 0.6)
    for _ in range(rng.randint(0, 4)):
        t = np.linspace(0, 1, 10)
        bow = 0.2 * block.depth * np.sin(math.pi * t * rng.uniform(0.5, 2)) * rng.uniform(-1, 1)
        v = block.v0 + block.depth * (rng.random() * (1 - t) + rng.random() * t) + bow
        line = np.stack((block.u0 + t * block.width, np.clip(v, block.v0, block.v1)), 1)
        trail = palette.shade(palette.soil(), rng.choice((0.82, 0.9, 1.12)))
        scene.add(scene.frame.outline(line), trail, DETAIL, dates, width=rng.uniform(1.0, 3.5) / scene.frame.gsd)


def _site(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """A building site: dirt, heaps, containers, sometimes a shell under construction."""
    rng = scene.rng
    _bare(scene, palette, block, dates)
    inner = block.shrink(3.0)
    heaps(scene, inner, dates, min(9, int(rng.random() * (2 + inner.width * inner.depth / 300))))
    if rng.random() < 0.4:
        shell = inner.shrink(rng.uniform(0.1, 0.3) * min(inner.width, inner.depth))
        if 6 < min(shell.width, shell.depth) and max(shell.width, shell.depth) < 60:
            building(scene, palette, shell, dates, kind="flat", height=rng.uniform(2, 10))


def _sand(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Desert: sand and a few shrubs."""
    rng = scene.rng
    scene.area(block, palette.sand(), GROUND, dates)
    grove(scene, block, dates, spacing=rng.uniform(5, 12), keep=rng.choice((0.0, 0.05, 0.2)), radius=1.2)


def _basin(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Mostly water: a lake, pond or reservoir."""
    rng = scene.rng
    scene.area(block, palette.grass() if rng.random() > palette.arid else palette.soil(), GROUND, dates)
    k = rng.uniform(0.6, 0.95)
    pond(scene, palette, block.centre, (k * block.width, k * block.depth), dates if dates == BOTH else dates)
    if rng.random() < 0.5:
        tree_line(scene, (block.u0, block.v0), (block.u1, block.v0), dates, spacing=5, radius=2.4)


def _parking(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """A car park, with rows of trees at times."""
    parking(scene, palette, block, dates)
    if scene.rng.random() < 0.4:
        v = block.v0 + 0.5 * block.depth
        tree_line(scene, (block.u0, v), (block.u1, v), dates, spacing=9, radius=1.8)


FILLS: Mapping[str, Fill] = {
    "houses": _houses,
    "slabs": _slabs,
    "halls": _halls,
    "park": _park,
    "sports": _sports,
    "crop": _crop,
    "ploughed": _ploughed,
    "meadow": _meadow,
    "wood": _wood,
    "orchard": _orchard,
    "bare": _bare,
    "site": _site,
    "sand": _sand,
    "basin": _basin,
    "parking": _parking,
}
"""Every use of a block, by name."""
