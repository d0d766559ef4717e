"""Draws one date of a scene: land cover codes, and the light that leaves the ground.

All shapes are drawn as numbers into one image at twice the resolution; colour, class, height and
texture are then looked up by number, so that image and labels cannot disagree. Trees are a
height field of their own, shaded by its slope; shadows of all heights are cast along one sun.
"""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from training.data.labels import LandCover
from training.data.scene_light import Floats, Light, slope_shade, sunlit
from training.data.scene_model import CAR, Colour, Dome, Scene, Shape, Surface
from training.data.scene_palette import Palette

_STRAW: Colour = (0.60, 0.53, 0.36)
_SHALLOW: Colour = (0.36, 0.38, 0.30)
_CROWN_EDGE = 0.9
"""Metres of crown height at which a pixel counts as tree; below it the ground shows through."""


class Texture:
    """Random fields in several grain sizes; ground texture partly persists between dates.

    Args:
        rng: source of randomness.
        side: canvas side in pixels.
        base: the fields of the other date; two thirds of the variance are taken over from it.
    """

    def __init__(self, rng: np.random.Generator, side: int, base: "Texture | None" = None) -> None:
        def field(scale: float, old: Floats | None) -> Floats:
            cells = max(4, round(side / scale))
            noise = rng.standard_normal((cells, cells), dtype=np.float32)
            if scale > 1:
                noise = np.asarray(Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC))
                noise = noise / np.float32(noise.std() + 1e-6)
            return noise if old is None else np.float32(0.8) * old + np.float32(0.6) * noise

        self.grain = field(1.0, None)
        # Two sizes that share no grid line: one alone shows the lattice that it was drawn on.
        mottle = np.float32(0.7) * (field(2.7, None) + field(6.3, None))
        self.mottle: Floats = (
            mottle if base is None else np.float32(0.8) * base.mottle + np.float32(0.6) * mottle
        )
        # Crowns keep their outline, or labels would differ where nothing changed.
        self.crown: Floats = (
            np.float32(0.16) * mottle + np.float32(0.14) * self.grain if base is None else base.crown
        )
        self.drift: Floats = field(24.0, base.drift if base else None)
        self.wide: Floats = field(70.0, base.wide if base else None)


def draw_date(
    scene: Scene, palette: Palette, date: int, light: Light, texture: Texture, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.uint8]]:
    """Draw the scene at one date.

    Args:
        scene: the place.
        palette: its materials, for cars.
        date: 0 or 1.
        light: sun and season of the date.
        texture: random fields of the date, of the canvas's size.
        rng: source of what else is transient.

    Returns:
        Light float32 (S, S, 3), about [0, 1], and uint8 (S, S) `LandCover` codes.
    """
    side = scene.frame.side
    shapes = sorted((s for s in scene.shapes if s.dates[date]), key=lambda s: s.layer)
    canvas = Image.new("I", (2 * side, 2 * side), 0)
    _number(canvas, shapes, first=0)
    land_of = np.array([s.surface.land for s in shapes], dtype=np.uint8)
    land = land_of[np.asarray(canvas)[1::2, 1::2]]
    cars = _cars(scene, palette, land, rng)
    _number(canvas, cars, first=len(shapes))
    ids_fine = np.asarray(canvas)
    shapes += cars
    ids = ids_fine[1::2, 1::2]

    colours = _colours(shapes, light, rng)
    fine = Image.fromarray(colours[ids_fine])
    rgb = np.asarray(fine.reduce(2), dtype=np.float32) * np.float32(1 / 255)
    tint = _roughen(rgb, shapes, ids, texture)
    rgb *= tint[..., None]
    _wet(rgb, land == LandCover.WATER, light, texture, rng)

    height = np.array([s.height for s in shapes], dtype=np.float32)[ids]
    heaps = _domes(scene.heaps, date, side)
    if heaps is not None:
        rgb *= slope_shade(heaps, light, scene.frame.gsd, 0.9)[..., None]
    crowns = _domes(_rooted(scene, land), date, side)
    if crowns is not None:
        _plant(rgb, land, height, crowns, scene, light, texture)
    lit = sunlit(height, light, scene.frame.gsd)
    lit = light.shade + (1 - light.shade) * lit
    # Shadows are lit by the sky: bluer than the sun's side.
    rgb *= np.stack((lit, 0.03 + 0.97 * lit, 0.10 + 0.90 * lit), -1)
    return rgb, land


