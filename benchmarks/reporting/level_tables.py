"""Tables of one list of pairs: each level beside its controls, with and without the asked change."""

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.measuring import measures
from benchmarks.measuring.outcomes import CONTROLS, MODEL, Outcome
from benchmarks.queries.questions import ABSENT_LEVELS, PRESENT_LEVELS
from benchmarks.reporting.tables import figure, share, share_with_interval, table, with_interval
from reasoncd.ontology import TARGET_BY_KEY
from training.metrics import Confusion


def present_table(outcomes: Sequence[Outcome]) -> str:
    """Every measure of the levels whose asked change is there."""
    rows = []
    for level in levels_of(outcomes, True):
        asked = of_level(outcomes, level)
        # Questions in the same words whose change is not there: false alarms belong to the level, too.
        mixed = asked + [
            o for o in outcomes if not o.question.present and o.question.accept and _same(o, level)
        ]
        counts, _ = measures.pixel_counts(_rows(asked, MODEL))
        scores = measures.macro(counts.sum(axis=0))
        directed = sum(o.marked for o in asked)
        rows.append([
            level, str(len(asked)), str(len(counts)),
            with_interval(scores["f1"], measures.macro_f1_interval(counts)),
            figure(scores["iou"]), figure(scores["precision"]), figure(scores["recall"]),
            figure(macro_of(mixed, MODEL)["f1"] if len(mixed) > len(asked) else None),
            figure(_giou(asked)),
            figure(_giou(mixed) if len(mixed) > len(asked) else None),
            share(measures.rate(_verdicts(asked, lambda o: o.empty))),
            share(measures.rate(_verdicts(asked, lambda o: o.seg_emitted))),
            share_with_interval(*_rate(asked, lambda o: o.right_words)),
            share(sum(o.wrong_direction for o in asked) / directed if directed else None),
        ])  # fmt: skip
    return table(
        ["level", "questions", "pairs", "F1 macro (95 %)", "IoU", "P", "R", "F1 with absent", "gIoU",
         "gIoU with empty", "false rejection", "`<SEG>`", "right target named (95 %)", "wrong direction"],
        rows,
    )  # fmt: skip


def retention_line(outcomes: Sequence[Outcome]) -> str:
    """How much of the plain questions' F1 the other wordings keep."""
    base = macro_of(of_level(outcomes, "E0"), MODEL)["f1"]
    if not base > 0:
        return "Retention: not defined, the F1 of E0 is 0 or was not measured.\n"
    levels = [level for level in levels_of(outcomes, True) if level not in ("E0", "E0-any", "T")]
    found = [
        f"{level} {figure(macro_of(of_level(outcomes, level), MODEL)['f1'] / base, 2)}" for level in levels
    ]
    return f"Retention, F1 of a level / F1 of E0: {', '.join(found)}.\n"


def target_table(outcomes: Sequence[Outcome]) -> str:
    """F1 and IoU of each target at each level, with the number of questions."""
    levels = levels_of(outcomes, True)
    cells: dict[str, dict[str, str]] = {}
    for level in levels:
        counts, keys = measures.pixel_counts(_rows(of_level(outcomes, level), MODEL))
        asked = [o.question.accept[0].key for o in of_level(outcomes, level)]
        for key, (tp, fp, fn) in zip(keys, counts.sum(axis=0), strict=True):
            pixels = Confusion(tp=tp, fp=fp, fn=fn)
            f1, iou = (pixels.f1, pixels.iou) if tp + fn else (None, None)
            cells.setdefault(key, {})[level] = f"{figure(f1)} / {figure(iou)} (n={asked.count(key)})"
    ordered = sorted(cells, key=list(TARGET_BY_KEY).index)
    rows = [
        [TARGET_BY_KEY[k].words, *(cells[k].get(level, figure(None)) for level in levels)] for k in ordered
    ]
    return table(["target", *levels], rows)


def control_table(outcomes: Sequence[Outcome]) -> str:
    """Macro F1 of the model and of each control."""
    levels = levels_of(outcomes, True)
    rows = [
        [name, *(figure(macro_of(of_level(outcomes, level), name)["f1"]) for level in levels)]
        for name in _asked(outcomes)
    ]
    return table(["map by", *levels], rows)


