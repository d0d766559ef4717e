"""The accuracy report: one Markdown page out of one result."""

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks import measures
from benchmarks.accuracy import AccuracyResult, ListResult
from benchmarks.outcomes import CONTROLS, MODEL, Outcome
from benchmarks.questions import ABSENT_LEVELS, PRESENT_LEVELS, canonical_query
from benchmarks.report_notes import HEAD, READING
from benchmarks.tables import figure, share, share_with_interval, table, with_interval
from reasoncd.ontology import MAIN_CLASSES, TARGET_BY_KEY

_TITLES = {"composite": "Composites of real tiles", "scene": "Rendered scenes"}
_DIRECTIONS = ("gain", "loss", "change", "transition")


def accuracy_report(result: AccuracyResult) -> str:
    """The whole page."""
    parts = [HEAD, _what(result)]
    for one in result.lists:
        parts += [f"\n## {_TITLES[one.pairs.kind]}\n", _list_line(one), *_list_tables(one)]
    everything = [o for one in result.lists for o in one.outcomes]
    if everything:
        parts += ["\n## Asked and named\n", _confusions(everything)]
    if result.config.real:
        parts += ["\n## Real aerial pairs\n", _real(result)]
    parts += ["\n## Failures\n", _failures(result), READING]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def summary(one: ListResult) -> dict[str, float]:
    """The figures of a list that one would quote first: macro F1 of each level, correct-empty of N0-N3."""
    levels = [level for level in _levels(one.outcomes, True) if _of(one.outcomes, level)]
    found = {f"f1 {level}": _macro(_of(one.outcomes, level), MODEL)["f1"] for level in levels}
    for level in _levels(one.outcomes, False):
        found[f"correct empty {level}"] = measures.rate(
            _verdicts(_of(one.outcomes, level), lambda o: o.correct_empty)
        )
    return found


def _what(result: AccuracyResult) -> str:
    lines = [f"- {name}: fingerprint `{digest[:16]}`" for name, digest in sorted(result.fingerprints.items())]
    lines.append(
        f"- At most {result.config.queries} questions a level and pair; seed {result.config.seed}; "
        f"{result.seconds / 60:.0f} minutes."
    )
    if result.held_out_sha256:
        lines.append(
            f"- Held-out queries: file `{result.held_out_sha256[:16]}`, run {result.held_out_run} on them by the log."
        )
    else:
        lines.append("- Held-out queries (I2, I3): not run.")
    lines += [f"- Not measured, since the images are not there: {what}." for what in result.missing]
    return "\n".join(lines)


def _list_line(one: ListResult) -> str:
    p = one.pairs
    return (
        f"{len(p.pairs)} {p.split} pairs of 256 x 256, generator version {p.version}, seed {p.seed}, "
        f"SHA-256 `{p.sha256}`. {len(one.outcomes)} questions."
    )


def _list_tables(one: ListResult) -> list[str]:
    outcomes = one.outcomes
    swaps = np.array(one.swaps)
    parts = ["### Where the asked change is there\n", _present(outcomes), _retention(outcomes)]
    parts += ["### F1 of each target\n", _targets(outcomes)]
    parts += ["### Controls: macro F1 of the same questions\n", _controls(outcomes)]
    parts += ["### Where the asked change is not there\n", _absent(outcomes), _absent_controls(outcomes)]
    parts += ["### Presence as a score\n", _aurocs(outcomes)]
    if len(swaps):
        parts.append(
            f"Swap test, IoU(map(T1, T2, gain), map(T2, T1, loss)): mean {figure(float(swaps.mean()))}, "
            f"median {figure(float(np.median(swaps)))} over {len(swaps)} pairs.\n"
        )
    return parts


