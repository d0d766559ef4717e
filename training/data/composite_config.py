"""How composites are drawn: shares, scales and limits, without any code that draws."""

from dataclasses import dataclass, field

from reasoncd.errors import InvalidInputError
from training.data.augment import PhotometricConfig

_SHARES = ("unchanged", "footprint_base", "label_shaped", "removal", "bystander", "plausible", "color_match")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompositeConfig:
    """How composites are drawn."""

    scale: tuple[float, float] = (0.6, 1.6)
    """Output pixels per source pixel, lowest and highest."""
    footprint_scale: tuple[float, float] = (0.35, 1.1)
    """The same for footprint tiles, which have a finer ground resolution."""
    max_tilt: float = 0.35
    """Largest angle in radians beside the multiples of 90 degrees."""
    misregistration: float = 2.0
    """Largest offset between the dates, in pixels."""
    unchanged: float = 0.18
    """Share of the pairs without any change of land cover."""
    footprint_base: float = 0.1
    """Share of the pairs on a footprint tile, where such tiles are given."""
    paste_counts: tuple[float, ...] = (0.25, 0.3, 0.25, 0.1, 0.1)
    """Chances of 1, 2, ... pasted regions in a pair with change."""
    label_shaped: float = 0.6
    """Share of the pasted regions that are shaped by labels."""
    removal: float = 0.35
    """Share of the label-shaped regions that cover an object of the base with other ground."""
    bystander: float = 0.3
    """Chance of one more paste that changes no label in a pair with change."""
    plausible: float = 0.7
    """Share of the pastes that keep to ground which the class replaces in life."""
    largest: float = 0.15
    """Largest region, as a share of the pair's area."""
    feather: float = 4.0
    """Widest soft edge of a pasted region, in pixels; 0.5 opacity decides the label."""
    color_match: float = 0.6
    """Share of the pasted regions whose colours are moved towards those of the base."""
    photometric: PhotometricConfig = field(default_factory=PhotometricConfig)
    """The light of each date."""

    def __post_init__(self) -> None:
        for name in _SHARES:
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InvalidInputError(f"composite {name} is {value}; give a share from 0 to 1")
        for name in ("scale", "footprint_scale"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise InvalidInputError(f"composite {name} is {low} to {high}; give rising numbers above 0")
        if not 0 < self.largest <= 1:
            raise InvalidInputError(f"composite largest is {self.largest}; give a share above 0, up to 1")
        if not self.paste_counts or min(self.paste_counts) < 0 or abs(sum(self.paste_counts) - 1) > 1e-6:
            raise InvalidInputError("composite paste_counts must be chances that sum to 1")
        for name in ("misregistration", "feather"):
            if not 0 <= getattr(self, name) <= 8:
                raise InvalidInputError(f"composite {name} is {getattr(self, name)}; give 0 to 8 pixels")
