"""What sets of single pictures have in common: cutting whole pairs into tiles, and their options."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reasoncd.errors import InvalidInputError
from training.data.parts import Part
from training.data.prepare.layout import FilesOfPair
from training.data.prepare.pair import U8, PreparedPair, Question
from training.data.prepare.tiles import Tile, check_tile, tiles_of


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderSetConfig:
    """How a set of single pictures is prepared."""

    tile: int | None = None
    """Side of the tiles that pictures are cut into, in pixels; None keeps them whole."""
    seed: int = 0
    """Of what is split by chance and of the choice of what the sheets show."""
    partial: bool = False
    """Whether fewer pairs than the published ones are taken."""
    sheet_rows: int = 16
    """Samples on the contact sheets of each part; 0 for no sheets."""

    def __post_init__(self) -> None:
        check_tile(self.tile)
        for name in ("seed", "sheet_rows"):
            if getattr(self, name) < 0:
                raise InvalidInputError(f"{name} is {getattr(self, name)}; give 0 or more")


def split_rule(
    pairs: Sequence[FilesOfPair], seed: int, *, grouped: str = "Pictures, with all their tiles,"
) -> str:
    """How the parts of a set come about, in words; `grouped` says what stays together."""
    parts = {pair.part for pair in pairs}
    if parts == {None}:
        return f"{grouped} dealt 8:1:1 by chance (seed {seed})."
    if "validation" not in parts:
        return f"As published; validation is a tenth of the published training part (seed {seed})."
    return "As published."


def tiles_to_write(height: int, width: int, side: int | None) -> Iterator[tuple[str, Tile | None]]:
    """The tiles of a picture with what is put behind its name; one None where it stays whole."""
    if side is None or (height, width) == (side, side):
        yield "", None
        return
    for tile in tiles_of(height, width, side):
        yield f"_y{tile.top:05}_x{tile.left:05}", tile


def binary_tiles(
    name: str, group: str, part: Part | None, image_t1: U8, image_t2: U8, side: int | None, question: Question
) -> Iterator[PreparedPair]:
    """A pair with one question, cut into tiles.

    Args:
        name: of the pair; tiles add their place.
        group: what must stay in one part.
        part: as published.
        image_t1: (H, W, 3).
        image_t2: (H, W, 3).
        side: of the tiles; None keeps the pair whole.
        question: about the whole pair.
    """
    for place, tile in tiles_to_write(question.mask.shape[0], question.mask.shape[1], side):
        mask = question.mask if tile is None else tile.mask(question.mask)
        asked = Question(
            mask=mask,
            words=question.words,
            answer=question.answer,
            target=question.target,
            level="E0" if (mask == 1).any() else None,
        )
        yield PreparedPair(
            name=name + place,
            group=group,
            part=part,
            image_t1=image_t1 if tile is None else tile.cut(image_t1),
            image_t2=image_t2 if tile is None else tile.cut(image_t2),
            questions=(asked,),
        )