def _present(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for level in _levels(outcomes, True):
        asked = _of(outcomes, level)
        # Questions in the same words whose change is not there: false alarms belong to the level, too.
        mixed = asked + [o for o in outcomes if not o.question.present and o.question.accept and _same(o, level)]
        counts, _ = measures.pixel_counts(_rows(asked, MODEL))
        scores = measures.macro(counts.sum(axis=0))
        directed = sum(o.marked for o in asked)
        rows.append([
            level, str(len(asked)), str(len(counts)),
            with_interval(scores["f1"], measures.macro_f1_interval(counts)),
            figure(scores["iou"]), figure(scores["precision"]), figure(scores["recall"]),
            figure(_macro(mixed, MODEL)["f1"]) if len(mixed) > len(asked) else figure(None),
            figure(measures.giou([o.scores[MODEL] for o in asked])),
            figure(measures.giou([o.scores[MODEL] for o in mixed])) if len(mixed) > len(asked) else figure(None),
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


def _retention(outcomes: Sequence[Outcome]) -> str:
    base = _macro(_of(outcomes, "E0"), MODEL)["f1"]
    if not base > 0:
        return "Retention: not defined, the F1 of E0 is 0 or was not measured.\n"
    levels = [level for level in _levels(outcomes, True) if level not in ("E0", "E0-any", "T")]
    found = [f"{level} {figure(_macro(_of(outcomes, level), MODEL)['f1'] / base, 2)}" for level in levels]
    return f"Retention, F1 of a level / F1 of E0: {', '.join(found)}.\n"


def _targets(outcomes: Sequence[Outcome]) -> str:
    levels = _levels(outcomes, True)
    cells: dict[str, dict[str, str]] = {}
    for level in levels:
        counts, keys = measures.pixel_counts(_rows(_of(outcomes, level), MODEL))
        asked = [o.question.accept[0].key for o in _of(outcomes, level)]
        for key, (tp, fp, fn) in zip(keys, counts.sum(axis=0), strict=True):
            f1 = 2 * tp / (2 * tp + fp + fn) if tp + fn else None
            cells.setdefault(key, {})[level] = f"{figure(f1)} (n={asked.count(key)})"
    ordered = sorted(cells, key=list(TARGET_BY_KEY).index)
    rows = [[TARGET_BY_KEY[k].words, *(cells[k].get(level, figure(None)) for level in levels)] for k in ordered]
    return table(["target", *levels], rows)


def _controls(outcomes: Sequence[Outcome]) -> str:
    levels = _levels(outcomes, True)
    rows = [
        [name, *(figure(_macro(_of(outcomes, level), name)["f1"]) for level in levels)]
        for name in (MODEL, *CONTROLS)
    ]
    return table(["map by", *levels], rows)


def _absent(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for level in _levels(outcomes, False):
        asked = _of(outcomes, level)
        wrong, marked = sum(o.wrong_direction for o in asked), sum(o.marked for o in asked)
        rows.append([
            level, str(len(asked)),
            share_with_interval(*_rate(asked, lambda o: o.correct_empty)),
            *(
                share(measures.rate(_verdicts([o for o in asked if o.question.wording == w], lambda o: o.correct_empty)))
                for w in ("E0", "E1", "I1")
            ),
            share(measures.rate(_verdicts(asked, lambda o: o.empty))),
            share(measures.rate(_verdicts(asked, lambda o: o.seg_emitted))),
            share(float(np.mean([_marked_share(o) for o in asked]))),
            share(wrong / marked if marked else None),
        ])  # fmt: skip
    return table(
        ["level", "questions", "correct-empty (95 %)", "in E0 words", "in E1 words", "in I1 words", "empty map",
         "`<SEG>`", "mean marked area", "wrong direction"],
        rows,
    )  # fmt: skip


def _absent_controls(outcomes: Sequence[Outcome]) -> str:
    levels = _levels(outcomes, False)
    rows = [
        [
            name,
            *(
                share(measures.rate(_verdicts(_of(outcomes, level), lambda o, n=name: _is_empty(o, n))))  # type: ignore[misc]
                for level in levels
            ),
        ]
        for name in (MODEL, *CONTROLS)
    ]
    return table(["empty map by", *levels], rows)


def _aurocs(outcomes: Sequence[Outcome]) -> str:
    absent = [o for o in outcomes if not o.question.present and o.question.accept]
    rows = []
    for level in ("all", *_levels(outcomes, True)):
        high = [o for o in outcomes if o.question.present and level in ("all", o.question.level)]
        low = [o for o in absent if level == "all" or _same(o, level)]
        if not high or not low:
            continue
        value = measures.auroc([o.presence for o in high], [o.presence for o in low])
        rows.append([level, figure(value), str(len(high)), str(len(low))])
    off_topic = [o.presence for o in outcomes if not o.question.accept]
    due = [o.presence for o in outcomes if o.question.present]
    rows.append(["all against off-topic", figure(measures.auroc(due, off_topic)), str(len(due)), str(len(off_topic))])
    return table(["questions in words of", "AUROC", "present", "absent"], rows)


def _confusions(outcomes: Sequence[Outcome]) -> str:
    asked = [o for o in outcomes if o.question.accept]
    return "\n".join([
        "Questions by the class asked and the class that the answer names (of a transition: the earlier class).\n",
        _cross(asked, (*MAIN_CLASSES, "another"), lambda o: o.question.accept[0].cls, lambda o: o.named and o.named.cls),
        "The same by direction.\n",
        _cross(
            asked, _DIRECTIONS, lambda o: o.question.accept[0].direction, lambda o: o.named and o.named.direction
        ),
    ])  # fmt: skip


def _cross(
    outcomes: Sequence[Outcome],
    names: Sequence[str],
    asked: Callable[[Outcome], str],
    named: Callable[[Outcome], str | None],
) -> str:
    def column(o: Outcome) -> str:
        name = named(o)
        return "none" if name is None else name if name in names else "another"

    columns = (*names, "none")
    rows = [
        [row, *(str(sum(asked(o) == row and column(o) == name for o in outcomes)) for name in columns)]
        for row in names
        if any(asked(o) == row for o in outcomes)
    ]
    return table(["asked, below; named, right", *columns], rows)


def _real(result: AccuracyResult) -> str:
    if not result.real:
        return "Not measured: the images are not there.\n"
    rows = []
    for o in result.real:
        c = o.score
        changed = c is not None and c.tp + c.fn > 0
        rows.append([
            o.pair, o.query,
            "unknown" if c is None else str(c.tp + c.fn),
            *((figure(c.precision), figure(c.recall), figure(c.f1)) if c and changed else (figure(None),) * 3),
            share(c.fp / (c.fp + c.tn) if c and c.fp + c.tn else None),
            share(o.marked), figure(o.presence, 2),
        ])  # fmt: skip
    return (
        "Each pair at its own 512 x 512, in tiles. Without a true change there is only the false-positive share.\n\n"
        + table(
            ["pair", "query", "changed pixels", "P", "R", "F1", "false positives of the unchanged", "marked", "presence"],
            rows,
        )
    )


def _failures(result: AccuracyResult) -> str:
    if not result.failures:
        return "No question failed.\n"
    shown = [[f.query, f.reason[:160]] for f in result.failures[:20]]
    text = f"{len(result.failures)} questions failed; they count as empty maps and wrong words. The first ones:\n\n"
    return text + table(["query", "reason"], shown)


def example_queries() -> str:
    """The plain wordings that the controls are prompted with, for a reader."""
    return ", ".join(f"`{canonical_query(t)}`" for t in TARGET_BY_KEY.values() if t.cls == "building")


def _levels(outcomes: Sequence[Outcome], present: bool) -> list[str]:
    """Levels that occur, the project's own first."""
    own = PRESENT_LEVELS if present else ABSENT_LEVELS
    found = {o.question.level for o in outcomes if o.question.present == present}
    return [level for level in own if level in found] + sorted(found.difference(own))


def _of(outcomes: Sequence[Outcome], level: str) -> list[Outcome]:
    return [o for o in outcomes if o.question.level == level]


def _same(o: Outcome, level: str) -> bool:
    """Whether an absent question is asked in the words of a level with present changes."""
    return o.question.wording == level


def _rows(outcomes: Sequence[Outcome], name: str) -> list[tuple[int, str, measures.Confusion]]:
    return [(o.question.pair, o.question.accept[0].key, o.scores[name]) for o in outcomes]


def _macro(outcomes: Sequence[Outcome], name: str) -> dict[str, float]:
    if not outcomes:
        return dict.fromkeys(("f1", "iou", "precision", "recall"), float("nan"))
    counts, _ = measures.pixel_counts(_rows(outcomes, name))
    return measures.macro(counts.sum(axis=0))


def _verdicts(outcomes: Sequence[Outcome], verdict: Callable[[Outcome], bool]) -> list[tuple[int, bool]]:
    return [(o.question.pair, verdict(o)) for o in outcomes]


def _rate(
    outcomes: Sequence[Outcome], verdict: Callable[[Outcome], bool]
) -> tuple[float, measures.Interval]:
    verdicts = _verdicts(outcomes, verdict)
    return measures.rate(verdicts), measures.rate_interval(verdicts)


def _is_empty(o: Outcome, name: str) -> bool:
    c = o.scores[name]
    return c.tp + c.fp == 0


def _marked_share(o: Outcome) -> float:
    c = o.scores[MODEL]
    return (c.tp + c.fp) / c.total if c.total else 0.0