def _number(canvas: Image.Image, shapes: list[Shape], first: int) -> None:
    draw = ImageDraw.Draw(canvas)
    for i, shape in enumerate(shapes, first):
        outline = [2.0 * c for c in shape.outline]
        if shape.width:
            draw.line(
                outline,
                fill=i,
                width=max(1, round(2 * shape.width)),
                joint="curve" if shape.width > 3 else None,
            )
        else:
            draw.polygon(outline, fill=i)


def _cars(scene: Scene, palette: Palette, land: NDArray[np.uint8], rng: np.random.Generator) -> list[Shape]:
    """Cars on sealed ground; transient, so their pixels keep the class beneath."""
    gsd, side = scene.frame.gsd, scene.frame.side
    dice = rng.random((len(scene.parking), 3))
    cars = []
    for (x, y, heading, chance), (stands, long, shift) in zip(scene.parking, dice.tolist(), strict=True):
        x, y = x + (shift - 0.5) / gsd, y + (shift - 0.5) / gsd
        if stands > chance or not (0 <= x < side and 0 <= y < side) or land[int(y), int(x)] != LandCover.ROAD:
            continue
        length, width = (4.0 + long) / gsd / 2, 1.85 / gsd / 2
        c, s = math.cos(heading), math.sin(heading)
        body = palette.car()
        parts = [(-1.0, 1.0, body)]
        if gsd < 0.45:
            glass = palette.shade(body, 0.3)
            parts += [(-0.75, -0.6, glass), (0.2, 0.45, glass)]
        for low, high, surface in parts:
            corners = (
                (low * length, -width),
                (high * length, -width),
                (high * length, width),
                (low * length, width),
            )
            outline = [v for a, b in corners for v in (x + c * a - s * b, y + s * a + c * b)]
            cars.append(Shape(outline, surface, CAR, height=1.5))
    return cars


