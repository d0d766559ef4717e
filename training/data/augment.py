"""What two acquisitions of one place differ in although nothing changed: viewpoint and light.

`View` places an output window over a source image (scale, rotation, mirror); both dates of a pair are cut
with the same view, one of them shifted by a little misregistration. `photometric` changes colour and
sharpness of one date. This module knows no labels beyond copying their pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from reasoncd.errors import InvalidInputError

U8 = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A rotated, scaled, possibly mirrored window over a source image."""

    center_x: float
    """Source column under the middle of the window, in pixels (pixel i covers i to i + 1)."""
    center_y: float
    """Source row under the middle of the window."""
    scale: float
    """Output pixels per source pixel; above 1 enlarges."""
    angle: float
    """Rotation in radians."""
    mirror: bool
    """Whether the window is mirrored left to right before the rotation."""

    def matrix(self) -> tuple[float, float, float, float]:
        """The (xx, xy, yx, yy) that take an output offset from the middle to a source offset."""
        # Rounded: quarter turns copy pixels exactly, and no machine's last digit decides a pixel.
        cos = round(float(np.cos(self.angle)) / self.scale, 12)
        sin = round(float(np.sin(self.angle)) / self.scale, 12)
        sign = -1.0 if self.mirror else 1.0
        return sign * cos, -sin, sign * sin, cos


def random_view(
    rng: np.random.Generator,
    *,
    source_hw: tuple[int, int],
    out_hw: tuple[int, int],
    scale: tuple[float, float],
    max_tilt: float = 0.0,
    near: tuple[float, float] | None = None,
    margin: float = 3.0,
) -> View:
    """Draw a view whose window lies inside the source.

    Args:
        rng: source of randomness.
        source_hw: height and width of the source image.
        out_hw: height and width of the output window.
        scale: lowest and highest scale, drawn log-uniformly; enlarged where the window would not fit.
        max_tilt: largest angle in radians beside the multiples of 90 degrees, drawn in half of the calls.
        near: (row, column) of the source to have in the window's middle as far as the border allows;
            any place where None.
        margin: source pixels kept free at the border, for misregistration.

    Raises:
        InvalidInputError: if the source is no larger than its margins.
    """
    if min(source_hw) <= 2 * margin + 1:
        raise InvalidInputError(
            f"source image of {source_hw[1]} x {source_hw[0]} pixels is too small; use larger tiles"
        )
    angle = float(rng.integers(4)) * np.pi / 2
    if max_tilt > 0 and rng.random() < 0.5:
        angle += rng.uniform(-max_tilt, max_tilt)
    cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
    reach_y, reach_x = out_hw[0] * cos + out_hw[1] * sin, out_hw[1] * cos + out_hw[0] * sin
    room_y, room_x = source_hw[0] - 2 * margin, source_hw[1] - 2 * margin
    drawn = float(np.exp(rng.uniform(np.log(scale[0]), np.log(scale[1]))))
    fitting = max(drawn, reach_y / room_y, reach_x / room_x)
    half_y, half_x = reach_y / fitting / 2 + margin, reach_x / fitting / 2 + margin
    low_y, high_y = half_y, max(source_hw[0] - half_y, half_y)
    low_x, high_x = half_x, max(source_hw[1] - half_x, half_x)
    if near is None:
        center_y, center_x = rng.uniform(low_y, high_y), rng.uniform(low_x, high_x)
    else:
        center_y, center_x = np.clip(near[0] + 0.5, low_y, high_y), np.clip(near[1] + 0.5, low_x, high_x)
    return View(
        center_x=float(center_x),
        center_y=float(center_y),
        scale=fitting,
        angle=angle,
        mirror=bool(rng.random() < 0.5),
    )


def cut(array: U8, view: View, out_hw: tuple[int, int], *, shift: tuple[float, float] = (0.0, 0.0)) -> U8:
    """Resample a view of an image (bilinear) or of a label map (nearest).

    Args:
        array: uint8 (H, W, 3) image or (H, W) label map.
        view: the window.
        out_hw: height and width of the output.
        shift: output pixels (rows, columns) that the content moves up and left, the misregistration.

    Returns:
        uint8 (h, w, 3) or (h, w); what lies outside the source is 0.
    """
    xx, xy, yx, yy = view.matrix()
    height, width = out_hw
    reach_y = (abs(yx) * (width / 2 + abs(shift[1])) + abs(yy) * (height / 2 + abs(shift[0]))) + 2
    reach_x = (abs(xx) * (width / 2 + abs(shift[1])) + abs(xy) * (height / 2 + abs(shift[0]))) + 2
    top, left = max(0, int(view.center_y - reach_y)), max(0, int(view.center_x - reach_x))
    window = array[top : int(view.center_y + reach_y) + 1, left : int(view.center_x + reach_x) + 1]
    off_x, off_y = shift[1] - width / 2, shift[0] - height / 2
    start_x = view.center_x - left + xx * off_x + xy * off_y
    start_y = view.center_y - top + yx * off_x + yy * off_y
    out = Image.fromarray(np.ascontiguousarray(window)).transform(
        (width, height),
        Image.Transform.AFFINE,
        (xx, xy, start_x, yx, yy, start_y),
        resample=Image.Resampling.BILINEAR if array.ndim == 3 else Image.Resampling.NEAREST,
    )
    return np.asarray(out, dtype=np.uint8)


