"""What fills a block in the open: fields, woods, water, dirt, building sites.

A fill covers a rectangle with ground and things, all standing at the given dates.
"""

import math
from itertools import pairwise

import numpy as np

from training.data.scene_buildings import building
from training.data.scene_model import DETAIL, GROUND, PATCH, Dates, Rect, Scene
from training.data.scene_nature import grove, heaps, pond, tree_line
from training.data.scene_palette import Palette


def fill_crop(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Fields under crop, in one or a few strips."""
    _strips(scene, palette, block, dates, bare=0.0)


def fill_ploughed(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Bare fields."""
    _strips(scene, palette, block, dates, bare=1.0)


def _strips(scene: Scene, palette: Palette, block: Rect, dates: Dates, bare: float) -> None:
    rng, gsd = scene.rng, scene.frame.gsd
    edge = palette.scrub() if rng.random() < 0.5 else palette.grass()
    scene.area(block, edge, GROUND, dates)
    inner = block.shrink(rng.uniform(0.0, 2.5))
    cuts = sorted([0.0, 1.0, *(rng.uniform(0.1, 0.9) for _ in range(rng.choice((0, 0, 1, 2))))])
    for a, b in pairwise(cuts):
        part = Rect(u0=inner.u0 + a * inner.width, v0=inner.v0, u1=inner.u0 + b * inner.width, v1=inner.v1)
        surface = palette.furrows(gsd) if rng.random() < bare else palette.crop(gsd)
        scene.area(part, surface, PATCH, dates)
    if rng.random() < 0.35:
        radius = rng.uniform(1.2, 3.5)
        own = scene.flip(scene.churn.tree, dates)
        tree_line(scene, (block.u0, block.v1), (block.u1, block.v1), own, spacing=1.6 * radius, radius=radius)


def fill_meadow(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Grassland with bushes and single trees."""
    rng = scene.rng
    scene.area(block, palette.grass() if rng.random() < 0.6 else palette.scrub(), GROUND, dates)
    for _ in range(rng.randint(0, 3)):
        at = (rng.uniform(block.u0, block.u1), rng.uniform(block.v0, block.v1))
        surface = palette.scrub() if rng.random() < 0.75 else palette.soil()
        scene.blob(
            at,
            (0.35 * block.width * rng.random(), 0.35 * block.depth * rng.random()),
            surface,
            PATCH,
            dates,
            0.5,
        )
    grove(
        scene,
        block,
        dates,
        spacing=rng.uniform(9, 16),
        keep=rng.uniform(0.0, 0.3),
        radius=rng.uniform(1.4, 3.0),
    )


def fill_wood(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Closed or open woodland."""
    rng = scene.rng
    scene.area(block, palette.scrub(), GROUND, dates)
    radius = rng.uniform(2.4, 4.2)
    dense = rng.random() < 0.7
    grove(
        scene,
        block,
        dates,
        spacing=radius * (1.45 if dense else 2.3),
        keep=0.97 if dense else 0.6,
        radius=radius,
    )


def fill_orchard(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Planted rows of trees over grass or soil."""
    rng = scene.rng
    scene.area(
        block, palette.grass() if rng.random() < 0.6 else palette.furrows(scene.frame.gsd), GROUND, dates
    )
    radius = rng.uniform(1.3, 2.8)
    grove(
        scene,
        block.shrink(1.5),
        dates,
        spacing=radius * rng.uniform(2.1, 3.0),
        keep=0.95,
        radius=radius,
        neat=True,
    )


def fill_bare(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Open dirt: stains, tyre tracks, a few weeds."""
    rng = scene.rng
    scene.area(block, palette.soil(), GROUND, dates)
    inner = block.shrink(0.12 * min(block.width, block.depth))
    for _ in range(rng.randint(1, 4)):
        at = (rng.uniform(inner.u0, inner.u1), rng.uniform(inner.v0, inner.v1))
        surface = (
            palette.scrub() if rng.random() < 0.25 else palette.shade(palette.soil(), rng.uniform(0.75, 1.15))
        )
        size = (0.4 * block.width * rng.random(), 0.4 * block.depth * rng.random())
        scene.blob(at, size, surface, PATCH, dates, 0.6)
    for _ in range(rng.randint(0, 4)):
        t = np.linspace(0, 1, 10)
        bow = 0.2 * block.depth * np.sin(math.pi * t * rng.uniform(0.5, 2)) * rng.uniform(-1, 1)
        v = block.v0 + block.depth * (rng.random() * (1 - t) + rng.random() * t) + bow
        line = np.stack((block.u0 + t * block.width, np.clip(v, block.v0, block.v1)), 1)
        trail = palette.shade(palette.soil(), rng.choice((0.82, 0.9, 1.12)))
        scene.add(
            scene.frame.outline(line), trail, DETAIL, dates, width=rng.uniform(1.0, 3.5) / scene.frame.gsd
        )


def fill_site(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """A building site: dirt, heaps, containers, sometimes a shell under construction."""
    rng = scene.rng
    fill_bare(scene, palette, block, dates)
    inner = block.shrink(3.0)
    heaps(scene, inner, dates, min(9, int(rng.random() * (2 + inner.width * inner.depth / 300))))
    if rng.random() < 0.4:
        shell = inner.shrink(rng.uniform(0.1, 0.3) * min(inner.width, inner.depth))
        if min(shell.width, shell.depth) > 6 and max(shell.width, shell.depth) < 60:
            building(scene, palette, shell, dates, kind="flat", height=rng.uniform(2, 10))


def fill_sand(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Desert: sand and a few shrubs."""
    rng = scene.rng
    scene.area(block, palette.sand(), GROUND, dates)
    grove(scene, block, dates, spacing=rng.uniform(5, 12), keep=rng.choice((0.0, 0.05, 0.2)), radius=1.2)


def fill_basin(scene: Scene, palette: Palette, block: Rect, dates: Dates) -> None:
    """Mostly water: a lake, pond or reservoir."""
    rng = scene.rng
    scene.area(block, palette.grass() if rng.random() > palette.arid else palette.soil(), GROUND, dates)
    k = rng.uniform(0.6, 0.95)
    pond(scene, palette, block.centre, (k * block.width, k * block.depth), dates)
    if rng.random() < 0.5:
        tree_line(scene, (block.u0, block.v0), (block.u1, block.v0), dates, spacing=5, radius=2.4)
