"""SECOND: pairs of 512 pixels with six land-cover classes at both dates, labelled where something changed.

    SOURCE/im1/00003.png  im2/  label1/  label2/      2,968 pairs; or inside train/ and test/

The published colours and what they say here are in `second.yaml`. Gain, loss, change and transitions of each
class come from both dates' labels; the class at the earlier date alone would not tell a gain from a loss.
"""

from pathlib import Path

from training.data.prepare.folder_sets import split_rule
from training.data.prepare.label_maps import LabelMapsConfig, label_map_items
from training.data.prepare.label_ontology import read_ontology
from training.data.prepare.layout import check_count, files_of_pairs
from training.data.prepare.pair import Progress, SetDescription, unwatched
from training.data.prepare.record import SetRecord
from training.data.prepare.writer import check_output, settled, write_set

PUBLISHED_PAIRS = 2968
"""With labels; the rest of the set was published without."""
INNER = ("im1", "im2", "label1", "label2")
ONTOLOGY = Path(__file__).with_name("second.yaml")


def prepare_second(
    source: Path,
    out: Path,
    config: LabelMapsConfig | None = None,
    *,
    ontology: Path = ONTOLOGY,
    on_progress: Progress = unwatched,
) -> SetRecord:
    """Check, split and write SECOND.

    Args:
        source: the folder that holds `im1/`, `im2/`, `label1/` and `label2/`.
        out: is made; must not hold anything yet.
        config: how; its folders must be SECOND's.
        ontology: what the colours mean, where the published reading is not wanted.
        on_progress: is told the pairs done.

    Returns:
        What was written.

    Raises:
        ReasonCDError: as `prepare_label_maps`, and where the count is not the published one.
    """
    config = config or LabelMapsConfig(inner=INNER)
    check_output(out)
    known = read_ontology(ontology)
    found = files_of_pairs(source, config.inner)
    # Copies of the set exist that label the test part too; it comes on top of the count.
    labelled = sum(pair.part != "test" for pair in found.pairs)
    check_count(source, labelled, PUBLISHED_PAIRS, partial=config.partial, what="labelled pairs")
    description = SetDescription(
        title="SECOND",
        about="Land cover that changed in Hangzhou, Chengdu, Shanghai and other places. Aerial images of "
        "0.5 to 3 m a pixel, 512 pixels a side.",
        source="Yang and others, SECOND, 2020",
        terms="no open licence is known to us; read the publishers' page before you use it",
        labels=known.in_words(),
        split={"": split_rule(found.pairs, config.seed)},
        notes=("Land cover is labelled where it changed only, so what stands and stays is not known.",),
    )
    items = label_map_items(found, known, config, on_progress)
    return write_set(
        out, description, items, settled(config.seed), sheet_rows=config.sheet_rows, seed=config.seed
    )
