"""The speed report: medians, their spread, and ratios to the budgets and to the reference product."""

import numpy as np

from benchmarks.reporting.tables import figure, table
from benchmarks.speed.rounds import GEMM_SIDE, SpeedResult

BUDGETS = {"cold query": 0.6, "repeated query": 0.2}
"""Seconds on two CPU cores with the `mini` preset."""
EXPLAINED_BUDGET = 25.0
"""Tokens a second."""
START_BUDGET = 6.0
MEMORY_BUDGET = 1536.0
"""MiB."""
CHECKPOINT_BUDGET = 40.0
"""MB, of 10^6 bytes."""

_HEAD = """# Speed

Written by `reasoncd-bench speed`; never edited by hand. Medians of interleaved rounds in one process, on
drawn pairs of 256 x 256 with short answers; every round begins with the reference, a matrix product, and
has images of its own. The budgets are for two idle CPU cores and the `mini` preset. To compare two
machines, or a busy one with itself, use the ratio to the reference.
"""


def speed_report(result: SpeedResult) -> str:
    """The whole page."""
    reference = float(np.median(result.times[f"fp32 product of side {GEMM_SIDE}"]))
    rounds = result.config.rounds
    where = [f"- {name}: fingerprint `{digest[:16]}`" for name, digest in sorted(result.fingerprints.items())]
    where.append(
        f"- Device {result.config.device}, {result.threads} threads of torch, {result.cores} cores, "
        f"load {result.load:.1f} when it began; {rounds} rounds, the first one more not counted."
    )
    parts = [_HEAD, "\n".join(where) + "\n", "## Against the budgets\n", _budgets(result)]
    parts += ["## Every median\n", _medians(result, reference), "## Ratios within the run\n", _ratios(result)]
    return "\n".join(parts)


def _budgets(result: SpeedResult) -> str:
    rows = [
        [name, _seconds(result.times[name]), f"{budget} s", figure(_median(result.times[name]) / budget, 2),
         str(len(result.times[name]))]
        for name, budget in BUDGETS.items()
    ]  # fmt: skip
    rate = _median(result.explained_rates)
    rows.append([
        "explained answers", f"{rate:.1f} tokens/s", f"{EXPLAINED_BUDGET:.0f} tokens/s",
        figure(EXPLAINED_BUDGET / rate, 2), str(len(result.explained_rates)),
    ])  # fmt: skip
    if result.starts:
        ready = [start["ready"] for start in result.starts]
        peak = [start["peak_mib"] for start in result.starts]
        count = str(len(result.starts))
        rows.append([
            "start of the embedded pipeline", _seconds(ready), f"{START_BUDGET} s",
            figure(_median(ready) / START_BUDGET, 2), count,
        ])  # fmt: skip
        rows.append([
            "peak memory with one query", f"{_median(peak):.0f} MiB", f"{MEMORY_BUDGET:.0f} MiB",
            figure(_median(peak) / MEMORY_BUDGET, 2), count,
        ])  # fmt: skip
    size = result.checkpoint_mib * 2**20 / 1e6
    rows.append(
        [
            "checkpoint",
            f"{size:.1f} MB",
            f"{CHECKPOINT_BUDGET:.0f} MB",
            figure(size / CHECKPOINT_BUDGET, 2),
            "1",
        ]
    )
    return table(["", "median", "budget", "of the budget (below 1 is within)", "measured"], rows)


def _medians(result: SpeedResult, reference: float) -> str:
    rows = [
        [name, _seconds(times), *(f"{1000 * np.percentile(times, q):.1f}" for q in (25, 75)),
         figure(_median(times) / reference, 2), str(len(times))]
        for name, times in result.times.items()
    ]  # fmt: skip
    if result.starts:
        for name, words in (
            ("ready", "start of the embedded pipeline"),
            ("answered", "start and first answer"),
        ):
            times = [start[name] for start in result.starts]
            rows.append([
                words, _seconds(times), *(f"{1000 * np.percentile(times, q):.1f}" for q in (25, 75)),
                figure(_median(times) / reference, 2), str(len(times)),
            ])  # fmt: skip
    return table(["", "median", "25 % (ms)", "75 % (ms)", "of the fp32 product", "measured"], rows)


def _ratios(result: SpeedResult) -> str:
    times, rounds = result.times, result.config.rounds
    rows = [
        ["cold / repeated query", _paired(times["cold query"], times["repeated query"])],
        [
            "short answer, prefix computed / cached",
            _paired(times["short answer, prefix computed"], times["short answer, prefix cached"]),
        ],
    ]
    for name in ("short answer", "explained answer"):
        rows += [
            [
                f"{name}, plain greedy / with guesses",
                _paired(times[f"{name}, plain greedy, prefix cached"], times[f"{name}, prefix cached"]),
            ],
            [
                f"passes of the language model, {name}, plain greedy / with guesses",
                _paired(result.passes[f"{name}, plain greedy"], result.passes[f"{name}, with guesses"]),
            ],
        ]
    if result.starts:
        ready = [start["ready"] for start in result.starts]
        rows.append(["start / `import torch`", _paired(ready, times["import torch in a fresh process"])])
    text = table(["median of the ratio of each round", ""], rows)
    tokens = _median(result.explained_tokens)
    return (
        f"{text}\nBoth ways of decoding gave the same tokens in {result.same_tokens} of {rounds} rounds. "
        f"Explained answers had {tokens:.0f} tokens at the median; their rate holds everything after the "
        "cached prefix. The reasoner by itself reads random patch tokens.\n"
    )


def _median(values: list[float] | list[int]) -> float:
    return float(np.median(values))


def _seconds(values: list[float]) -> str:
    median = _median(values)
    return f"{median:.2f} s" if median >= 1 else f"{1000 * median:.1f} ms"


def _paired(above: list[float] | list[int], below: list[float] | list[int]) -> str:
    return figure(float(np.median(np.asarray(above) / np.asarray(below))), 2)
