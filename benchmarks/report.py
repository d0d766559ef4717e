"""The accuracy report: one Markdown page out of one result."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks import measures
from benchmarks.accuracy import AccuracyResult, ListResult
from benchmarks.level_tables import (
    absent_control_table,
    absent_table,
    auroc_table,
    control_table,
    levels_of,
    macro_of,
    of_level,
    present_table,
    retention_line,
    target_table,
)
from benchmarks.outcomes import MODEL, Outcome
from benchmarks.report_notes import HEAD, READING
from benchmarks.tables import figure, share, table
from reasoncd.ontology import MAIN_CLASSES

_TITLES = {"composite": "Composites of real tiles", "scene": "Rendered scenes"}
_OTHER, _NONE = "another", "none"
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
    levels = [level for level in levels_of(one.outcomes, True) if of_level(one.outcomes, level)]
    found = {f"f1 {level}": macro_of(of_level(one.outcomes, level), MODEL)["f1"] for level in levels}
    for level in levels_of(one.outcomes, False):
        found[f"correct empty {level}"] = measures.rate(
            [(o.question.pair, o.correct_empty) for o in of_level(one.outcomes, level)]
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
            f"- Held-out queries: file `{result.held_out_sha256[:16]}`, run {result.held_out_run} on them "
            "by the log."
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
    parts = ["### Where the asked change is there\n", present_table(outcomes), retention_line(outcomes)]
    parts += ["### F1 of each target\n", target_table(outcomes)]
    parts += ["### Controls: macro F1 of the same questions\n", control_table(outcomes)]
    parts += [
        "### Where the asked change is not there\n",
        absent_table(outcomes),
        absent_control_table(outcomes),
    ]
    parts += ["### Presence as a score\n", auroc_table(outcomes)]
    if len(swaps):
        parts.append(
            f"Swap test, IoU(map(T1, T2, gain), map(T2, T1, loss)): mean {figure(float(swaps.mean()))}, "
            f"median {figure(float(np.median(swaps)))} over {len(swaps)} pairs.\n"
        )
    return parts


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
            *(figure(value) for value in ((c.precision, c.recall, c.f1) if c and changed else (None,) * 3)),
            share(c.fp / (c.fp + c.tn) if c and c.fp + c.tn else None),
            share(o.marked), figure(o.presence, 2),
        ])  # fmt: skip
    return (
        "Each pair at its own 512 x 512, in tiles. Without a true change there is only the share of false "
        "positives.\n\n"
        + table(
            [
                "pair",
                "query",
                "changed pixels",
                "P",
                "R",
                "F1",
                "false positives of the unchanged",
                "marked",
                "presence",
            ],
            rows,
        )
    )


def _failures(result: AccuracyResult) -> str:
    if not result.failures:
        return "No question failed.\n"
    shown = [[f.query, f.reason[:160]] for f in result.failures[:20]]
    text = f"{len(result.failures)} questions failed: they count as empty maps and wrong words.\n\n"
    return text + table(["query", "reason"], shown)


def _confusions(outcomes: Sequence[Outcome]) -> str:
    named = [(o.question.accept[0], o.named) for o in outcomes if o.question.accept]
    classes = [(asked.cls, answer.cls if answer else None) for asked, answer in named]
    directions = [(asked.direction, answer.direction if answer else None) for asked, answer in named]
    return "\n".join(
        [
            "By the class asked and the class named in the answer; a transition counts for the first.\n",
            _cross((*MAIN_CLASSES, _OTHER), classes),
            "The same by direction.\n",
            _cross(_DIRECTIONS, directions),
        ]
    )


def _cross(names: Sequence[str], cases: Sequence[tuple[str, str | None]]) -> str:
    """Cases counted by what was asked, down, and what was named, across."""
    columns = (*names, _NONE)
    counts: Counter[tuple[str, str]] = Counter()
    for asked, named in cases:
        column = _NONE if named is None else named if named in names else _OTHER
        counts[asked, column] += 1
    rows = [
        [asked, *(str(counts[asked, column]) for column in columns)]
        for asked in names
        if any(asked == case[0] for case in cases)
    ]
    return table(["asked, down; named, across", *columns], rows)
