"""Sports courts, pitches, running tracks and playgrounds."""

import math

from training.data.labels import LandCover
from training.data.scene_model import COURT, Dates, Point, Scene, Surface
from training.data.scene_palette import Palette


def court(scene: Scene, palette: Palette, centre: Point, room: Point, dates: Dates) -> None:
    """A sports court, pitch, running track or playground that fits the room given."""
    rng, frame = scene.rng, scene.frame
    w, d = room
    flip = w < d
    long, short = (d, w) if flip else (w, d)

    def put(size: Point, surface: Surface, at: Point = (0.0, 0.0)) -> None:
        a, b = (size[1], size[0]) if flip else size
        u, v = (at[1], at[0]) if flip else at
        scene.box((centre[0] + u, centre[1] + v), (a, b), surface, COURT, dates)

    def lines(size: Point) -> None:
        if frame.gsd > 1.2:
            return
        paint = palette.paint(LandCover.PLAYGROUND)
        a, b = size[0] / 2, size[1] / 2
        strokes = [((-a, -b), (a, -b), (a, b), (-a, b), (-a, -b)), ((0, -b), (0, b))]
        strokes += [
            ((s * a, -b / 2), (s * a * 0.7, -b / 2), (s * a * 0.7, b / 2), (s * a, b / 2)) for s in (-1, 1)
        ]
        ring = [
            (0.25 * b * math.cos(k * math.pi / 8), 0.25 * b * math.sin(k * math.pi / 8)) for k in range(17)
        ]
        for stroke in (*strokes, ring):
            turned = [(y, x) for x, y in stroke] if flip else list(stroke)
            scene.add(frame.rigid(centre, turned), paint, COURT, dates, width=max(0.12 / frame.gsd, 0.5))

    if long > 60 and short > 38 and rng.random() < 0.75:
        k = min(long / 110, short / 74, 1.0)
        if rng.random() < 0.4:
            ends = [
                (s * 0.3 * long + 0.5 * short * math.cos(t), 0.5 * short * math.sin(t)) for s, t in _oval()
            ]
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
