"""Single things of a scene: buildings, courts, ponds, tree groups, roads, parking rows.

Each function adds the shapes of one thing, standing at the given dates. Sizes are in metres on the
scene's straight frame.
"""

import math

import numpy as np

from training.data.labels import LandCover
from training.data.scene_model import (
    BOTH,
    BRIDGE,
    BUILDING,
    COURT,
    DETAIL,
    PATCH,
    ROAD,
    WATER,
    Dates,
    Dome,
    Rect,
    Scene,
)
from training.data.scene_palette import Palette

Point = tuple[float, float]


def pitched(scene: Scene, palette: Palette, centre: Point, size: Point, dates: Dates, height: float) -> None:
    """A house under a hip or gable roof; the ridge runs along the longer side."""
    rng, frame = scene.rng, scene.frame
    a, b = size[0] / 2, size[1] / 2
    along = a >= b
    long, short = (a, b) if along else (b, a)
    ridge = long if rng.random() < 0.5 else max(long - short, 0.15 * long)

    def at(x: float, y: float) -> Point:
        return (x, y) if along else (y, x)

    angle = frame.angle(*centre)
    turn = 0.0 if along else math.pi / 2
    surface = palette.tile(frame.gsd, angle + turn)
    top, bottom = math.pi / 2, -math.pi / 2
    ends = [(at(-long, -short), at(long, -short), at(ridge, 0), at(-ridge, 0))]
    ends.append((at(-long, short), at(long, short), at(ridge, 0), at(-ridge, 0)))
    # On the canvas y runs down: the face at negative y looks to -90 degrees.
    looks = [bottom, top] if along else [math.pi, 0.0]
    faces = list(zip(ends, looks, strict=True))
    if ridge < long:
        end_looks = (math.pi, 0.0) if along else (bottom, top)
        faces += [
            ((at(-long, -short), at(-long, short), at(-ridge, 0)), end_looks[0]),
            ((at(long, -short), at(long, short), at(ridge, 0)), end_looks[1]),
        ]
    for corners, look in faces:
        scene.add(
            frame.rigid(centre, corners), surface, BUILDING, dates, height=height, aspect=angle + look
        )
    if frame.gsd < 0.5 and rng.random() < 0.7:
        spot = (centre[0] + rng.uniform(-0.4, 0.4) * a, centre[1] + rng.uniform(-0.4, 0.4) * b)
        detail = palette.shade(palette.flat(), rng.choice((0.35, 1.1)))
        wide = rng.choice((0.8, 1.0, 3.5))
        scene.box(spot, (wide, 0.9 + 0.3 * wide), detail, BUILDING, dates, height=height + 1.2)


def flat_roofed(scene: Scene, palette: Palette, centre: Point, size: Point, dates: Dates, height: float) -> None:
    """A block under a flat roof with parapet and clutter; tall ones show a wall where seen aslant."""
    rng, frame = scene.rng, scene.frame
    a, b = size[0] / 2, size[1] / 2
    roof = palette.flat()
    corners = ((-a, -b), (a, -b), (a, b), (-a, b))
    foot = frame.rigid(centre, corners)
    dx, dy = frame.lean[0] * height, frame.lean[1] * height
    shifted = [c + (dx, dy)[i % 2] for i, c in enumerate(foot)]
    if abs(dx) + abs(dy) > 1.0:
        wall = palette.shade(roof, 0.6)
        for i in range(4):
            j = (i + 1) % 4
            p, q = 2 * i, 2 * j
            quad = [*foot[p : p + 2], *foot[q : q + 2], *shifted[q : q + 2], *shifted[p : p + 2]]
            angle = frame.angle(*centre) + (i - 1) * math.pi / 2
            scene.add(quad, wall, BUILDING, dates, height=height / 2, aspect=angle)
    scene.add(shifted, palette.shade(roof, rng.choice((0.8, 1.12, 1.2))), BUILDING, dates, height=height + 0.6)
    rim = max(0.35, 0.8 * frame.gsd)
    if min(a, b) < 3 * rim:
        return
    inner = frame.rigid(centre, [(x - math.copysign(rim, x), y - math.copysign(rim, y)) for x, y in corners])
    inner = [c + (dx, dy)[i % 2] for i, c in enumerate(inner)]
    scene.add(inner, roof, BUILDING, dates, height=height)
    if min(a, b) / frame.gsd < 4:
        return
    for _ in range(min(7, int(rng.random() * (2 + a * b / 25)))):
        w, d = rng.uniform(0.8, 3.0), rng.uniform(0.8, 3.0)
        if max(w, d) > min(a, b):
            continue
        u, v = rng.uniform(-a + w, a - w), rng.uniform(-b + d, b - d)
        unit = frame.rigid(centre, ((u - w / 2, v - d / 2), (u + w / 2, v - d / 2), (u + w / 2, v + d / 2), (u - w / 2, v + d / 2)))
        unit = [c + (dx, dy)[i % 2] for i, c in enumerate(unit)]
        scene.add(unit, palette.shade(roof, rng.choice((0.55, 0.75, 1.15))), BUILDING, dates, height=height + rng.uniform(0.8, 2.5))


