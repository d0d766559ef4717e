"""Arms against the first arm: means over seeds, intervals over units, and the table people read.

An interval says how the figure might lie with other pairs or queries; the seeds beside it say what another
training would give. Both arms of a difference are resampled together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from reasoncd.errors import CorruptDataError
from training.ablations.arms import Ablation
from training.ablations.measures import F64, Interval, Measure, draw_weights, interval

Results = Mapping[str, Mapping[int, Sequence[Measure]]]
"""By arm and seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One measure of one arm."""

    measure: str
    unit: str
    units: int
    """How many of them the figure says something of, in the first seed."""
    arm: str
    seeds: Mapping[int, float]
    mean: float
    """Over the seeds."""
    interval: Interval
    """95 % bootstrap over the units, of the mean over the seeds."""
    difference: float | None
    """To the first arm; None for that arm itself."""
    difference_interval: Interval | None

    @property
    def spread(self) -> Interval:
        """The lowest and the highest seed."""
        return min(self.seeds.values()), max(self.seeds.values())

    def as_json(self) -> dict[str, Any]:
        """Plain values, NaN as null."""
        return {
            "measure": self.measure,
            "unit": self.unit,
            "units": self.units,
            "arm": self.arm,
            "seeds": {str(seed): _plain(value) for seed, value in self.seeds.items()},
            "mean": _plain(self.mean),
            "interval": [_plain(v) for v in self.interval],
            "difference": None if self.difference is None else _plain(self.difference),
            "difference_interval": None
            if self.difference_interval is None
            else [_plain(v) for v in self.difference_interval],
        }


def compare(results: Results) -> list[Row]:
    """Every measure of every arm, measure by measure.

    Raises:
        CorruptDataError: arms were measured on different units.
    """
    arms = list(results)
    first = next(iter(results[arms[0]].values()))
    rows: list[Row] = []
    for place, measure in enumerate(first):
        units = len(measure.counts)
        weights = draw_weights(units)
        reference: tuple[float, F64] | None = None
        for arm in arms:
            of_seeds = {seed: measures[place] for seed, measures in results[arm].items()}
            if any(m.name != measure.name or len(m.counts) != units for m in of_seeds.values()):
                raise CorruptDataError(
                    f"arm {arm} was not measured on what the first arm was; delete its measured.json"
                )
            values = {seed: m.value for seed, m in of_seeds.items()}
            mean = float(np.mean(list(values.values())))
            draws = np.mean([m.drawn(weights) for m in of_seeds.values()], axis=0)
            rows.append(
                Row(
                    measure=measure.name,
                    unit=measure.unit,
                    units=next(iter(of_seeds.values())).asked,
                    arm=arm,
                    seeds=values,
                    mean=mean,
                    interval=interval(draws),
                    difference=None if reference is None else mean - reference[0],
                    difference_interval=None if reference is None else interval(draws - reference[1]),
                )
            )
            reference = reference or (mean, draws)
    return rows


def as_markdown(ablation: Ablation, rows: Sequence[Row], equal: Sequence[str]) -> str:
    """The table, and what was the same in all its arms."""
    first = ablation.arms[0].name
    lines = [
        f"# Ablation: {ablation.name}",
        "",
        ablation.question,
        "",
        f"| measure | arm | mean of seeds | seeds | 95 % interval | against {first} | 95 % interval | over |",
        "|---|---|---|---|---|---|---|---|",
    ]
    before = ""
    for row in rows:
        low, high = row.spread
        against = "" if row.difference is None else f"{_figure(row.difference, signed=True)}"
        bounds = "" if row.difference_interval is None else _span(row.difference_interval, signed=True)
        seeds = f"{_figure(low)} to {_figure(high)}" if len(row.seeds) > 1 else "one"
        name = "" if row.measure == before else row.measure
        before = row.measure
        lines.append(
            f"| {name} | {row.arm} | {_figure(row.mean)} | {seeds} | {_span(row.interval)} | {against} | "
            f"{bounds} | {row.units} {row.unit} |"
        )
    lines += ["", "Equal in all arms:", "", *(f"- {line}" for line in equal), ""]
    return "\n".join(lines)


def as_json(ablation: Ablation, rows: Sequence[Row], equal: Sequence[str]) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "ablation": ablation.name,
        "question": ablation.question,
        "arms": [arm.name for arm in ablation.arms],
        "equal": list(equal),
        "rows": [row.as_json() for row in rows],
    }


def _plain(value: float) -> float | None:
    return None if isnan(value) else round(value, 6)


def _figure(value: float, *, signed: bool = False) -> str:
    return "-" if isnan(value) else f"{value:{'+' if signed else ''}.3f}"


def _span(bounds: Interval, *, signed: bool = False) -> str:
    return " to ".join(_figure(bound, signed=signed) for bound in bounds)
