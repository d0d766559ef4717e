"""Tables of the real aerial pairs: pooled, and pair by pair."""

from collections.abc import Sequence

import numpy as np

from benchmarks.measuring.real import QUERIES, RealOutcome, pooled_f1
from benchmarks.reporting.tables import figure, share, table, with_interval
from training.metrics import Confusion


def pooled_table(outcomes: Sequence[RealOutcome]) -> str:
    """Pixels of all pairs together, for each query; and the mean over pairs in which something changed."""
    rows = []
    for query, _ in QUERIES:
        scores = [o.score for o in outcomes if o.query == query and o.score is not None]
        changed = [c.f1 for c in scores if c.tp + c.fn]
        total = sum(scores, Confusion())
        rows.append([
            query, str(len(scores)), str(len(changed)), with_interval(*pooled_f1(outcomes, query)),
            *(
                figure(value if changed else None)
                for value in (total.iou, total.precision, total.recall, total.kappa)
            ),
            figure(float(np.mean(changed)) if changed else None),
        ])  # fmt: skip
    return table(
        ["query", "pairs", "with such a change", "F1, pixels pooled (95 %)", "IoU", "P", "R", "kappa",
         "F1, mean of the pairs with such a change"],
        rows,
    )  # fmt: skip


def pair_table(outcomes: Sequence[RealOutcome]) -> str:
    """Each pair and query by itself."""
    rows = []
    for o in outcomes:
        c = o.score
        changed = c is not None and c.tp + c.fn > 0
        rows.append([
            o.pair, o.query,
            "unknown" if c is None else str(c.tp + c.fn),
            *(figure(value) for value in ((c.precision, c.recall, c.f1) if c and changed else (None,) * 3)),
            share(c.fp / (c.fp + c.tn) if c and c.fp + c.tn else None),
            share(o.marked), figure(o.presence, 2),
        ])  # fmt: skip
    return table(
        ["pair", "query", "changed pixels", "P", "R", "F1", "false positives of the unchanged", "marked",
         "presence"],
        rows, text=("query",),
    )  # fmt: skip