def _colours(shapes: list[Shape], light: Light, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One colour per shape, 0-255: its own, moved by season, roof slope and a little chance."""
    base = np.array([s.surface.colour for s in shapes], dtype=np.float32)
    season = np.array([s.surface.season for s in shapes], dtype=np.float32)[:, None]
    straw = np.array(_STRAW, dtype=np.float32) * (0.55 + 0.9 * base.mean(1, keepdims=True))
    dry = season * (1.0 - light.green)
    base = base * (1 - dry) + straw * dry
    flat = math.sin(light.elevation)
    tilt = math.radians(27.0)
    facing = np.array(
        [
            1.0
            if s.aspect is None
            else math.cos(tilt)
            + math.sin(tilt) * math.cos(light.elevation) / flat * math.cos(s.aspect - light.azimuth)
            for s in shapes
        ],
        dtype=np.float32,
    )
    bright = light.shade + (1 - light.shade) * np.clip(facing, 0.0, 1.6)
    wobble = 1 + (0.02 + 0.10 * season) * rng.standard_normal((len(shapes), 1), dtype=np.float32)
    colours: NDArray[np.uint8] = np.clip(base * bright[:, None] * wobble * 255, 0, 255).astype(np.uint8)
    return colours


def _roughen(rgb: Floats, shapes: list[Shape], ids: NDArray[np.int32], texture: Texture) -> Floats:
    """Texture of every surface as one brightness factor; the drift of hue is applied in place."""
    table = np.array(
        [
            (s.surface.grain, s.surface.mottle, s.surface.drift, s.surface.hue, *_wave(s.surface))
            for s in shapes
        ],
        dtype=np.float32,
    ).T
    tint: Floats = 1 + table[0][ids] * texture.grain
    tint += table[1][ids] * texture.mottle
    tint += table[2][ids] * (np.float32(0.75) * texture.drift + np.float32(0.65) * texture.wide)
    used = np.unique(ids)
    if table[4][used].any():
        row = np.arange(ids.shape[0], dtype=np.float32)
        phase = table[5][ids] * row[None, :] + table[6][ids] * row[:, None] + np.float32(0.5) * texture.drift
        tint += table[4][ids] * np.sin(phase) * (1 + np.float32(0.4) * texture.mottle)
    if table[3][used].any():
        hue = table[3][ids] * (texture.wide + np.float32(0.5) * texture.mottle)
        rgb[..., 0] *= 1 + np.float32(0.35) * hue
        rgb[..., 1] *= 1 + np.float32(0.12) * hue
        rgb[..., 2] *= 1 - np.float32(0.15) * hue
    return np.clip(tint, 0.3, 1.8, out=tint)


def _wave(surface: Surface) -> tuple[float, float, float]:
    amplitude, period, angle = surface.stripes
    k = 2 * math.pi / period
    return amplitude, k * math.cos(angle), k * math.sin(angle)


def _wet(
    rgb: Floats, wet: NDArray[np.bool_], light: Light, texture: Texture, rng: np.random.Generator
) -> None:
    """Shallow margins, waves and glint on water, in place."""
    if not wet.any():
        return
    depth = ndimage.uniform_filter(wet.astype(np.float32), 13)
    shallow = np.where(wet, np.clip(1.25 - depth, 0, 1) * 0.7 * (1 + 0.3 * texture.drift), 0).clip(0, 0.6)
    rgb += shallow[..., None] * (np.array(_SHALLOW, dtype=np.float32) - rgb)
    spots = wet & (rng.random(wet.shape, dtype=np.float32) < light.glint * np.clip(1 + texture.wide, 0, 3))
    rgb[spots] += rng.uniform(0.1, 0.6)


_NO_ROOT = np.isin(np.arange(len(LandCover)), (LandCover.WATER, LandCover.BUILDING, LandCover.PLAYGROUND))


def _rooted(scene: Scene, land: NDArray[np.uint8]) -> list[Dome]:
    """The trees that can stand: none in water, in houses, on courts or in the middle of a carriageway."""
    if not scene.trees:
        return []
    reach = 3.0 / scene.frame.gsd
    at = np.array([(tree.y, tree.x) for tree in scene.trees])
    around = [
        land[tuple(np.clip(at + np.array((dy, dx)), 0, land.shape[0] - 1).astype(np.intp).T)]
        for dy, dx in ((0.0, 0.0), (reach, 0.0), (-reach, 0.0), (0.0, reach), (0.0, -reach))
    ]
    bad = _NO_ROOT[around[0]] | np.all([codes == LandCover.ROAD for codes in around], axis=0)
    return [tree for tree, no in zip(scene.trees, bad.tolist(), strict=True) if not no]


def _domes(domes: list[Dome], date: int, side: int) -> Floats | None:
    """The height field of crowns or heaps in metres, float32 (S, S); None where there are none."""
    present = [d for d in domes if d.dates[date]]
    if not present:
        return None
    image = Image.new("L", (2 * side, 2 * side), 0)
    draw = ImageDraw.Draw(image)
    # Rings of all crowns from the lowest up: the image ends as their maximum.
    for share, lift in ((1.0, 0.5), (0.72, 0.8), (0.4, 1.0)):
        for d in present:
            x, y, r = 2 * d.x, 2 * d.y, 2 * d.radius * share
            if r >= 0.7:
                draw.ellipse(
                    (x - r, y - r, x + r, y + r),
                    fill=max(1, int(d.height * lift * (7.6 + 4 * d.tone * lift))),
                )
    return np.asarray(image.reduce(2), dtype=np.float32) * np.float32(0.1)


def _plant(
    rgb: Floats,
    land: NDArray[np.uint8],
    height: Floats,
    crowns: Floats,
    scene: Scene,
    light: Light,
    texture: Texture,
) -> None:
    """Lay the crowns over ground, labels and heights, in place."""
    rough = crowns * (1 + texture.crown)
    soft = np.asarray(ndimage.uniform_filter(rough, 3), dtype=np.float32)
    soft = np.where(crowns > 0, np.float32(0.5) * (soft + rough), soft)
    alpha = np.clip((soft - np.float32(0.5 * _CROWN_EDGE)) / np.float32(_CROWN_EDGE), 0, 1)
    leaf = np.array(scene.leaf, dtype=np.float32)
    turned = leaf * (1 - light.autumn) + np.array((0.42, 0.32, 0.18), dtype=np.float32) * light.autumn
    bare = 0.6 * (1 - light.green) ** 2
    turned = turned * (1 - bare) + np.array((0.34, 0.30, 0.25), dtype=np.float32) * bare
    shade = slope_shade(soft, light, scene.frame.gsd, 0.55)
    shade *= 1 + np.float32(0.10) * texture.grain + np.float32(0.10) * texture.mottle
    shade *= np.float32(0.72) + np.float32(0.035) * np.minimum(soft, 12)
    hue = 1 + np.float32(0.10) * texture.drift[..., None] * np.array((1.0, 0.6, -0.3), dtype=np.float32)
    rgb += alpha[..., None] * (turned * hue * shade[..., None] - rgb)
    tree = alpha >= 0.5
    land[tree] = LandCover.TREE
    np.maximum(height, soft * (alpha > 0.3), out=height)
