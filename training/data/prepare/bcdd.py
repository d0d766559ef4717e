"""BCDD, the WHU building change set: one scene of 32,507 x 15,354 pixels a date, cut into tiles of 256.

    SOURCE/before/before.tif    SOURCE/after/after.tif    SOURCE/change label/change_label.tif

As in the paper, tiles that would reach over the edge are left out: 126 x 59 = 7,434 tiles. Tiles are split
in two ways at once: at random 8:1:1, as the paper does, where neighbours of a test tile are in training, and
by place, in three bands with a gap between them. Scenes are read in bands of rows and never whole.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reasoncd.errors import InvalidInputError, NotFoundError
from reasoncd.ontology import TARGET_BY_KEY
from training.data.mask_files import truth_of_grey
from training.data.parts import Part, bands, eight_one_one
from training.data.prepare.pair import (
    PAPER_ANSWER,
    Dropped,
    PreparedPair,
    Progress,
    SetDescription,
    binary_question,
    unwatched,
)
from training.data.prepare.record import SetRecord
from training.data.prepare.scene_files import SceneFile, open_scene
from training.data.prepare.tiles import check_tile
from training.data.prepare.writer import check_output, write_set

PUBLISHED_SIZE = (32507, 15354)
"""Width and height of both scenes."""
SCENE_FILES = ("before/before.tif", "after/after.tif", "change label/change_label.tif")
QUESTION = "Building"
"""The paper asks this of every tile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BcddConfig:
    """How BCDD is prepared."""

    tile: int = 256
    """Side of a tile in pixels."""
    gap: int = 1
    """Tiles left out between two parts of the split by place."""
    seed: int = 0
    """Of the random split and of the choice of what the sheets show."""
    partial: bool = False
    """Whether scenes of another size than the published one are taken."""
    sheet_rows: int = 16
    """Samples on the contact sheets of each part; 0 for no sheets."""

    def __post_init__(self) -> None:
        check_tile(self.tile)
        for name, least in (("gap", 1), ("seed", 0), ("sheet_rows", 0)):
            if getattr(self, name) < least:
                raise InvalidInputError(f"{name} is {getattr(self, name)}; give {least} or more")


def prepare_bcdd(
    source: Path, out: Path, config: BcddConfig | None = None, *, on_progress: Progress = unwatched
) -> SetRecord:
    """Cut, split and write BCDD.

    Args:
        source: the folder that holds `before/`, `after/` and `change label/`.
        out: is made; must not hold anything yet.
        config: how.
        on_progress: is told the rows of tiles done.

    Returns:
        What was written.

    Raises:
        NotFoundError: a file is not there.
        CorruptDataError: a file cannot be read.
        InvalidInputError: sizes, bands, depths or label values are not what they must be.
        OutputError: `out` is there already or cannot be written.
    """
    config = config or BcddConfig()
    check_output(out)
    paths = [_found(source, name) for name in SCENE_FILES]
    with ExitStack() as opened:
        first = opened.enter_context(open_scene(paths[0], bands=3))
        second = opened.enter_context(open_scene(paths[1], bands=3))
        label = opened.enter_context(open_scene(paths[2], bands=1))
        _check_sizes(first, second, label, config)
        rows, columns = first.height // config.tile, first.width // config.tile
        # Before hours of cutting, not after them.
        across = columns >= rows
        places = bands(columns if across else rows, config.gap)

        def split(record: SetRecord) -> Mapping[str, Mapping[str, Part]]:
            names = list(record.groups)
            by_place = {name: places[_place(name)[across]] for name in names}
            return {
                "random": eight_one_one(names, seed=config.seed),
                "spatial": {name: part for name, part in by_place.items() if part is not None},
            }

        return write_set(
            out,
            _description(config, across=across),
            _tiles(first, second, label, config.tile, on_progress),
            split,
            sheet_rows=config.sheet_rows,
            seed=config.seed,
        )


def _found(source: Path, name: str) -> Path:
    if not source.is_dir():
        raise NotFoundError(f"{source} is no folder; name the folder of the unpacked set")
    path = source / name
    if not path.is_file():
        wanted = ", ".join(SCENE_FILES)
        raise NotFoundError(f"{path} is not there; name the folder that holds {wanted}")
    return path


def _check_sizes(first: SceneFile, second: SceneFile, label: SceneFile, config: BcddConfig) -> None:
    for other in (second, label):
        if (other.width, other.height) != (first.width, first.height):
            raise InvalidInputError(
                f"{other.path} is {other.width} x {other.height} pixels but {first.path} {first.width} x "
                f"{first.height}; fetch both files again"
            )
    if (first.width, first.height) != PUBLISHED_SIZE and not config.partial:
        width, height = PUBLISHED_SIZE
        raise InvalidInputError(
            f"{first.path} is {first.width} x {first.height} pixels, the published scene {width} x {height}; "
            "fetch it again, or add --partial to go on with this one"
        )


def _tiles(
    first: SceneFile, second: SceneFile, label: SceneFile, side: int, on_progress: Progress
) -> Iterator[PreparedPair | Dropped]:
    rows, columns = first.height // side, first.width // side
    cut_off = -(-first.height // side) * -(-first.width // side) - rows * columns
    if cut_off:
        yield Dropped(reason="tiles that reach over the edge of the scene", count=cut_off)
    for row in range(rows):
        top = row * side
        image_t1, image_t2 = (scene.rows(top, side, bands=3) for scene in (first, second))
        truth = truth_of_grey(label.rows(top, side, bands=1), f"{label.path}, rows {top}-{top + side - 1},")
        for column in range(columns):
            here = slice(column * side, (column + 1) * side)
            one, two, mask = (np.ascontiguousarray(a[:, here]) for a in (image_t1, image_t2, truth))
            if not one.any() or not two.any():
                yield Dropped(reason="tiles that are black at a date")
                continue
            name = f"r{row:03}_c{column:03}"
            question = binary_question(
                mask, TARGET_BY_KEY["building.change"], words=QUESTION, answer=PAPER_ANSWER
            )
            yield PreparedPair(
                name=name, group=name, part=None, image_t1=one, image_t2=two, questions=(question,)
            )
        on_progress(row + 1, rows)


def _place(name: str) -> tuple[int, int]:
    """Row and column of a tile, from its name."""
    row, column = name.split("_")
    return int(row[1:]), int(column[1:])


def _description(config: BcddConfig, *, across: bool) -> SetDescription:
    line = "columns" if across else "rows"
    return SetDescription(
        title="BCDD",
        about="Buildings that changed in Christchurch, New Zealand, between 2012 and 2016, after the "
        f"earthquake of 2011. Aerial images, cut into tiles of {config.tile} pixels that do not overlap.",
        source="Ji, Wei and Lu, WHU building change detection dataset, 2019",
        terms="no open licence is known to us; read the publishers' page before you use it",
        labels="1 or 255 is a building that came or went; which of the two is not told",
        split={
            "random": f"Tiles dealt 8:1:1 by chance (seed {config.seed}), as the paper does. Tiles beside a "
            "test tile are in training, so figures on this split flatter.",
            "spatial": f"Three bands of {line} of tiles, 8:1:1, with {config.gap} left out between two. No "
            "test tile touches a training tile.",
        },
        notes=(f'Every tile is asked "{QUESTION}" and answered "{PAPER_ANSWER}", as in the paper.',),
    )
