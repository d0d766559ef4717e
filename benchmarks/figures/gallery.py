"""Pictures of answers to look at: the best and the worst against the labels, and real pairs."""

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measuring.accuracy import ListResult
from benchmarks.measuring.outcomes import MODEL, Failure, Outcome, ask, stacked
from gateway.images import read_pair
from gateway.pictures import overlay
from gateway.pipeline import Pipeline
from reasoncd.errors import NotFoundError, OutputError
from training.data.labels import YES, LabelledPair, target_mask
from training.data.real_tiles import data_root

REAL_SETS: tuple[tuple[str, str], ...] = (
    ("fotbcd_512", "*_val_*.png"),
    ("oscd_10m", "*.png"),
    ("dsifn_256", "*.png"),
)
REAL_QUERIES = ("new buildings", "lost vegetation", "Where did people get more living space?")


def draw_cases(pipeline: Pipeline, one: ListResult, folder: Path, *, count: int = 4) -> int:
    """Ask the best, the worst and the most falsely marked questions of a list again, and draw them.

    Each picture shows the answer above and the truth below.

    Args:
        pipeline: what was measured.
        one: the measured list.
        folder: is made if need be.
        count: pictures of each of the three kinds, of different pairs.

    Returns:
        The number of pictures.
    """
    present = [o for o in one.outcomes if o.question.present and not o.failed]
    absent = [o for o in one.outcomes if not o.question.present and not o.empty]
    ranked = (
        ("best", sorted(present, key=lambda o: -o.scores[MODEL].iou)),
        ("worst", sorted(present, key=lambda o: o.scores[MODEL].iou)),
        ("false", sorted(absent, key=lambda o: -o.scores[MODEL].fp)),
    )
    _make(folder)
    drawn = 0
    for name, outcomes in ranked:
        for rank, outcome in enumerate(_of_different_pairs(outcomes, count)):
            pair = one.pairs.pairs[outcome.question.pair]
            path = folder / f"{one.pairs.kind}-{name}-{rank + 1}-{outcome.question.level}.png"
            drawn += _draw(pipeline, pair, outcome, path)
    return drawn


def draw_real(pipeline: Pipeline, folder: Path, *, count: int, root: Path | None = None) -> int:
    """Ask plain and implicit questions about real pairs, and draw the answers.

    Args:
        pipeline: what is measured.
        folder: is made if need be.
        count: pairs of each set; a set that is not there is left out.
        root: the data folder; found by `real_tiles.data_root` where None.

    Returns:
        The number of pictures.
    """
    try:
        root = data_root(root)
    except NotFoundError:
        return 0
    _make(folder)
    drawn = 0
    for name, pattern in REAL_SETS:
        # The first ones by name: a fixed choice that no result has part in.
        for path in sorted((root / name / "A").glob(pattern))[:count]:
            images = read_pair(path, root / name / "B" / path.name).images
            for number, (query, answer) in enumerate(ask(pipeline, images, REAL_QUERIES).items()):
                if isinstance(answer, Failure):
                    continue
                picture = overlay(images, answer.change_map, query=query, answer=answer.answer)
                picture.save(folder / f"{name}-{path.stem}-{number + 1}.png")
                drawn += 1
    return drawn


def _of_different_pairs(outcomes: list[Outcome], count: int) -> list[Outcome]:
    first = {o.question.pair: o for o in reversed(outcomes)}
    return [o for o in outcomes if first[o.question.pair] is o][:count]


def _draw(pipeline: Pipeline, pair: LabelledPair, outcome: Outcome, path: Path) -> int:
    question = outcome.question
    images = stacked(pair)
    answer = ask(pipeline, images, [question.query])[question.query]
    if isinstance(answer, Failure):
        return 0
    truth = np.zeros(pair.land_t1.shape, dtype=bool)
    if question.target:
        truth = target_mask(pair, question.target) == YES
    words = question.target.words if question.target else "off-topic"
    if question.target and not question.present:
        words = f"no {words[0].lower()}{words[1:]}"
    title = f"{question.level}: {question.query}"
    verdict = f"Truth: {words}. IoU {outcome.scores[MODEL].iou:.2f}, presence {outcome.presence:.2f}"
    above = overlay(images, answer.change_map, query=title, answer=answer.answer)
    below = overlay(images, truth, query=verdict, answer="")
    page = Image.new("RGB", (max(above.width, below.width), above.height + below.height), (255, 255, 255))
    page.paste(above, (0, 0))
    page.paste(below, (0, above.height))
    page.save(path)
    return 1


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made; name a folder that can be written") from error
