"""The plan of a scene: how the land is divided, what each block is used for, and what changes.

Land is split again and again by roads, field edges, or a river, down to blocks of a size that is
worth seeing in the image. Changes are chosen on that plan: a block gets another use at the
later date, a road is built or closed, a shore is filled in, single things come and go.
"""

import math
from random import Random

import numpy as np

from training.data.scene_model import BOTH, BRIDGE, GROUND, PATCH, WATER, Churn, Dates, Frame, Rect, Scene
from training.data.scene_nature import thicket, tree_line
from training.data.scene_palette import Palette
from training.data.scene_roads import road
from training.data.scene_uses import FILLS, SWAPS, USES


def frame_of(rng: Random, layout: str, side: int) -> Frame:
    """Draw resolution, direction and bends of a scene."""
    gsd = math.exp(rng.uniform(math.log(0.2), math.log(1.5)))
    extent = side * gsd
    curvy = {"suburban": 0.6, "rural": 0.4, "coastal": 0.4}.get(layout, 0.2)
    amount = 0.09 * extent * (rng.random() < curvy)
    waves = [2 * math.pi / (extent * rng.uniform(1.3, 2.5)) for _ in range(2)]
    slant = rng.uniform(0, 0.5) / gsd if rng.random() < 0.5 else 0.0
    heading = rng.uniform(0, 2 * math.pi)
    return Frame(
        side=side,
        gsd=gsd,
        turn=rng.uniform(0, 2 * math.pi),
        bend=(amount * rng.uniform(0.3, 1), amount * rng.uniform(0.3, 1)),
        wave=(waves[0], waves[1]),
        phase=(rng.uniform(0, 6.3), rng.uniform(0, 6.3)),
        lean=(slant * math.cos(heading), slant * math.sin(heading)),
    )


def plan(rng: Random, *, side: int, changed: bool) -> tuple[Scene, Palette]:
    """Lay out one place at both dates.

    Args:
        rng: source of the whole layout.
        side: canvas side in pixels.
        changed: whether anything of the land cover may differ between the dates.
    """
    layout = rng.choices(tuple(USES), (4, 5, 2.5, 4.5, 2.5, 2.5))[0]
    frame = frame_of(rng, layout, side)
    arid = {"desert": 1.0, "coastal": 0.5, "urban": 0.4, "industrial": 0.4}.get(
        layout, 0.15
    ) * rng.random() ** 0.5
    palette = Palette(rng, arid=arid)
    scene = Scene(frame=frame, rng=rng, leaf=palette.leaf_colour)
    # Some pairs have nothing but small changes: a house, a few trees, a road.
    small = rng.random() < 0.2
    if changed:
        scene.churn = Churn(
            building=0.25 if small else rng.choice((0.0, 0.06, 0.2)),
            tree=0.15 if small else rng.choice((0.0, 0.05, 0.2)),
            road=0.25 if small else rng.choice((0.0, 0.1, 0.3)),
            water=0.25,
            court=0.3,
        )
    half = 0.72 * side * frame.gsd
    whole = Rect(u0=-half, v0=-half, u1=half, v1=half)
    base = {"desert": palette.sand, "rural": palette.grass, "suburban": palette.grass}.get(
        layout, palette.soil
    )
    scene.area(whole.shrink(-half), base(), GROUND)

    shore = _sea(scene, palette, half, changed) if layout == "coastal" else math.inf
    blocks = _split(scene, palette, whole, layout)
    visible = [b for b in blocks if b.v1 < shore and _on_canvas(frame, b)]
    swaps: dict[int, tuple[str, str]] = {}
    if changed and visible and not small:
        area = side * side / (256 * 256)
        # A block whose middle is in view changes enough of the image to be worth asking about.
        inside = [i for i, b in enumerate(visible) if all(0 < c < side for c in frame.point(*b.centre))]
        pool = inside or list(range(len(visible)))
        count = min(len(pool), max(1, round(rng.choice((1, 1, 1, 2, 2, 3)) * area)))
        for i in rng.sample(pool, count):
            pair = rng.choices(SWAPS, [w for *_, w in SWAPS])[0]
            swaps[i] = (pair[0], pair[1])
    uses = USES[layout]
    for i, block in enumerate(visible):
        inner = block.shrink(0.4)
        if i in swaps:
            before, after = swaps[i]
            FILLS[before](scene, palette, inner, (True, False))
            FILLS[after](scene, palette, inner, (False, True))
        else:
            FILLS[rng.choices(tuple(uses), tuple(uses.values()))[0]](scene, palette, inner, BOTH)
    for _ in range(rng.choice((0, 0, 1, 2)) if layout in ("rural", "suburban", "desert") else 0):
        centre = (rng.uniform(-0.8, 0.8) * half, rng.uniform(-0.8, 0.8) * half)
        extent = (rng.uniform(0.15, 0.6) * half, rng.uniform(0.1, 0.4) * half)
        thicket(scene, centre, extent, scene.flip(2 * scene.churn.tree), radius=rng.uniform(1.8, 4.2))
    return scene, palette


