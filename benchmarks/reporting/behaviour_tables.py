"""Tables of how the model behaves beside its maps: wording, reasons, confidence, corrections.

Each row names the list of pairs that it is of.
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.measuring import measures
from benchmarks.measuring.accuracy import ListResult
from benchmarks.measuring.correcting import ROUNDS, Correction
from benchmarks.measuring.explanations import ReasonKind
from benchmarks.measuring.paraphrases import SEEN, UNSEEN
from benchmarks.measuring.reliability import reliability
from benchmarks.reporting.tables import figure, share, share_with_interval, table, with_interval

Lists = Sequence[tuple[str, ListResult]]
"""Each list with its name."""


def paraphrase_table(lists: Lists) -> str:
    """How much the words matter: worst and mean F1 of one change in many words, and the maps' agreement."""
    rows = []
    for name, one in lists:
        for kind in (SEEN, UNSEEN):
            found = [p for p in one.paraphrases if p.kind == kind]
            if not found:
                continue
            worst = [(p.pair, p.worst) for p in found]
            agreement = [(p.pair, p.agreement) for p in found if p.agreement is not None]
            rows.append([
                name, kind, str(len(found)),
                figure(float(np.mean([p.f1[0] for p in found]))),
                figure(float(np.mean([np.mean(p.f1) for p in found]))),
                with_interval(_mean(worst), measures.mean_interval(worst)),
                with_interval(_mean(agreement), measures.mean_interval(agreement)),
                str(len(found) - len(agreement)),
            ])  # fmt: skip
    return table(
        ["list", "phrases", "pairs", "F1 in plain words", "mean F1", "worst F1 (95 %)",
         "IoU between the maps (95 %)", "all maps empty"],
        rows, text=("phrases",),
    )  # fmt: skip


def explanation_table(lists: Lists) -> str:
    """Whether explained answers name what was asked and what their maps show."""
    rows = []
    for name, one in lists:
        for level in ("all", *sorted({e.level for e in one.explanations})):
            found = [e for e in one.explanations if level in ("all", e.level)]
            if not found:
                continue
            verdicts = [(e.pair, e.right) for e in found]
            shown = [e for e in found if not e.empty]
            about = [e.reason for e in shown]
            rows.append([
                name, level, str(len(found)),
                share(measures.rate([(e.pair, e.asked_named) for e in found])),
                share(measures.rate([(e.pair, e.map_named) for e in found])),
                share_with_interval(measures.rate(verdicts), measures.rate_interval(verdicts)),
                figure(float(np.mean([e.agreement for e in found]))),
                str(len(shown)),
                share(measures.rate([(e.pair, e.right) for e in shown])),
                *(str(about.count(kind)) for kind in ReasonKind),
            ])  # fmt: skip
    return table(
        ["list", "level", "questions", "asked target named", "named target is the map's", "both (95 %)",
         "IoU with the short answer's map", "maps that mark something", "both, of these",
         *(f"reason: {kind}" for kind in ReasonKind)],
        rows, text=("level",),
    )  # fmt: skip


def reliability_table(lists: Lists) -> str:
    """The calibration error of each list, and its ten bins: predicted against true IoU."""
    found = [(name, reliability(one.outcomes)) for name, one in lists]
    width = max((len(r.bins) for _, r in found), default=0)
    rows = [
        [
            name, str(sum(b.count for b in r.bins)), with_interval(r.error, r.interval),
            *(f"{b.confidence:.2f} / {b.iou:.2f}" for b in r.bins),
            *("-" for _ in range(width - len(r.bins))),
        ]
        for name, r in found
        if r.bins
    ]  # fmt: skip
    return table(
        ["list", "answers that mark something", "calibration error (95 %)",
         *(f"bin {number + 1}" for number in range(width))],
        rows,
    )  # fmt: skip


def correction_table(lists: Lists) -> str:
    """IoU after simulated clicks, and with a box."""
    rows = []
    for name, one in lists:
        found = one.corrections
        if not found:
            continue
        gains = [(c.pair, c.gain) for c in found]
        rows.append([
            name, str(len(found)),
            *(figure(float(np.mean([c.iou[i] for c in found]))) for i in range(len(ROUNDS))),
            with_interval(_mean(gains), measures.mean_interval(gains)),
            _followed(found),
            figure(float(np.mean([c.boxed for c in found]))),
        ])  # fmt: skip
    return table(
        ["list", "maps", *(f"IoU, {n} click{'s' if n != 1 else ''}" for n in ROUNDS),
         "gained by three (95 %)", "clicks followed", "IoU with a box"],
        rows,
    )  # fmt: skip


def _followed(corrections: Sequence[Correction]) -> str:
    clicks = sum(c.clicks for c in corrections)
    return share(sum(c.followed for c in corrections) / clicks if clicks else float("nan"))


def _mean(values: Sequence[tuple[int, float]]) -> float:
    return float(np.mean([value for _, value in values])) if values else float("nan")