def hall(scene: Scene, palette: Palette, centre: Point, size: Point, dates: Dates, height: float) -> None:
    """A big shed: low metal gable, often with rows of skylights."""
    rng, frame = scene.rng, scene.frame
    a, b = size[0] / 2, size[1] / 2
    along = a >= b
    angle = frame.angle(*centre)
    sheet = palette.sheet(frame.gsd, angle + (math.pi / 2 if along else 0.0) + math.pi / 2)
    bays = rng.choice((1, 1, 2, 3))
    short = b if along else a
    for bay in range(2 * bays):
        lo, hi = -short + bay * short / bays, -short + (bay + 1) * short / bays
        corners = ((-a, lo), (a, lo), (a, hi), (-a, hi)) if along else ((lo, -b), (hi, -b), (hi, b), (lo, b))
        look = (math.pi / 2 if bay % 2 else -math.pi / 2) if along else (0.0 if bay % 2 else math.pi)
        scene.add(frame.rigid(centre, corners), sheet, BUILDING, dates, height=height, aspect=angle + look)
    pitch = rng.uniform(4.0, 7.0)
    if rng.random() < 0.5 and pitch / frame.gsd > 6 and a * b * 4 / pitch**2 < 90:
        light = palette.shade(sheet, rng.choice((0.7, 1.12)))
        nu, nv = max(1, int(2 * a / pitch) - 1), max(1, int(2 * b / pitch) - 1)
        for i in range(nu):
            for j in range(nv):
                du, dv = (i + 1) * 2 * a / (nu + 1) - a, (j + 1) * 2 * b / (nv + 1) - b
                cell = ((du - 0.5, dv - 0.9), (du + 0.5, dv - 0.9), (du + 0.5, dv + 0.9), (du - 0.5, dv + 0.9))
                scene.add(frame.rigid(centre, cell), light, BUILDING, dates, height=height)


def building(scene: Scene, palette: Palette, rect: Rect, dates: Dates, *, kind: str, height: float) -> None:
    """A building that fills a rectangle: plain, or an L or U of wings.

    Where it stands at one date only, the other date often shows the bare plot.

    Args:
        kind: `house`, `flat` or `hall`.
    """
    rng = scene.rng
    make = {"house": pitched, "flat": flat_roofed, "hall": hall}[kind]
    if dates != BOTH and rng.random() < 0.6:
        scene.area(rect.shrink(-rng.uniform(0.5, 3.0)), palette.soil(), DETAIL, (not dates[0], not dates[1]))
    form = rng.random()
    w, d = rect.width, rect.depth
    if kind == "hall" or form < 0.55 or min(w, d) < 7:
        make(scene, palette, rect.centre, (w, d), dates, height)
        return
    wing = rng.uniform(0.38, 0.5)
    near = rng.random() < 0.5
    bar_v = rect.v0 + d * wing / 2 if near else rect.v1 - d * wing / 2
    sides = ("left", "right") if form > 0.85 else (rng.choice(("left", "right")),)
    for side in sides:
        share = wing * (0.7 if len(sides) == 2 else 1.0)
        u = rect.u0 + w * share / 2 if side == "left" else rect.u1 - w * share / 2
        make(scene, palette, (u, rect.centre[1]), (w * share, d), dates, height * 0.96)
    make(scene, palette, (rect.centre[0], bar_v), (w, d * wing), dates, height)


def grove(scene: Scene, rect: Rect, dates: Dates, *, spacing: float, keep: float, radius: float, neat: bool = False) -> None:
    """Trees over a rectangle: a wood (irregular, thinned by `keep`) or an orchard (`neat`)."""
    rng = scene.rng
    gsd = scene.frame.gsd
    step = max(spacing, 2.6 * gsd)
    grow = step / spacing
    jitter = 0.06 if neat else 0.42
    nu, nv = max(1, int(rect.width / step)), max(1, int(rect.depth / step))
    for i in range(nu):
        for j in range(nv):
            if rng.random() > keep:
                continue
            u = rect.u0 + (i + 0.5 + rng.uniform(-jitter, jitter)) * rect.width / nu
            v = rect.v0 + (j + 0.5 + rng.uniform(-jitter, jitter)) * rect.depth / nv
            scene.tree(u, v, radius * grow * rng.uniform(0.75, 1.3), dates)


