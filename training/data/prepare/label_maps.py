"""Any set with land cover labelled at both dates, and a file that says what its labels mean.

    SOURCE/A/x.png  B/x.png  labelA/x.png  labelB/x.png      or inside train/, val/, test/

The masks of every class and direction are derived from the two label maps (`label_ontology`), so one pair
gives questions about gain, loss, change and transitions of all classes that the labels tell apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from reasoncd.errors import InvalidInputError
from training.data.prepare.folder_sets import FolderSetConfig, split_rule, tiles_to_write
from training.data.prepare.label_ontology import LabelOntology, read_ontology
from training.data.prepare.layout import FilesOfPair, FolderPairs, files_of_pairs
from training.data.prepare.pair import Dropped, PreparedPair, Progress, SetDescription, unwatched
from training.data.prepare.pictures import check_same_size, read_colour
from training.data.prepare.questions import AskConfig, ask_about
from training.data.prepare.record import SetRecord
from training.data.prepare.writer import check_output, settled, write_set

INNER = ("A", "B", "labelA", "labelB")
_MUCH = 0.05
"""Share of a pair that may be "unchanged" at one date only; more means that the maps are no pair."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelMapsConfig(FolderSetConfig):
    """How a set of label maps is prepared."""

    inner: tuple[str, ...] = INNER
    """Folders of the earlier pictures, the later ones, and the label maps of both."""
    only: str | None = None
    """Pattern such as `ins_*`; other pictures are passed over."""
    ask: AskConfig = field(default_factory=AskConfig)
    """What is asked of each pair."""

    def __post_init__(self) -> None:
        FolderSetConfig.__post_init__(self)
        if len(self.inner) != len(INNER) or len(set(self.inner)) != len(INNER):
            raise InvalidInputError(
                f"folders are {', '.join(self.inner)}; give four different names: earlier and later "
                "pictures, earlier and later labels"
            )


def prepare_label_maps(
    source: Path,
    out: Path,
    ontology: Path,
    config: LabelMapsConfig | None = None,
    *,
    on_progress: Progress = unwatched,
) -> SetRecord:
    """Check, split and write a set of label maps.

    Args:
        source: the folder that holds the four folders, or `train/`, `val/` and `test/` with them.
        out: is made; must not hold anything yet.
        ontology: the YAML file that says what labels mean.
        config: how.
        on_progress: is told the pairs done.

    Returns:
        What was written.

    Raises:
        NotFoundError: the layout is another one, or a file lacks its partner.
        CorruptDataError: a file is no picture or no YAML.
        InvalidInputError: sizes, modes or labels are not what they must be.
        OutputError: `out` is there already or cannot be written.
    """
    config = config or LabelMapsConfig()
    check_output(out)
    known = read_ontology(ontology)
    found = files_of_pairs(source, config.inner, only=config.only)
    description = SetDescription(
        title=source.resolve().name,
        about="Pairs with land cover labelled at both dates.",
        source=f"the folder {source.resolve().name}",
        terms="as the folder's owner says; write them here",
        labels=known.in_words(),
        split={"": split_rule(found.pairs, config.seed)},
    )
    items = label_map_items(found, known, config, on_progress)
    return write_set(
        out, description, items, settled(config.seed), sheet_rows=config.sheet_rows, seed=config.seed
    )


def label_map_items(
    found: FolderPairs, ontology: LabelOntology, config: LabelMapsConfig, on_progress: Progress
) -> Iterator[PreparedPair | Dropped]:
    """Read the pairs one by one and derive their questions."""
    if found.unlisted:
        yield Dropped(reason="pairs that no list names", count=found.unlisted)
    for number, pair in enumerate(found.pairs, start=1):
        yield from _tiles(pair, ontology, config)
        on_progress(number, len(found.pairs))


def _tiles(
    pair: FilesOfPair, ontology: LabelOntology, config: LabelMapsConfig
) -> Iterator[PreparedPair | Dropped]:
    paths = pair.files
    image_t1, image_t2 = read_colour(paths[0]), read_colour(paths[1])
    labels_t1, labels_t2 = ontology.read(paths[2]), ontology.read(paths[3])
    for path, array in zip(paths[1:], (image_t2, labels_t1, labels_t2), strict=True):
        check_same_size(paths[0], image_t1, path, array)
    if stray := ontology.half_changed(labels_t1, labels_t2):
        if stray > _MUCH * labels_t1.size:
            raise InvalidInputError(
                f"{paths[3]} and {paths[2]} disagree on {stray / labels_t1.size:.0%} of the pixels which of "
                "them changed; check that they are one pair"
            )
        yield Dropped(reason="pixels that are unchanged at one date only (unknown in the masks)", count=stray)
    height, width = labels_t1.shape
    for place, tile in tiles_to_write(height, width, config.tile):
        arrays = (image_t1, image_t2, labels_t1, labels_t2)
        one, two, before, after = arrays if tile is None else (tile.cut(array) for array in arrays)
        hidden = None if tile is None else tile.hidden(height, width)
        name = pair.name + place
        yield PreparedPair(
            name=name,
            group=pair.name,
            part=pair.part,
            image_t1=np.asarray(one),
            image_t2=np.asarray(two),
            questions=ask_about(name, ontology, before, after, config.ask, hidden=hidden),
        )
