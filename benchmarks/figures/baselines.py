"""The figures of the report on building change, out of its JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.figures.accuracy import name_of, pooled_curve
from benchmarks.figures.drawings import Dots
from benchmarks.figures.figure import Figure, compared, precision_recall
from benchmarks.measuring.score_counts import ScoreCounts
from reasoncd.errors import CorruptDataError, InvalidInputError
from training.metrics import Confusion


def baselines_figures(data: Mapping[str, Any]) -> list[Figure]:
    """F1 of each method on each list, and precision against recall on each.

    Raises:
        CorruptDataError: the figures of a method are unreadable.
    """
    try:
        lists = [(str(one["kind"]), one["methods"]) for one in data.get("lists", ()) if one["methods"]]
        found = [_compared(lists), *(_precision_recall(kind, methods) for kind, methods in lists)]
    except (KeyError, TypeError, ValueError, AttributeError, InvalidInputError) as error:
        raise CorruptDataError(
            "the figures of a method are unreadable; measure the baselines again"
        ) from error
    return [figure for figure in found if figure is not None]


def _compared(lists: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> Figure | None:
    f1: dict[str, dict[str, list[float]]] = {}
    for kind, methods in lists:
        for method in methods:
            f1.setdefault(method["method"], {}).setdefault(kind, []).append(_total(method).f1)
    series = [
        Dots(
            name=name,
            values={kind: float(np.mean(found)) for kind, found in values.items()},
            # Of one training there is no spread.
            intervals={k: (min(found), max(found)) for k, found in values.items() if len(found) > 1},
        )
        for name, values in f1.items()
    ]
    return compared(
        "F1 of building change",
        "Over the pixels of all pairs of a list; networks as the mean of their trainings, the bar from the "
        "worst to the best.",
        [kind for kind, _ in lists],
        series,
        y_label="F1, pixels pooled",
    )


def _precision_recall(kind: str, methods: Sequence[Mapping[str, Any]]) -> Figure | None:
    curves = []
    for method in methods:
        if method.get("score_counts") is None:
            continue
        seed = method.get("seed")
        name = method["method"] if seed is None else f"{method['method']}, seed {seed}"
        counts = ScoreCounts.from_json(method["score_counts"])
        curves.append(pooled_curve(name, counts, _total(method)))
    return precision_recall(
        f"Precision and recall of building change on {name_of(kind)}",
        "Pixels of all pairs together, at 19 thresholds; the dot is where the chosen threshold lies. "
        "AP: average precision.",
        curves,
    )


def _total(method: Mapping[str, Any]) -> Confusion:
    scores = [Confusion(tp=tp, fp=fp, fn=fn, tn=tn) for tp, fp, fn, tn in method["scores"]]
    return sum(scores, Confusion())
