"""LEVIR-CD: 637 pairs of 1,024 pixels with changed buildings, in published parts.

SOURCE/train/A/train_1.png  B/  label/      445 pairs
SOURCE/val/   64                SOURCE/test/   128
"""

from collections import Counter
from pathlib import Path

from reasoncd.errors import InvalidInputError
from training.data.parts import Part
from training.data.prepare.folder_sets import split_rule
from training.data.prepare.folders import INNER, FoldersConfig, folder_items
from training.data.prepare.layout import check_count, files_of_pairs
from training.data.prepare.pair import Progress, SetDescription, unwatched
from training.data.prepare.record import SetRecord
from training.data.prepare.writer import check_output, settled, write_set

PUBLISHED_COUNTS: dict[Part, int] = {"train": 445, "validation": 64, "test": 128}


def prepare_levir_cd(
    source: Path, out: Path, config: FoldersConfig | None = None, *, on_progress: Progress = unwatched
) -> SetRecord:
    """Check and write LEVIR-CD, cut into tiles of 256 if not said otherwise.

    Args:
        source: the folder that holds `train/`, `val/` and `test/`.
        out: is made; must not hold anything yet.
        config: how; its target must be changed buildings.
        on_progress: is told the pairs done.

    Returns:
        What was written.

    Raises:
        ReasonCDError: as `prepare_folders`, and where the counts are not the published ones.
    """
    config = config or FoldersConfig(tile=256)
    check_output(out)
    found = files_of_pairs(source, INNER)
    counts = Counter(pair.part for pair in found.pairs)
    if None in counts:
        raise InvalidInputError(
            f"{source} is not divided into train/, val/ and test/ as published; prepare it with "
            "`prepare folders`"
        )
    for part, published in PUBLISHED_COUNTS.items():
        check_count(source, counts[part], published, partial=config.partial, what=f"{part} pairs")
    description = SetDescription(
        title="LEVIR-CD",
        about="Buildings that changed in 20 places of Texas between 2002 and 2018. Google Earth images of "
        "0.5 m a pixel, 1,024 pixels a side"
        + (f", cut into tiles of {config.tile}." if config.tile else "."),
        source="Chen and Shi, LEVIR-CD, 2020",
        terms="academic use only, as its authors ask; images under Google Earth's terms",
        labels="255 is a building that came or went, mostly new ones; which of the two is not told",
        split={"": split_rule(found.pairs, config.seed)},
    )
    items = folder_items(found, config, on_progress)
    return write_set(
        out, description, items, settled(config.seed), sheet_rows=config.sheet_rows, seed=config.seed
    )