def tree_line(scene: Scene, start: Point, end: Point, dates: Dates, *, spacing: float, radius: float) -> None:
    """A row of street trees, or a hedge where they stand close."""
    rng = scene.rng
    count = int(math.dist(start, end) / max(spacing, 1.5 * scene.frame.gsd))
    for i in range(count):
        if rng.random() < 0.12:
            continue
        t = (i + 0.5 + rng.uniform(-0.2, 0.2)) / count
        u, v = start[0] + t * (end[0] - start[0]), start[1] + t * (end[1] - start[1])
        own = scene.flip(scene.churn.tree, dates)
        scene.tree(u, v, radius * rng.uniform(0.8, 1.2), own, radius * 1.6 if radius < 1.3 else None)


def road(scene: Scene, palette: Palette, start: Point, end: Point, width: float, dates: Dates, *, bridge: bool = False, sealed: bool = True) -> None:
    """A road along a straight of the frame (bent with it): kerbs, surface, markings, cars."""
    rng, frame = scene.rng, scene.frame
    steps = max(2, int(math.dist(start, end) / (18 * frame.gsd)))
    t = np.linspace(0.0, 1.0, steps + 1)[:, None]
    line = np.asarray(start) * (1 - t) + np.asarray(end) * t
    outline = frame.outline(line)
    layer = BRIDGE if bridge else ROAD
    surface = palette.asphalt() if sealed else palette.track()
    if sealed and width > 5 and rng.random() < 0.7:
        kerb = width + rng.uniform(1.5, 4.0)
        scene.add(outline, palette.concrete(), layer, dates, width=kerb / frame.gsd, height=5.0 * bridge)
    scene.add(outline, surface, layer, dates, width=width / frame.gsd, height=5.0 * bridge)
    if sealed and frame.gsd < 0.7 and width > 5:
        _markings(scene, palette, start, end, width, layer, dates)
    heading = np.asarray(end) - np.asarray(start)
    length = float(np.hypot(*heading))
    for _ in range(int(length / rng.uniform(25, 90)) if width > 4 else 0):
        s, side = rng.random(), rng.choice((-1, 1))
        off = side * width * 0.25 / length
        u = start[0] + s * heading[0] - off * heading[1]
        v = start[1] + s * heading[1] + off * heading[0]
        x, y = frame.point(u, v)
        if dates == BOTH:
            scene.parking.append((x, y, frame.angle(u, v) + math.atan2(heading[1], heading[0]), 0.5))


def _markings(scene: Scene, palette: Palette, start: Point, end: Point, width: float, layer: int, dates: Dates) -> None:
    frame, paint = scene.frame, palette.paint(LandCover.ROAD)
    along = np.asarray(end) - np.asarray(start)
    length = float(np.hypot(*along))
    along /= length
    across = np.array((-along[1], along[0]))
    lanes = (-0.25, 0.0, 0.25) if width > 11 else (0.0,)
    for lane in lanes:
        base = np.asarray(start) + across * lane * width
        s = 0.0
        while s < length:
            e = min(s + (3.0 if lane or width < 9 else 14.0), length)
            scene.add(
                frame.outline(np.stack((base + along * s, base + along * e))), paint, layer, dates,
                width=max(0.15 / frame.gsd, 0.5),
            )
            s = e + 5.0
    if width > 8:
        for side in (-0.46, 0.46):
            edge = np.linspace(start, end, 24) + across * side * width
            scene.add(frame.outline(edge), paint, layer, dates, width=max(0.15 / frame.gsd, 0.5))


def parking(scene: Scene, palette: Palette, rect: Rect, dates: Dates) -> None:
    """A car park: sealed area, bays in double rows, cars that differ from date to date."""
    rng, frame = scene.rng, scene.frame
    scene.area(rect, palette.asphalt(), ROAD, dates)
    paint = palette.paint(LandCover.ROAD)
    busy = rng.uniform(0.1, 0.9)
    stall, aisle = 2.6, 6.5
    v, bays = rect.v0 + 3.5, 0
    while v + 2.5 < rect.v1 and bays < 220:
        count = int((rect.width - 4) / stall)
        for i in range(count):
            u = rect.u0 + 2 + (i + 0.5) * stall
            bays += 1
            x, y = frame.point(u, v)
            if -9 < x < frame.side + 9 and -9 < y < frame.side + 9:
                scene.parking.append((x, y, frame.angle(u, v) + math.pi / 2, busy if dates == BOTH else 0.0))
                if frame.gsd < 0.45:
                    ends = np.array(((u - stall / 2, v - 2.5), (u - stall / 2, v + 2.5)))
                    scene.add(frame.outline(ends), paint, ROAD, dates, width=0.5)
        v += 5.2 + (aisle if rng.random() < 0.6 else 0.0)


