"""How a scene is cut into tiles, each of which a model takes as one pair.

By default a tile is four times as wide as what the model decodes at once, and tiles overlap by a quarter of
that: just as the model's own squares do inside a tile. So all squares of a scene lie on one even grid as far
as its size allows, and the border of two tiles is no other than the border of two squares.
"""

from gateway.scenes.settings import MAX_TILE, SceneSettings
from gateway.tiling import Tiling
from reasoncd.errors import InvalidInputError

TILE_SQUARES = 4
OVERLAP_PART = 4


def scene_tiling(height: int, width: int, side: int, settings: SceneSettings) -> Tiling:
    """The tiles of a scene.

    Args:
        height: of the scene in pixels.
        width: of the scene in pixels.
        side: of what the model decodes at once, in pixels.
        settings: say otherwise than by default.

    Raises:
        InvalidInputError: the tile is no multiple of `side`, or the overlap leaves nothing of it.
    """
    tile = settings.tile
    if tile is None:
        tile = min(TILE_SQUARES, max(1, MAX_TILE // side)) * side
    if tile % side:
        raise InvalidInputError(f"tile is {tile} but must be a multiple of the model's {side} pixels")
    overlap = side // OVERLAP_PART if settings.overlap is None else settings.overlap
    if overlap > tile // 2:
        raise InvalidInputError(f"overlap is {overlap} but must be at most half the tile of {tile} pixels")
    return Tiling(height=height, width=width, side=tile, overlap=overlap)
