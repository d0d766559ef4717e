"""Tree groups, ponds and heaps of soil."""

import math

from training.data.scene_model import BOTH, PATCH, WATER, Dates, Dome, Point, Rect, Scene
from training.data.scene_palette import Palette


def grove(
    scene: Scene, rect: Rect, dates: Dates, *, spacing: float, keep: float, radius: float, neat: bool = False
) -> None:
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


def thicket(scene: Scene, centre: Point, size: Point, dates: Dates, *, radius: float) -> None:
    """A wood of irregular outline, denser in the middle, that keeps to no block."""
    rng = scene.rng
    step = max(1.7 * radius, 2.6 * scene.frame.gsd)
    grow = step / (1.7 * radius)
    phase = [rng.uniform(0, 6.3) for _ in range(3)]
    nu, nv = int(1.3 * size[0] / step), int(1.3 * size[1] / step)
    for i in range(nu):
        for j in range(nv):
            a = (i + rng.random()) / nu * 2.6 - 1.3
            b = (j + rng.random()) / nv * 2.6 - 1.3
            t = math.atan2(b, a)
            edge = (
                1
                + 0.2 * math.sin(2 * t + phase[0])
                + 0.14 * math.sin(3 * t + phase[1])
                + 0.1 * math.sin(7 * t + phase[2])
            )
            if math.hypot(a, b) + 0.15 * rng.random() < edge:
                u, v = centre[0] + a * size[0] / 2, centre[1] + b * size[1] / 2
                scene.tree(u, v, radius * grow * rng.uniform(0.6, 1.3), dates)


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


def heaps(scene: Scene, rect: Rect, dates: Dates, count: int) -> None:
    """Heaps of soil on a building site."""
    rng, frame = scene.rng, scene.frame
    for _ in range(count):
        u, v = rng.uniform(rect.u0, rect.u1), rng.uniform(rect.v0, rect.v1)
        radius = rng.uniform(1.5, 6.0)
        x, y = frame.point(u, v)
        scene.heaps.append(Dome(x, y, max(1.2, radius / frame.gsd), 0.45 * radius, 0.5, dates))
