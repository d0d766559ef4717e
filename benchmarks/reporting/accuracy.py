"""The accuracy report: one Markdown page out of one result."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.measuring import measures
from benchmarks.measuring.accuracy import AccuracyResult, ListResult
from benchmarks.measuring.outcomes import MODEL, Outcome
from benchmarks.measuring.pooling import pooled_outcomes
from benchmarks.measuring.reliability import reliability
from benchmarks.reporting.behaviour_tables import (
    correction_table,
    explanation_table,
    paraphrase_table,
    reliability_table,
)
from benchmarks.reporting.crosses import class_cross, direction_cross
from benchmarks.reporting.goal_tables import goal_table, lead_table
from benchmarks.reporting.goals import AGAINST_CONTROLS, goals
from benchmarks.reporting.leads import leads
from benchmarks.reporting.level_tables import (
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
from benchmarks.reporting.notes import HEAD, LEADS, READING
from benchmarks.reporting.real_tables import pair_table, pooled_table
from benchmarks.reporting.tables import figure, table
from training.data.fixed_pairs import PairKind

COMPARED = ("I1", *AGAINST_CONTROLS)
"""Levels on which the model is held against the controls."""
_TITLES: dict[PairKind, str] = {
    "composite": "Composites of real tiles",
    "scene": "Rendered scenes",
    "footprint": "Composites on a held-out tile with building footprints",
}
_SHORT: dict[PairKind, str] = {
    "composite": "composites of real tiles",
    "scene": "rendered scenes",
    "footprint": "footprint composites",
}


def accuracy_report(result: AccuracyResult) -> str:
    """The whole page."""
    main = _main(result)
    everything = pooled_outcomes(main)
    on = " and ".join(list_name(one) for one in main)
    parts = [HEAD, _what(result), "\n## Targets\n", goal_table(goals(result))]
    if everything:
        parts += ["### Against the controls\n", f"On {on}. {LEADS}\n", _leads(everything)]
    for one in result.lists:
        parts += [f"\n## {_TITLES[one.pairs.kind]}\n", _list_line(one), *_list_tables(one)]
    if everything:
        parts += ["\n## Beside the maps\n", *_behaviour(main)]
        parts += ["\n## Asked and named\n", _confusions(everything, on)]
    if result.config.real:
        parts += ["\n## Real aerial pairs\n", _real(result)]
    parts += ["\n## Failures\n", _failures(result), READING]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _leads(outcomes: Sequence[Outcome]) -> str:
    return lead_table([lead for level in COMPARED for lead in leads(outcomes, level)])


def summary(one: ListResult) -> dict[str, float]:
    """The figures of a list that one would quote first: macro F1 of each level, correct-empty of N0-N3."""
    levels = [level for level in levels_of(one.outcomes, True) if of_level(one.outcomes, level)]
    found = {f"f1 {level}": macro_of(of_level(one.outcomes, level), MODEL)["f1"] for level in levels}
    for level in levels_of(one.outcomes, False):
        found[f"correct empty {level}"] = measures.rate(
            [(o.question.pair, o.correct_empty) for o in of_level(one.outcomes, level)]
        )
    return found


def verdicts_as_json(result: AccuracyResult) -> dict[str, Any]:
    """What the page concludes from a result, with numbers and texts only."""
    main = _main(result)
    everything = pooled_outcomes(main)
    return {
        "targets": [goal.as_json() for goal in goals(result)],
        "controls": [lead.as_json() for level in COMPARED for lead in leads(everything, level)],
        "reliability": {one.pairs.kind: reliability(one.outcomes).as_json() for one in main},
    }


def _main(result: AccuracyResult) -> list[ListResult]:
    """The lists on which all is asked."""
    return [one for one in result.lists if one.pairs.kind != "footprint"]


def list_name(one: ListResult) -> str:
    """What a table says that it is of: count, kind and split."""
    return f"{len(one.pairs.pairs)} {_SHORT[one.pairs.kind]} ({one.pairs.split})"


def _what(result: AccuracyResult) -> str:
    lines = [f"- {name}: fingerprint `{digest[:16]}`" for name, digest in sorted(result.fingerprints.items())]
    lines.append(
        f"- At most {result.config.queries} questions a level and pair; seed {result.config.seed}; "
        f"{result.seconds / 60:.0f} minutes."
    )
    if result.held_out_sha256 and result.held_out_run is None:
        lines.append(
            f"- Development queries: file `{result.held_out_sha256[:16]}`. Choices are made on them, so D1, "
            "D2 and D3 prove nothing; held-out queries (I2, I3): not run."
        )
    elif result.held_out_sha256:
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
    outcomes, on = one.outcomes, f"On {list_name(one)}"
    plain = one.pairs.kind == "footprint"
    parts = [f"### Where the asked change is there\n\n{on}.\n", present_table(outcomes)]
    parts += [] if plain else [retention_line(outcomes)]
    parts += [f"### F1 and IoU of each target\n\n{on}.\n", target_table(outcomes)]
    if not plain:
        parts += [f"### Controls\n\n{on}: macro F1 of the same questions.\n", control_table(outcomes)]
        parts += [f"### Against the controls\n\n{on}.\n", _leads(outcomes)]
    parts += [f"### Where the asked change is not there\n\n{on}.\n", absent_table(outcomes)]
    if not plain:
        parts += [f"{on}: empty maps of the controls.\n", absent_control_table(outcomes)]
    parts += [f"### Presence as a score\n\n{on}.\n", auroc_table(outcomes)]
    if one.swaps:
        swaps = np.array([swap.iou for swap in one.swaps])
        empty = sum(swap.empty for swap in one.swaps)
        parts.append(
            f"Swap test, IoU(map(T1, T2, gain), map(T2, T1, loss)): mean {figure(float(swaps.mean()))}, "
            f"median {figure(float(np.median(swaps)))} over {len(swaps)} pairs, of which {empty} have two "
            "empty maps, which agree.\n"
        )
    return parts


def _behaviour(lists: Sequence[ListResult]) -> list[str]:
    named = [(list_name(one), one) for one in lists]
    return [
        "### Paraphrases\n", paraphrase_table(named),
        "### Explained answers\n", explanation_table(named),
        "### Confidence: predicted IoU / true IoU in bins of equal mass\n", reliability_table(named),
        "### Corrections\n", correction_table(named),
    ]  # fmt: skip


def _real(result: AccuracyResult) -> str:
    if not result.real:
        return "Not measured: the images are not there.\n"
    on = f"On {len({o.pair for o in result.real})} aerial pairs of `fotbcd_512` (validation)"
    pooled = f"{on}, each at its own size, in tiles, with the checkpoint's thresholds.\n"
    alone = f"{on}, one by one. Without a true change there is only the share of false positives.\n"
    return "\n".join([pooled, pooled_table(result.real), alone, pair_table(result.real)])


def _failures(result: AccuracyResult) -> str:
    if not result.failures:
        return "No question failed.\n"
    shown = [[f.query, f.reason[:160]] for f in result.failures[:20]]
    text = f"{len(result.failures)} questions failed: they count as empty maps and wrong words.\n\n"
    return text + table(["query", "reason"], shown)


def _confusions(outcomes: Sequence[Outcome], on: str) -> str:
    named = [(o.question.accept[0], o.named) for o in outcomes if o.question.accept]
    return "\n".join([
        f"On {on}: the class asked and the class named in the answer; a transition counts for the first.\n",
        class_cross(named),
        f"On {on}: the same by direction.\n",
        direction_cross(named),
    ])  # fmt: skip
