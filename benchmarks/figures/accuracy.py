"""The figures of the accuracy report, out of its JSON; a figure whose numbers are not there is left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.figures.drawings import Curve, Dots, confusion_figure
from benchmarks.figures.figure import Figure, compared, precision_recall, reliability
from benchmarks.figures.read_outcomes import ReadOutcome, read_lists
from benchmarks.measuring import measures
from benchmarks.measuring.outcomes import CONTROLS, MODEL
from benchmarks.measuring.score_counts import ScoreCounts
from benchmarks.queries.questions import PRESENT_LEVELS
from reasoncd.ontology import MAIN_CLASSES
from training.metrics import Confusion

NAMES = {
    "composite": "composites of real tiles",
    "scene": "rendered scenes",
    "footprint": "footprint composites",
    "real": "real aerial pairs",
}
"""Lists by their kind."""
_OTHER, _NONE = "another", "none"
_DIRECTIONS = ("gain", "loss", "change", "transition")
_COMPARED = (MODEL, *(c for c in CONTROLS if c not in ("any change, truth", "all positive")))
_BINS = 10


def accuracy_figures(data: Mapping[str, Any]) -> list[Figure]:
    """All figures that a report's JSON has the numbers for.

    Raises:
        CorruptDataError: an outcome is unreadable.
    """
    lists = read_lists(data)
    # On footprints only plain questions are asked: nothing to compare.
    main = [(kind, outcomes) for kind, outcomes in lists if kind != "footprint"]
    found = [_compared(kind, outcomes) for kind, outcomes in main]
    found += [_precision_recall(kind, outcomes) for kind, outcomes in lists]
    found += [_confidence(lists), _presence(lists)]
    everything = [o for _, outcomes in lists for o in outcomes]
    found += [_confusion(everything, "class"), _confusion(everything, "direction")]
    return [figure for figure in found if figure is not None]


def levels_of(outcomes: Sequence[ReadOutcome]) -> list[str]:
    """Levels whose asked change is there, the project's own first."""
    there = {o.level for o in outcomes if o.present}
    return [level for level in PRESENT_LEVELS if level in there] + sorted(there.difference(PRESENT_LEVELS))


def name_of(kind: str) -> str:
    """A list in words."""
    return NAMES.get(kind, f"{kind} pairs")


def pooled_curve(name: str, counts: ScoreCounts, score: Confusion | None) -> Curve | None:
    """Precision against recall from pooled counts; None where nothing changed.

    The threshold of 0, which marks everything, is no part of it.
    """
    if not sum(counts.changed):
        return None
    recall, precision = counts.curve()
    points = tuple(
        (float(r), float(p)) for r, p in zip(recall[1:], precision[1:], strict=True) if not np.isnan(p)
    )
    mark = (score.recall, score.precision) if score and score.tp else None
    return Curve(name=f"{name}: AP {counts.average_precision:.2f}", points=points, mark=mark)


def _compared(kind: str, outcomes: Sequence[ReadOutcome]) -> Figure | None:
    levels = levels_of(outcomes)
    series = []
    for name in _COMPARED:
        values, intervals = {}, {}
        for level in levels:
            rows = [
                (o.pair, o.asked.key, o.scores[name])
                for o in outcomes
                if o.level == level and o.present and o.asked and name in o.scores
            ]
            if not rows:
                continue
            counts, _ = measures.pixel_counts(rows)
            f1 = measures.macro(counts.sum(axis=0))["f1"]
            if not np.isnan(f1):
                values[level] = f1
                if name == MODEL:
                    intervals[level] = measures.macro_f1_interval(counts)
        if values:
            series.append(Dots(name=name, values=values, intervals=intervals))
    return compared(
        f"The model and its controls on {name_of(kind)}",
        "Macro F1 of each level, where the asked change is there; for the model with the 95 % interval. The "
        "oracle is told the right target; the other controls do not understand the question.",
        levels,
        series,
        y_label="macro F1",
    )


