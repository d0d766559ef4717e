"""The page about the served system: each figure beside what it is compared with, and its target."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.reporting.tables import figure, share, table
from benchmarks.serving.load import EXCESS, Overload, Throughput
from benchmarks.serving.overhead import Overhead

COLD_RATIO = 1.10
REPEATED_MORE_MS = 30.0
REFUSAL_MS = 50.0
KEPT = 0.90

_HEAD = """# Speed of the served system

Written by `reasoncd-bench serving`; never edited by hand. Real processes on loopback: Ray Serve with one
replica of each service, a gateway, and clients that speak gRPC. What is compared takes turns within one run.
Times depend on the machine and on what else it does; the ratios less so.
"""
_BUSY = """
**The machine was busy with other work when this was measured** (see the load): take the figures as an upper
bound of times and overheads, and measure again on an idle one before relying on them.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """On what it was measured."""

    fingerprints: dict[str, str]
    cores: int
    threads: int
    """Of torch, in each replica and in the process that is compared with them."""
    load: float
    """Processes that wanted a core when it began, none of ours among them."""
    clients: int
    seconds: float
    """Of each side of a load."""
    places: int
    """Requests that the overloaded gateway holds, in work and waiting."""

    @property
    def busy(self) -> bool:
        """Whether others wanted the cores too."""
        return self.load > 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class ServingResult:
    """Everything that was measured."""

    setting: Setting
    overhead: Overhead
    batched: Throughput
    single: Throughput
    """With batching switched off."""
    overload: Overload

    def as_json(self) -> dict[str, Any]:
        """Every single measurement."""
        return asdict(self)


def serving_report(result: ServingResult) -> str:
    """The whole page."""
    setting = result.setting
    where = [
        f"- {name}: fingerprint `{digest[:16]}`" for name, digest in sorted(setting.fingerprints.items())
    ]
    where.append(
        f"- {setting.cores} cores, {setting.threads} threads of torch in each replica and in the process "
        f"compared with them; load {setting.load:.1f} when it began."
    )
    parts = [_HEAD, "\n".join(where) + "\n"]
    if setting.busy:
        parts.append(_BUSY)
    parts += ["## Against the targets\n", _targets(result)]
    parts += ["## One caller\n", _one_caller(result.overhead)]
    parts += [f"## {setting.clients} callers\n", _callers(result)]
    parts += ["## More than it can bear\n", _overload(result)]
    return "\n".join(parts)


def _targets(result: ServingResult) -> str:
    overhead, overload = result.overhead, result.overload
    more = 1000 * overhead.repeated_more_s
    refusal = 1000 * _percentile(overload.refusal_s, 95)
    rows = [
        ["cold query, served / in one process", figure(overhead.cold_ratio, 2), f"at most {COLD_RATIO:.2f}",
         _met(overhead.cold_ratio <= COLD_RATIO)],
        ["repeated query, served - in one process", f"{more:.1f} ms", f"at most {REPEATED_MORE_MS:.0f} ms",
         _met(more <= REPEATED_MORE_MS)],
        [f"p95 of a refusal at {EXCESS} times overload", f"{refusal:.1f} ms", f"at most {REFUSAL_MS:.0f} ms",
         _met(refusal <= REFUSAL_MS)],
        ["answers kept at that overload", share(overload.kept), f"at least {100 * KEPT:.0f} %",
         _met(overload.kept >= KEPT)],
    ]  # fmt: skip
    return table(["", "measured", "target", "met"], rows, text=["met"])


def _one_caller(overhead: Overhead) -> str:
    rows = [
        [name, _ms(here), _ms(served), figure(float(np.median(np.divide(served, here))), 2),
         f"{1000 * float(np.median(np.subtract(served, here))):+.1f}", str(len(here))]
        for name, here, served in (
            ("cold query", overhead.cold_here, overhead.cold_served),
            ("repeated query", overhead.repeated_here, overhead.repeated_served),
        )
    ]  # fmt: skip
    header = ["median", "in one process (ms)", "served (ms)", "ratio", "difference (ms)", "rounds"]
    return table(header, rows) + (
        "\nDrawn pairs of 256 x 256 as PNG files, short answers; both sides decode the files. Ratio and "
        "difference are medians over rounds of that round's own. The maps of both sides were equal, byte for "
        "byte, in every round.\n"
    )


def _callers(result: ServingResult) -> str:
    rows = [
        [name, figure(found.median, 2), _ms(found.seconds), f"{1000 * _percentile(found.seconds, 95):.0f}",
         str(len(found.seconds))]
        for name, found in (("batching", result.batched), ("one at a time", result.single))
    ]  # fmt: skip
    gain = float(np.median(np.divide(result.batched.per_second, result.single.per_second)))
    header = ["", "answers/s", "median (ms)", "p95 (ms)", "answers"]
    return table(header, rows) + (
        f"\nBatching gives {gain:.2f} times the answers a second (median over "
        f"{len(result.batched.per_second)} slices in turn). Each of {result.setting.clients} clients asks "
        "anew as soon as it has its answer, about pairs whose features are cached, for "
        f"{result.setting.seconds:g} s on each side.\n"
    )


def _overload(result: ServingResult) -> str:
    found = result.overload
    rows = [
        [name, figure(answers.median, 2), f"{1000 * _percentile(answers.seconds, 50):.0f}",
         f"{1000 * _percentile(answers.seconds, 95):.0f}"]
        for name, answers in (("filled, without excess", found.good), ("with excess", found.loaded))
    ]  # fmt: skip
    offered = float(np.median(found.offered))
    own, seen = (1000 * _percentile(values, 95) for values in (found.refusal_s, found.refusal_client_s))
    return table(["", "answers/s", "median (ms)", "p95 (ms)"], rows) + (
        f"\nThe gateway holds {result.setting.places} requests. The crowd asks {offered:.0f} times a second "
        f"whether or not answers come, {EXCESS} times what was answered without it; {found.refused} calls "
        f"were refused and {found.failed} failed otherwise. 95 % of refusals took the gateway at most "
        f"{own:.1f} ms, and as the clients, which share its cores, saw it {seen:.0f} ms.\n"
    )


def _met(met: bool) -> str:
    return "yes" if met else "no"


def _ms(seconds: list[float]) -> str:
    return f"{1000 * _percentile(seconds, 50):.1f}"


def _percentile(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else float("nan")
