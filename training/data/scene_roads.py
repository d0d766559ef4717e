"""Roads and car parks of a scene, with their kerbs, markings and places for cars."""

import math

import numpy as np

from training.data.labels import LandCover
from training.data.scene_model import BOTH, BRIDGE, ROAD, Dates, Point, Rect, Scene
from training.data.scene_palette import Palette


def road(
    scene: Scene,
    palette: Palette,
    start: Point,
    end: Point,
    width: float,
    dates: Dates,
    *,
    bridge: bool = False,
    sealed: bool = True,
) -> None:
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


def _markings(
    scene: Scene, palette: Palette, start: Point, end: Point, width: float, layer: int, dates: Dates
) -> None:
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
                frame.outline(np.stack((base + along * s, base + along * e))),
                paint,
                layer,
                dates,
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