def _precision_recall(kind: str, outcomes: Sequence[ReadOutcome]) -> Figure | None:
    curves = []
    for level in levels_of(outcomes):
        asked = [o for o in outcomes if o.level == level and o.present and o.score_counts]
        counts = sum((o.score_counts for o in asked if o.score_counts), ScoreCounts())
        score = sum((o.score for o in asked if o.score), Confusion())
        curves.append(pooled_curve(level, counts, score))
    return precision_recall(
        f"Precision and recall on {name_of(kind)}",
        "Pixels of all questions of a level together, where the asked change is there, at 19 thresholds; the "
        "dot is where the checkpoint's thresholds lie. What the model believes absent is marked at no "
        "threshold, so curves end before a recall of 1. AP: average precision.",
        curves,
    )


def _confidence(lists: Sequence[tuple[str, Sequence[ReadOutcome]]]) -> Figure | None:
    curves = []
    for kind, outcomes in lists:
        rows = [(o.confidence, o.score.iou) for o in outcomes if o.confidence is not None and o.score]
        curves.append(_binned(name_of(kind), rows))
    return reliability(
        "Reliability of the confidence",
        "Answers that mark something, in ten bins of equal mass. Above the diagonal the maps are better than "
        "the model says.",
        curves,
        x_label="confidence: predicted IoU",
        y_label="true IoU, mean of the bin",
    )


def _presence(lists: Sequence[tuple[str, Sequence[ReadOutcome]]]) -> Figure | None:
    curves = []
    for kind, outcomes in lists:
        rows = [
            (o.presence, float(o.present)) for o in outcomes if o.presence is not None and not o.off_topic
        ]
        curves.append(_binned(name_of(kind), rows))
    return reliability(
        "Reliability of the presence",
        "Questions about land cover, in ten bins of equal mass. How high a curve lies depends on how often a "
        "list asks for what is absent; that it rises does not.",
        curves,
        x_label="presence: probability that it is there",
        y_label="share that is there",
    )


def _binned(name: str, rows: Sequence[tuple[float, float]]) -> Curve | None:
    """Means of bins of equal mass; None where there is nothing to bin."""
    if not rows:
        return None
    ordered = np.array(sorted(rows))
    bins = np.array_split(ordered, min(_BINS, len(ordered)))
    error = sum(len(b) * abs(b[:, 0].mean() - b[:, 1].mean()) for b in bins) / len(ordered)
    points = tuple((float(b[:, 0].mean()), float(b[:, 1].mean())) for b in bins)
    return Curve(name=f"{name}: error {error:.3f}", points=points, dotted=True)


def _confusion(outcomes: Sequence[ReadOutcome], what: str) -> Figure | None:
    names: Sequence[str] = MAIN_CLASSES if what == "class" else _DIRECTIONS
    counts: Counter[tuple[str, str]] = Counter()
    for o in outcomes:
        if o.asked is None:
            continue
        asked, named = (
            None if t is None else t.cls if what == "class" else t.direction for t in (o.asked, o.named)
        )
        row = asked if asked in names else _OTHER
        counts[str(row), _NONE if named is None else named if named in names else _OTHER] += 1
    if not counts:
        return None
    columns = [c for c in (*names, _OTHER, _NONE) if c in names or any(counts[r, c] for r, _ in list(counts))]
    rows = [r for r in (*names, _OTHER) if any(counts[r, c] for c in columns)]
    title = f"The {what} asked and the {what} named"
    shown = {(r.replace("_", " "), c.replace("_", " ")): counts[r, c] for r in rows for c in columns}
    return Figure(
        title=title,
        svg=confusion_figure(
            [r.replace("_", " ") for r in rows], [c.replace("_", " ") for c in columns], shown, title
        ),
        caption="Questions of all lists; the share is that of the row. A transition counts for the class "
        "that it begins with.",
    )