def absent_table(outcomes: Sequence[Outcome]) -> str:
    """How often nothing is found where nothing is."""
    rows = []
    for level in levels_of(outcomes, False):
        asked = of_level(outcomes, level)
        wrong, marked = sum(o.wrong_direction for o in asked), sum(o.marked for o in asked)
        rows.append([
            level, str(len(asked)),
            share_with_interval(*_rate(asked, lambda o: o.correct_empty)),
            *(
                share(measures.rate(_verdicts([o for o in asked if _same(o, w)], lambda o: o.correct_empty)))
                for w in ("E0", "E1", "I1")
            ),
            share(measures.rate(_verdicts(asked, lambda o: o.empty))),
            share(measures.rate(_verdicts(asked, lambda o: o.seg_emitted))),
            share(float(np.mean([_marked_share(o) for o in asked]))),
            share(wrong / marked if marked else None),
        ])  # fmt: skip
    return table(
        ["level", "questions", "correct-empty (95 %)", "in E0 words", "in E1 words", "in I1 words",
         "empty map", "`<SEG>`", "mean marked area", "wrong direction"],
        rows,
    )  # fmt: skip


def absent_control_table(outcomes: Sequence[Outcome]) -> str:
    """How often each control marks nothing."""
    levels = levels_of(outcomes, False)
    rows = [
        [
            name,
            *(
                share(measures.rate(_verdicts(of_level(outcomes, level), lambda o, n=name: _is_empty(o, n))))  # type: ignore[misc]
                for level in levels
            ),
        ]
        for name in _asked(outcomes)
    ]
    return table(["empty map by", *levels], rows)


def auroc_table(outcomes: Sequence[Outcome]) -> str:
    """How well presence tells what is there from what is not."""
    absent = [o for o in outcomes if not o.question.present and o.question.accept]
    rows = []
    for level in ("all", *levels_of(outcomes, True)):
        high = [o for o in outcomes if o.question.present and level in ("all", o.question.level)]
        low = [o for o in absent if level == "all" or _same(o, level)]
        if not high or not low:
            continue
        value = measures.auroc([o.presence for o in high], [o.presence for o in low])
        rows.append([level, figure(value), str(len(high)), str(len(low))])
    off_topic = [o.presence for o in outcomes if not o.question.accept]
    due = [o.presence for o in outcomes if o.question.present]
    rows.append(
        ["all against off-topic", figure(measures.auroc(due, off_topic)), str(len(due)), str(len(off_topic))]
    )
    return table(["questions in words of", "AUROC", "present", "absent"], rows)


def levels_of(outcomes: Sequence[Outcome], present: bool) -> list[str]:
    """Levels that occur, the project's own first."""
    own = PRESENT_LEVELS if present else ABSENT_LEVELS
    found = {o.question.level for o in outcomes if o.question.present == present}
    return [level for level in own if level in found] + sorted(found.difference(own))


def of_level(outcomes: Sequence[Outcome], level: str) -> list[Outcome]:
    """The outcomes of one level."""
    return [o for o in outcomes if o.question.level == level]


def _same(o: Outcome, level: str) -> bool:
    """Whether an absent question is asked in the words of a level with present changes."""
    return o.question.wording == level


def _rows(outcomes: Sequence[Outcome], name: str) -> list[tuple[int, str, Confusion]]:
    return [(o.question.pair, o.question.accept[0].key, o.scores[name]) for o in outcomes]


def macro_of(outcomes: Sequence[Outcome], name: str) -> dict[str, float]:
    """`measures.macro` of the maps of the model or of a control."""
    if not outcomes:
        return dict.fromkeys(("f1", "iou", "precision", "recall"), float("nan"))
    counts, _ = measures.pixel_counts(_rows(outcomes, name))
    return measures.macro(counts.sum(axis=0))


def _verdicts(outcomes: Sequence[Outcome], verdict: Callable[[Outcome], bool]) -> list[tuple[int, bool]]:
    return [(o.question.pair, verdict(o)) for o in outcomes]


def _rate(outcomes: Sequence[Outcome], verdict: Callable[[Outcome], bool]) -> tuple[float, measures.Interval]:
    verdicts = _verdicts(outcomes, verdict)
    return measures.rate(verdicts), measures.rate_interval(verdicts)


def _giou(outcomes: Sequence[Outcome]) -> float:
    return measures.giou([o.scores[MODEL] for o in outcomes])


def _asked(outcomes: Sequence[Outcome]) -> list[str]:
    """The model and the controls that were measured, in order."""
    return [name for name in (MODEL, *CONTROLS) if all(name in o.scores for o in outcomes)]


def _is_empty(o: Outcome, name: str) -> bool:
    c = o.scores[name]
    return c.tp + c.fp == 0


def _marked_share(o: Outcome) -> float:
    c = o.scores[MODEL]
    return (c.tp + c.fp) / c.total if c.total else 0.0