def random_shift(rng: np.random.Generator, limit: float) -> tuple[float, float]:
    """A misregistration (rows, columns) of at most `limit` pixels; none in a third of the calls."""
    if rng.random() < 1 / 3:
        return 0.0, 0.0
    length, heading = rng.uniform(0, limit), rng.uniform(0, 2 * np.pi)
    return float(length * np.sin(heading)), float(length * np.cos(heading))


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotometricConfig:
    """How far the light, the sensor and the season of one date may stray."""

    gain: float = 0.25
    """Largest log-gain shared by the channels; each channel strays by another quarter of it."""
    bias: float = 12.0
    """Largest offset of a channel, in grey levels."""
    gamma: float = 0.3
    """Largest log-gamma."""
    haze: float = 0.25
    """Largest share of haze; it may grow over the image."""
    noise: float = 5.0
    """Largest standard deviation of the noise, in grey levels."""
    blur: float = 1.1
    """Largest standard deviation of the blur, in pixels."""
    season: float = 0.2
    """Largest log-gain between red and green on green pixels."""

    def __post_init__(self) -> None:
        for name in ("gain", "bias", "gamma", "haze", "noise", "blur", "season"):
            value = getattr(self, name)
            if not 0 <= value < 256:
                raise InvalidInputError(f"photometric {name} is {value}; give a number from 0 to below 256")


def photometric(image: U8, rng: np.random.Generator, config: PhotometricConfig) -> U8:
    """The same ground in another light.

    Args:
        image: uint8 (H, W, 3).
        rng: source of randomness.
        config: how far to stray; with all zero the image comes back unchanged.

    Returns:
        A new uint8 (H, W, 3).
    """
    picture = Image.fromarray(image)
    if rng.random() < 0.35:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, config.blur)))
    if rng.random() < 0.4:
        picture = Image.fromarray(_season(np.asarray(picture), rng.uniform(-config.season, config.season)))
    picture = picture.point(_tone_table(rng, config, np.asarray(picture)))
    out = np.asarray(picture)
    hazy, noisy = rng.random() < 0.3, rng.random() < 0.6
    if not (hazy or noisy):
        return out.copy()
    pixels = out.astype(np.float32)
    if hazy:
        pixels = _add_haze(pixels, rng, config.haze)
    if noisy:
        pixels += rng.uniform(0, config.noise) * rng.standard_normal(pixels.shape, dtype=np.float32)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _tone_table(rng: np.random.Generator, config: PhotometricConfig, image: U8) -> list[int]:
    """Gain, offset and gamma of the three channels as one table of 3 x 256 entries."""
    bright = float(np.percentile(image[::8, ::8], 85))
    shared = rng.uniform(-config.gain, config.gain)
    gains = np.exp(shared + rng.uniform(-config.gain, config.gain, 3) / 4)
    offsets = rng.uniform(-config.bias, config.bias) + rng.uniform(-config.bias, config.bias, 3) / 3
    power = np.exp(rng.uniform(-config.gamma, config.gamma))
    levels = np.linspace(0, 1, 256) ** power * 255
    table = gains[:, None] * levels[None, :] + offsets[:, None]
    # An overexposed image hides its land cover: bright parts stay below the limit of the sensor.
    highest = float(table[:, int(bright)].max())
    table *= min(1.0, max(bright, 230.0) / max(highest, 1.0))
    return [int(v) for v in np.clip(np.rint(table), 0, 255).ravel()]


def _season(image: U8, tint: float) -> U8:
    """Make green pixels browner (`tint` above 0) or greener; by colour, since labels would draw a seam."""
    pixels = image.astype(np.float32)
    green = np.clip((pixels[..., 1] - (pixels[..., 0] + pixels[..., 2]) / 2 - 2) / 14, 0, 1)
    pixels[..., 0] *= 1 + green * np.float32(np.expm1(tint))
    pixels[..., 1] *= 1 + green * np.float32(np.expm1(-tint / 3))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _add_haze(pixels: NDArray[np.float32], rng: np.random.Generator, limit: float) -> NDArray[np.float32]:
    height, width = pixels.shape[:2]
    rows = np.linspace(0, rng.uniform(-0.5, 0.5), height, dtype=np.float32)[:, None]
    columns = np.linspace(0, rng.uniform(-0.5, 0.5), width, dtype=np.float32)[None, :]
    share = np.clip(rng.uniform(0, limit) * (1 + rows + columns), 0, 1)[..., None]
    airlight = np.asarray(rng.uniform(170, 230) + rng.uniform(-8, 8, 3), dtype=np.float32)
    return np.asarray(pixels * (1 - share) + airlight * share, dtype=np.float32)
