"""Buildings of a scene: houses under pitched roofs, flat-roofed blocks, halls.

Sizes are in metres on the scene's straight frame; heights cast the shadows.
"""

import math

from training.data.scene_model import BOTH, BUILDING, DETAIL, Dates, Point, Rect, Scene
from training.data.scene_palette import Palette


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
    surface = palette.tile(frame.gsd, angle + (0.0 if along else math.pi / 2))
    # Each face with the direction it looks to; canvas y runs down, so -90 degrees is towards -v.
    faces: list[tuple[list[Point], float]] = []
    for sign in (-1.0, 1.0):
        side = [at(-long, sign * short), at(long, sign * short), at(ridge, 0), at(-ridge, 0)]
        faces.append((side, math.atan2(*reversed(at(0, sign)))))
        if ridge < long:
            end = [at(sign * long, -short), at(sign * long, short), at(sign * ridge, 0)]
            faces.append((end, math.atan2(*reversed(at(sign, 0)))))
    for corners, look in faces:
        scene.add(frame.rigid(centre, corners), surface, BUILDING, dates, height=height, aspect=angle + look)
    if frame.gsd < 0.5 and rng.random() < 0.7:
        spot = (centre[0] + rng.uniform(-0.4, 0.4) * a, centre[1] + rng.uniform(-0.4, 0.4) * b)
        detail = palette.shade(palette.flat(), rng.choice((0.35, 1.1)))
        wide = rng.choice((0.8, 1.0, 3.5))
        scene.box(spot, (wide, 0.9 + 0.3 * wide), detail, BUILDING, dates, height=height + 1.2)


def flat_roofed(
    scene: Scene, palette: Palette, centre: Point, size: Point, dates: Dates, height: float
) -> None:
    """A block under a flat roof with parapet and clutter; tall ones show a wall where seen aslant."""
    rng, frame = scene.rng, scene.frame
    a, b = size[0] / 2, size[1] / 2
    roof = palette.flat()
    corners = _corners(-a, -b, a, b)
    foot = frame.rigid(centre, corners)
    lean = (frame.lean[0] * height, frame.lean[1] * height)
    shifted = _moved(foot, lean)
    if abs(lean[0]) + abs(lean[1]) > 1.0:
        wall = palette.shade(roof, 0.6)
        for i in range(4):
            j = (i + 1) % 4
            p, q = 2 * i, 2 * j
            quad = [*foot[p : p + 2], *foot[q : q + 2], *shifted[q : q + 2], *shifted[p : p + 2]]
            angle = frame.angle(*centre) + (i - 1) * math.pi / 2
            scene.add(quad, wall, BUILDING, dates, height=height / 2, aspect=angle)
    scene.add(
        shifted, palette.shade(roof, rng.choice((0.8, 1.12, 1.2))), BUILDING, dates, height=height + 0.6
    )
    rim = max(0.35, 0.8 * frame.gsd)
    if min(a, b) < 3 * rim:
        return
    inner = frame.rigid(centre, [(x - math.copysign(rim, x), y - math.copysign(rim, y)) for x, y in corners])
    scene.add(_moved(inner, lean), roof, BUILDING, dates, height=height)
    if min(a, b) / frame.gsd < 4:
        return
    for _ in range(min(7, int(rng.random() * (2 + a * b / 25)))):
        w, d = rng.uniform(0.8, 3.0), rng.uniform(0.8, 3.0)
        if max(w, d) > min(a, b):
            continue
        u, v = rng.uniform(-a + w, a - w), rng.uniform(-b + d, b - d)
        unit = frame.rigid(centre, _corners(u - w / 2, v - d / 2, u + w / 2, v + d / 2))
        material = palette.shade(roof, rng.choice((0.55, 0.75, 1.15)))
        scene.add(_moved(unit, lean), material, BUILDING, dates, height=height + rng.uniform(0.8, 2.5))


def _moved(outline: list[float], by: Point) -> list[float]:
    return [c + by[i % 2] for i, c in enumerate(outline)]


def _corners(a0: float, b0: float, a1: float, b1: float) -> list[Point]:
    return [(a0, b0), (a1, b0), (a1, b1), (a0, b1)]


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
        corners = _corners(-a, lo, a, hi) if along else _corners(lo, -b, hi, b)
        look = (math.pi / 2 if bay % 2 else -math.pi / 2) if along else (0.0 if bay % 2 else math.pi)
        scene.add(frame.rigid(centre, corners), sheet, BUILDING, dates, height=height, aspect=angle + look)
    pitch = rng.uniform(4.0, 7.0)
    if rng.random() < 0.5 and pitch / frame.gsd > 6 and a * b * 4 / pitch**2 < 90:
        light = palette.shade(sheet, rng.choice((0.7, 1.12)))
        nu, nv = max(1, int(2 * a / pitch) - 1), max(1, int(2 * b / pitch) - 1)
        for i in range(nu):
            for j in range(nv):
                du, dv = (i + 1) * 2 * a / (nu + 1) - a, (j + 1) * 2 * b / (nv + 1) - b
                cell = _corners(du - 0.5, dv - 0.9, du + 0.5, dv + 0.9)
                scene.add(frame.rigid(centre, cell), light, BUILDING, dates, height=height)


def building(scene: Scene, palette: Palette, rect: Rect, dates: Dates, *, kind: str, height: float) -> None:
    """A building that fills a rectangle: plain, or an L or U of wings.

    `kind` is `house`, `flat` or `hall`. Where it stands at one date only, the other date often shows
    the bare plot.
    """
    rng = scene.rng
    make = {"house": pitched, "flat": flat_roofed, "hall": hall}[kind]
    if dates != BOTH and rng.random() < 0.6:
        scene.area(rect.shrink(-rng.uniform(0.5, 3.0)), palette.soil(), DETAIL, (not dates[0], not dates[1]))
    form = rng.random()
    w, d = rect.width, rect.depth
    if kind == "hall" or form < 0.55 or min(w, d) < 8 or min(w, d) < 0.4 * max(w, d):
        make(scene, palette, rect.centre, (w, d), dates, height)
        return
    wing = rng.uniform(0.38, 0.5)
    near = rng.random() < 0.5
    bar_v = rect.v0 + d * wing / 2 if near else rect.v1 - d * wing / 2
    sides = ("left", "right") if form > 0.92 and w > 18 else (rng.choice(("left", "right")),)
    for side in sides:
        share = wing * (0.7 if len(sides) == 2 else 1.0)
        u = rect.u0 + w * share / 2 if side == "left" else rect.u1 - w * share / 2
        make(scene, palette, (u, rect.centre[1]), (w * share, d), dates, height * 0.96)
    make(scene, palette, (rect.centre[0], bar_v), (w, d * wing), dates, height)