def _on_canvas(frame: Frame, block: Rect) -> bool:
    outline = frame.outline(
        np.array(((block.u0, block.v0), (block.u1, block.v0), (block.u1, block.v1), (block.u0, block.v1)))
    )
    xs, ys = outline[0::2], outline[1::2]
    return max(xs) > 0 and max(ys) > 0 and min(xs) < frame.side and min(ys) < frame.side


def _split(scene: Scene, palette: Palette, whole: Rect, layout: str) -> list[Rect]:
    """Divide the land by roads (or field edges, or a river) into blocks."""
    rng, gsd = scene.rng, scene.frame.gsd
    # Large enough for a house, small enough that one block is never all that is seen.
    least = min(max(rng.uniform(56, 125) * gsd, rng.uniform(24, 44)), 0.36 * scene.frame.side * gsd)
    roads = {"rural": 0.25, "desert": 0.5}.get(layout, 0.92)
    sealed = rng.random() < {"rural": 0.6, "desert": 0.5}.get(layout, 0.95)
    river = rng.random() < {"rural": 0.22, "suburban": 0.12, "urban": 0.12}.get(layout, 0.0)
    widths = (rng.uniform(8, 17), rng.uniform(6.5, 9), rng.uniform(5, 7), rng.uniform(3.5, 6))
    done: list[Rect] = []
    todo = [(whole, 0)]
    while todo:
        rect, depth = todo.pop()
        along_u = rect.width * rng.uniform(0.7, 1.3) < rect.depth
        extent = rect.depth if along_u else rect.width
        if extent < 2.0 * least or (depth > 2 and extent < 3.2 * least and rng.random() < 0.35):
            done.append(rect)
            continue
        width = min(widths[min(depth // 2, 3)], (0.15 if depth < 2 else 0.10) * scene.frame.side * gsd)
        is_river = river and depth == 0
        is_road = not is_river and rng.random() < (roads if depth else max(roads, 0.75))
        gap = (
            min(rng.uniform(14, 45), 0.3 * scene.frame.side * gsd)
            if is_river
            else width + 3.0
            if is_road
            else rng.uniform(0.5, 3.0)
        )
        low = rect.v0 if along_u else rect.u0
        cut = low + extent * rng.uniform(0.36, 0.64)
        if along_u:
            # Roads run on under the crossing ones, so that no verge cuts them off.
            ends = ((rect.u0 - 3.5, cut), (rect.u1 + 3.5, cut))
            parts = (
                Rect(u0=rect.u0, v0=rect.v0, u1=rect.u1, v1=cut - gap / 2),
                Rect(u0=rect.u0, v0=cut + gap / 2, u1=rect.u1, v1=rect.v1),
            )
        else:
            ends = ((cut, rect.v0 - 3.5), (cut, rect.v1 + 3.5))
            parts = (
                Rect(u0=rect.u0, v0=rect.v0, u1=cut - gap / 2, v1=rect.v1),
                Rect(u0=cut + gap / 2, v0=rect.v0, u1=rect.u1, v1=rect.v1),
            )
        if is_river:
            _river(scene, palette, ends, gap)
        elif is_road:
            own: Dates = scene.flip(scene.churn.road) if depth else BOTH
            road(scene, palette, *ends, width, own, sealed=sealed or depth == 0)
            if rng.random() < 0.3:
                verge = width / 2 + 1.0
                p, q = ((u, v + verge) if along_u else (u + verge, v) for u, v in ends)
                tree_line(scene, p, q, BOTH, spacing=rng.uniform(7, 12), radius=rng.uniform(1.5, 2.8))
        elif rng.random() < 0.35:
            tree_line(
                scene,
                *ends,
                scene.flip(scene.churn.tree),
                spacing=rng.uniform(1.5, 4),
                radius=rng.uniform(1.2, 3),
            )
        todo += [(part, depth + 1) for part in parts]
    return done


def _river(
    scene: Scene, palette: Palette, ends: tuple[tuple[float, float], tuple[float, float]], gap: float
) -> None:
    """A winding river in the gap, its banks, and sometimes a bridge."""
    rng = scene.rng
    t = np.linspace(0, 1, 40)[:, None]
    start, end = np.asarray(ends[0]), np.asarray(ends[1])
    length = float(np.hypot(*(end - start)))
    across = np.array((-(end - start)[1], (end - start)[0])) / length
    sway = 0.15 * gap * np.sin(t * length / gap * rng.uniform(0.3, 0.8) + rng.uniform(0, 6))
    middle = start + t * (end - start)
    line = middle + across * sway
    width = 0.62 * gap
    scene.add(scene.frame.outline(middle), palette.scrub(), PATCH, width=1.1 * gap / scene.frame.gsd)
    if rng.random() < 0.5:
        scene.add(scene.frame.outline(line), palette.sand(), PATCH, width=(width + 3) / scene.frame.gsd)
    wobble = 1 + 0.12 * np.sin(t * 31 + rng.uniform(0, 6)) + 0.08 * np.sin(t * 57)
    edge = across * width * wobble / 2
    scene.add(scene.frame.outline(np.concatenate((line + edge, (line - edge)[::-1]))), palette.water(), WATER)
    for side in (-0.46, 0.46):
        if rng.random() < 0.6:
            p, q = start + across * side * gap, end + across * side * gap
            tree_line(
                scene,
                (p[0], p[1]),
                (q[0], q[1]),
                BOTH,
                spacing=rng.uniform(3, 9),
                radius=rng.uniform(1.8, 3.4),
            )
    if rng.random() < 0.6:
        at = start + rng.uniform(0.35, 0.65) * (end - start)
        p, q = at - across * 0.6 * gap, at + across * 0.6 * gap
        road(
            scene,
            palette,
            (p[0], p[1]),
            (q[0], q[1]),
            rng.uniform(6, 12),
            scene.flip(scene.churn.road),
            bridge=True,
        )


def _sea(scene: Scene, palette: Palette, half: float, changed: bool) -> float:
    """Open water beyond an uneven shore, with a beach; parts may be filled in or dredged.

    Returns:
        The v beyond which nothing is built.
    """
    rng, frame = scene.rng, scene.frame
    shore = rng.uniform(-0.25, 0.35) * half
    u = np.linspace(-half * 1.3, half * 1.3, 90)
    rough = sum(
        rng.uniform(0.2, 1) * 0.06 * half / k * np.sin(u * k * 3 / half + rng.uniform(0, 6.3))
        for k in (1, 2, 4, 7, 13)
    )

    def beyond(offset: float) -> list[float]:
        v = shore + rough + offset
        far = np.array(((half * 1.4, half * 3), (-half * 1.4, half * 3)))
        return frame.outline(np.concatenate((np.stack((u, v), 1), far)))

    beach = rng.uniform(0.02, 0.10) * half
    scene.add(beyond(-beach), palette.sand(), BRIDGE)
    scene.add(beyond(0.0), palette.water(), BRIDGE)
    shifted = changed and rng.random() < 0.55
    if shifted:
        centre = (rng.uniform(-0.4, 0.4) * half, shore + rng.uniform(0.0, 0.12) * half)
        size = (rng.uniform(0.25, 0.7) * half, rng.uniform(0.2, 0.45) * half)
        dates: Dates = (False, True) if rng.random() < 0.6 else (True, False)
        land = palette.sand() if rng.random() < 0.7 else palette.grass()
        if rng.random() < 0.5:
            scene.box(centre, size, land, BRIDGE, dates)
        else:
            scene.blob(centre, size, land, BRIDGE, dates, 0.4)
    return shore - 0.16 * half - beach