def pond(scene: Scene, palette: Palette, centre: Point, size: Point, dates: Dates) -> None:
    """A lake or basin; the date without water shows the bed, dry or overgrown."""
    rng = scene.rng
    if rng.random() < 0.5:
        bank = palette.soil() if rng.random() < 0.5 else palette.scrub()
        scene.blob(centre, (size[0] + 4, size[1] + 4), bank, PATCH)
    if dates != BOTH and rng.random() < 0.5:
        scene.blob(centre, size, palette.soil(), PATCH, (not dates[0], not dates[1]))
    if rng.random() < 0.2:
        scene.box(centre, (0.85 * size[0], 0.85 * size[1]), palette.water(), WATER, dates)
    else:
        scene.blob(centre, size, palette.water(), WATER, dates, rough=rng.uniform(0.1, 0.5))


def court(scene: Scene, palette: Palette, centre: Point, room: Point, dates: Dates) -> None:
    """A sports court, pitch, running track or playground that fits the room given."""
    rng, frame = scene.rng, scene.frame
    w, d = room
    flip = w < d
    long, short = (d, w) if flip else (w, d)

    def put(size: Point, surface_of: object, at: Point = (0.0, 0.0)) -> None:
        a, b = (size[1], size[0]) if flip else size
        u, v = (at[1], at[0]) if flip else at
        scene.box((centre[0] + u, centre[1] + v), (a, b), surface_of, COURT, dates)  # type: ignore[arg-type]

    def lines(size: Point) -> None:
        if frame.gsd > 1.2:
            return
        paint = palette.paint(LandCover.PLAYGROUND)
        a, b = size[0] / 2, size[1] / 2
        strokes = [((-a, -b), (a, -b), (a, b), (-a, b), (-a, -b)), ((0, -b), (0, b))]
        strokes += [((s * a, -b / 2), (s * a * 0.7, -b / 2), (s * a * 0.7, b / 2), (s * a, b / 2)) for s in (-1, 1)]
        ring = [(0.25 * b * math.cos(k * math.pi / 8), 0.25 * b * math.sin(k * math.pi / 8)) for k in range(17)]
        for stroke in (*strokes, ring):
            turned = [(y, x) for x, y in stroke] if flip else list(stroke)
            scene.add(frame.rigid(centre, turned), paint, COURT, dates, width=max(0.12 / frame.gsd, 0.5))

    if long > 60 and short > 38 and rng.random() < 0.75:
        k = min(long / 110, short / 74, 1.0)
        if rng.random() < 0.4:
            ends = [(s * 0.3 * long + 0.5 * short * math.cos(t), 0.5 * short * math.sin(t)) for s, t in _oval()]
            turned = [(y, x) for x, y in ends] if flip else ends
            scene.add(frame.rigid(centre, turned), palette.court(), COURT, dates)
            long, k = 0.8 * long, k * 0.72
        put((104 * k, 66 * k), palette.turf(frame.gsd))
        lines((98 * k, 61 * k))
    elif rng.random() < 0.6 and short > 9:
        k = min(1.0, long / 34, short / 18)
        count = max(1, min(4, int(short / (18 * k + 1))))
        edge, inner = palette.court(), palette.court()
        put((34 * k, min(short, count * 18 * k)), edge)
        put((26 * k, min(short, count * 18 * k) - 5 * k), inner)
        lines((24 * k, min(short, count * 18 * k) - 7 * k))
    else:
        surface = palette.rubber()
        if rng.random() < 0.5:
            scene.blob(centre, (0.9 * w, 0.9 * d), surface, COURT, dates)
        else:
            put((0.9 * long, 0.9 * short), surface)
        for _ in range(rng.randint(2, 7)):
            at = (rng.uniform(-0.3, 0.3) * long, rng.uniform(-0.3, 0.3) * short)
            put((rng.uniform(0.8, 3.5), rng.uniform(0.8, 2.0)), palette.toy(), at)


def _oval() -> list[tuple[float, float]]:
    steps = [k * math.pi / 12 - math.pi / 2 for k in range(13)]
    return [(1.0, t) for t in steps] + [(-1.0, t + math.pi) for t in steps]


def heaps(scene: Scene, rect: Rect, dates: Dates, count: int) -> None:
    """Heaps of soil on a building site."""
    rng, frame = scene.rng, scene.frame
    for _ in range(count):
        u, v = rng.uniform(rect.u0, rect.u1), rng.uniform(rect.v0, rect.v1)
        radius = rng.uniform(1.5, 6.0)
        x, y = frame.point(u, v)
        scene.heaps.append(Dome(x, y, max(1.2, radius / frame.gsd), 0.45 * radius, 0.5, dates))
