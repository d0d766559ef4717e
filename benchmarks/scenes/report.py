"""The figures of `reasoncd-bench scenes` as Markdown."""

from dataclasses import dataclass
from statistics import median

from benchmarks.scenes.agreement import Counts, SeamCounts

PACE_TARGET = 0.10
"""Seconds per megapixel of two sizes may differ by this part."""
MEMORY_TARGET = 100.0
"""Peak memory of two sizes may differ by so many MiB."""
SHIFT_TARGET = 0.90
"""IoU of two maps whose tiles lie half a tile apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One scene from files to files."""

    side: int
    reasoning: str
    """`once` or `tile`."""
    f1: float
    """Of the pixels, against the truth."""
    iou: float
    seconds: float
    """Everything but loading the model."""
    tiles_seconds: float
    """Detecting tiles alone."""
    peak_mib: float
    built_mib: float
    """Peak when the model was loaded."""
    tiles: int
    answer: str

    @property
    def pace(self) -> float:
        """Seconds per megapixel."""
        return self.seconds / (self.side**2 / 1e6)


@dataclass(frozen=True, kw_only=True, slots=True)
class GridShift:
    """Two maps of one ground whose tiles lie apart, reasoned once."""

    side: int
    """Of the scene in pixels."""
    shift: int
    """Pixels by which the tiles lie apart."""
    presence_judged: bool
    """Whether squares below the presence threshold are shown empty, as users get them."""
    agreement: Counts
    seams: SeamCounts


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenesResult:
    """All runs."""

    runs: tuple[Run, ...]
    """In the order in which they ran."""
    grids: tuple[GridShift, ...]
    pieces: int


def scenes_report(result: ScenesResult) -> str:
    """The report."""
    series: dict[tuple[int, str], list[Run]] = {}
    for run in result.runs:
        series.setdefault((run.side, run.reasoning), []).append(run)
    once = [runs for (_, reasoning), runs in series.items() if reasoning == "once"]
    lines = [
        "# Whole scenes",
        "",
        f"Mosaics of {result.pieces} drawn pairs, turned and mirrored; one question, a fresh process a run.",
        "The runs in their order:",
        "",
        "| side | reasoning | tiles | F1 | IoU | s | of it tiles | s / megapixel | peak MiB | model MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_row(run) for run in result.runs),
        "",
        "Paces are medians of a size's runs, memory is the most of them.",
        "",
        "| what | value | target | |",
        "|---|---|---|---|",
        *_goals(once),
        *(line for grid in result.grids for line in _grid_goals(grid)),
    ]
    for (side, reasoning), runs in series.items():
        if reasoning == "tile":
            first, second = series[side, "once"], runs
            words = (
                f"Reasoning once against per tile, {side} x {side}: F1 {first[0].f1:.3f} against "
                f"{second[0].f1:.3f}, {_pace(first):.2f} against {_pace(second):.2f} seconds per megapixel."
            )
            lines += ["", words]
    return "\n".join(lines) + "\n"


def _pace(runs: list[Run]) -> float:
    return median(run.pace for run in runs)


def _goals(once: list[list[Run]]) -> list[str]:
    if len(once) < 2:
        return []
    paces = [_pace(runs) for runs in once]
    peaks = [max(run.peak_mib for run in runs) for runs in once]
    slower, more = max(paces) / min(paces) - 1, max(peaks) - min(peaks)
    return [
        _goal("slowest over fastest pace", f"{slower:+.1%}", f"{PACE_TARGET:.0%}", slower <= PACE_TARGET),
        _goal("peak memory apart", f"{more:.0f} MiB", f"{MEMORY_TARGET:.0f} MiB", more <= MEMORY_TARGET),
    ]


def _grid_goals(grid: GridShift) -> list[str]:
    iou, on, off = grid.agreement.iou, grid.seams.on_seams, grid.seams.off_seams
    apart = f"{grid.side} x {grid.side}, tiles {grid.shift} pixels apart"
    if not grid.presence_judged:
        return [f"| {apart}, presence not judged: IoU | {iou:.3f} | to compare | |"]
    return [
        _goal(f"{apart}: IoU", f"{iou:.3f}", f"{SHIFT_TARGET:.2f}", iou >= SHIFT_TARGET),
        _goal("differing on seams, off seams", f"{on:.3%}, {off:.3%}", "no more on them", on <= off),
    ]


def _row(run: Run) -> str:
    return (
        f"| {run.side} | {run.reasoning} | {run.tiles} | {run.f1:.3f} | {run.iou:.3f} | {run.seconds:.0f} "
        f"| {run.tiles_seconds:.0f} | {run.pace:.2f} | {run.peak_mib:.0f} | {run.built_mib:.0f} |"
    )


def _goal(what: str, value: str, target: str, met: bool) -> str:
    return f"| {what} | {value} | {target} | {'met' if met else 'missed'} |"
