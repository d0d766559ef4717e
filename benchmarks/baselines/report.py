"""The page on building change: the model beside the supervised networks and what learns nothing.

M trainings of a method, P pairs of a list; counts are (tp, fp, fn) of "changed".
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines.comparison import (
    MODEL,
    QUERY,
    REAL,
    BaselineList,
    BaselinesResult,
    MethodResult,
    parameter_count,
)
from benchmarks.measuring.measures import draw_weights, percentiles
from benchmarks.reporting.tables import MISSING, figure, share, table, with_interval
from training.metrics import Confusion

TITLES = {
    "composite": "Composites of real tiles",
    "scene": "Rendered scenes",
    "footprint": "Composites on the held-out tile with footprints",
    REAL: "Real aerial pairs",
}

HEAD = f"""# Building change against supervised networks

Written by `reasoncd-bench baselines`; never edited by hand. The one question that networks without words
can be asked too: where did a building come or go? The model is asked "{QUERY}" through the pipeline
that users get, with the thresholds of its checkpoint. FC-EF, FC-Siam-conc and FC-Siam-diff (torchgeo's, on
the image backbone of `mini` with the same ImageNet weights) are trained on the model's own training pairs
with its augmentation and its losses for the maps, and answer nothing else.
"""

READING = """
## How to read it

- F1, IoU, P, R, OA and kappa: of "changed", over the known pixels of all pairs of a list together; for
  networks the mean over their trainings. Intervals are 95 % bootstrap intervals over pairs; those of a
  difference resample both methods together.
- False positives of the unchanged: marked pixels in the pairs in which no building came or went.
- A network's threshold has the best F1 on the pairs that the model's thresholds are chosen on; none of the
  lists has part in it. The model's are chosen for all of its targets, and hold back a map whose change it
  believes absent.
- *difference + Otsu*: the length of the colour change vector, each channel brought to the same mean and
  spread, cut by Otsu's rule on each pair. *all positive*: every pixel.
- Minutes are those of one thread. They are turned into steps by the pace of the first few, so that a busy
  machine trains as much as an idle one.
- The budgets differ: the model is what its checkpoint is, after all the steps that its history tells of,
  shared by all of its targets; the networks have these minutes for one target alone. `--minutes` gives them
  more.
"""


def baselines_report(result: BaselinesResult) -> str:
    """The whole page."""
    parts = [HEAD, _what(result), "\n## Training\n", _training(result)]
    for one in result.lists:
        parts += [f"\n## {TITLES.get(one.kind, one.kind)}\n", _list_line(one), method_table(one)]
        if one.kind == REAL:
            parts += ["### Each pair\n", pair_table(one)]
    if result.failures:
        parts += ["\n## Failures\n", f"{len(result.failures)} questions failed and count as empty maps.\n"]
        parts.append(table(["query", "reason"], [[f.query, f.reason[:160]] for f in result.failures[:20]]))
    return "\n".join(part.rstrip("\n") + "\n" for part in [*parts, READING])


def method_table(one: BaselineList) -> str:
    """Each method over the pixels of all pairs."""
    if not one.names:
        return "Nothing was measured.\n"
    weights = draw_weights(len(one.names))
    of_model = _f1_draws(_counts(_trainings(one, MODEL)), weights)
    rows = []
    for method in dict.fromkeys(m.method for m in one.methods):
        trainings = _trainings(one, method)
        totals = [sum(m.scores, Confusion()) for m in trainings]
        f1 = _mean([c.f1 for c in totals])
        draws = _f1_draws(_counts(trainings), weights)
        less = f1 - _mean([sum(m.scores, Confusion()).f1 for m in _trainings(one, MODEL)])
        low, high = percentiles(draws - of_model)
        rows.append([
            method, with_interval(f1, percentiles(draws)),
            MISSING if method == MODEL else f"{less:+.3f} ({low:+.3f} to {high:+.3f})",
            ", ".join(figure(c.f1) for c in totals) if len(totals) > 1 else MISSING,
            *(
                figure(_mean([getattr(c, name) for c in totals]))
                for name in ("iou", "precision", "recall", "accuracy", "kappa")
            ),
            share(_mean([_false_alarms(m.scores) for m in trainings])),
        ])  # fmt: skip
    return table(
        ["method", "F1 (95 %)", "F1 less the model's (95 %)", "F1 of each training", "IoU", "P", "R", "OA",
         "kappa", "false positives of the unchanged"],
        rows,
    )  # fmt: skip


def pair_table(one: BaselineList) -> str:
    """F1 of each method on each pair, networks as the mean over their trainings."""
    methods = list(dict.fromkeys(m.method for m in one.methods))
    rows = []
    for number, name in enumerate(one.names):
        truth = one.methods[0].scores[number]
        changed = truth.tp + truth.fn
        cells = []
        for method in methods:
            found = [m.scores[number] for m in _trainings(one, method)]
            # Without a true change there is no F1, only what is falsely marked.
            cells.append(
                figure(_mean([c.f1 for c in found]))
                if changed
                else f"{share(_mean([c.fp / c.total for c in found]))} marked"
            )
        rows.append([name, str(changed), *cells])
    return table(["pair", "changed pixels", *methods], rows)


def _what(result: BaselinesResult) -> str:
    lines = [f"- {name}: fingerprint `{digest[:16]}`" for name, digest in sorted(result.fingerprints.items())]
    lines.append(
        f"- {result.minutes:g} minutes of one thread for each network and training; training pairs "
        f"`{result.bank}`; lists of {result.pairs} pairs, seed {result.seed}."
    )
    lines += [f"- Not measured, since the images are not there: {what}." for what in result.missing]
    return "\n".join(lines)


def _training(result: BaselinesResult) -> str:
    rows = [
        [
            n.name, str(n.seed), f"{parameter_count(n.net) / 1e6:.1f} M", str(n.steps),
            f"{n.seconds_per_step:.2f} s", figure(n.threshold, 2),
        ]
        for n in result.nets
    ]  # fmt: skip
    return table(["network", "seed", "parameters", "steps", "a step", "threshold"], rows)


def _list_line(one: BaselineList) -> str:
    changed = sum(c.tp + c.fn > 0 for c in one.methods[0].scores) if one.methods else 0
    return f"{len(one.names)} pairs, in {changed} of which a building came or went; SHA-256 `{one.sha256}`.\n"


def _trainings(one: BaselineList, method: str) -> list[MethodResult]:
    return [m for m in one.methods if m.method == method]


def _counts(trainings: Sequence[MethodResult]) -> NDArray[np.float64]:
    """(M, P, 3)."""
    return np.array([[(c.tp, c.fp, c.fn) for c in m.scores] for m in trainings], dtype=float)


def _f1_draws(counts_MP3: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (draws, P) -> F1 of each draw, its mean over trainings; NaN where no building changed."""
    tp, fp, fn = np.moveaxis(np.einsum("dp,mpc->dmc", weights, counts_MP3), -1, 0)
    f1 = np.where(tp + fn > 0, 2 * tp / np.maximum(2 * tp + fp + fn, 1), np.nan)
    return np.asarray(f1.mean(axis=1))


def _false_alarms(scores: Sequence[Confusion]) -> float:
    """Share of the pixels marked in pairs without change; NaN where every pair has one."""
    total = sum((c for c in scores if c.tp + c.fn == 0), Confusion())
    return total.fp / total.total if total.total else float("nan")


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
