"""The first tables of the report: targets met and missed, and the model against its controls."""

import math
from collections.abc import Sequence

from benchmarks.reporting.goals import Goal
from benchmarks.reporting.leads import Lead
from benchmarks.reporting.tables import MISSING, figure, share, table


def goal_table(found: Sequence[Goal]) -> str:
    """Every target with what was reached."""
    rows = [
        [
            goal.measure, goal.on,
            f"{'at most' if goal.at_most else 'at least'} {_number(goal, goal.target)}",
            _number(goal, goal.value), _interval(goal), _verdict(goal),
        ]
        for goal in found
    ]  # fmt: skip
    header = ["measure", "pairs", "target", "reached", "95 % interval", "verdict"]
    return table(header, rows, text=("pairs", "verdict"))


def lead_table(found: Sequence[Lead]) -> str:
    """The model's figure beside each control's: macro F1, for N2 the share of empty maps."""
    rows = [
        [
            lead.level, lead.control, figure(lead.model), figure(lead.other),
            f"{lead.model - lead.other:+.3f} ({lead.interval[0]:+.3f} to {lead.interval[1]:+.3f})",
            "better" if lead.ahead else "not better",
        ]
        for lead in found
    ]  # fmt: skip
    header = ["level", "control", "model", "the control", "difference (95 %)", "the model is"]
    return table(header, rows, text=("control", "the model is"))


def _number(goal: Goal, value: float) -> str:
    if math.isnan(value):
        return MISSING
    if goal.in_per_cent:
        return share(value)
    return str(int(value)) if goal.is_count else figure(value, 2 if value == goal.target else 3)


def _interval(goal: Goal) -> str:
    if math.isnan(goal.interval[0]):
        return MISSING
    return f"{_number(goal, goal.interval[0])} to {_number(goal, goal.interval[1])}"


def _verdict(goal: Goal) -> str:
    words = {True: "met", False: "missed", None: "not measured"}[goal.met]
    return f"{words}; {goal.note}" if goal.note else words
