"""The figures of `reasoncd-bench scenes` as Markdown."""

from dataclasses import dataclass

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
class ScenesResult:
    """All runs."""

    runs: tuple[Run, ...]
    shift: int
    """Pixels by which the other grid of tiles lies apart."""
    shifted: Counts
    seams: SeamCounts
    pieces: int


def scenes_report(result: ScenesResult) -> str:
    """The report."""
    once = [run for run in result.runs if run.reasoning == "once"]
    by_tile = [run for run in result.runs if run.reasoning == "tile"]
    lines = [
        "# Whole scenes",
        "",
        f"Mosaics of {result.pieces} drawn pairs, turned and mirrored; one question, a fresh process a run.",
        "",
        "| side | reasoning | tiles | F1 | IoU | s | of it tiles | s / megapixel | peak MiB | model MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_row(run) for run in result.runs),
        "",
        "| what | value | target | |",
        "|---|---|---|---|",
        *_goals(result, once),
    ]
    if by_tile:
        first, second = once[0], by_tile[0]
        words = (
            f"Reasoning once against per tile, {first.side} x {first.side}: F1 {first.f1:.3f} against "
            f"{second.f1:.3f}, {first.pace:.2f} against {second.pace:.2f} seconds per megapixel."
        )
        lines += ["", words]
    return "\n".join(lines) + "\n"


def _goals(result: ScenesResult, once: list[Run]) -> list[str]:
    lines = []
    if len(once) > 1:
        paces, peaks = [run.pace for run in once], [run.peak_mib for run in once]
        slower, more = max(paces) / min(paces) - 1, max(peaks) - min(peaks)
        lines += [
            _goal("slowest over fastest pace", f"{slower:+.1%}", f"{PACE_TARGET:.0%}", slower <= PACE_TARGET),
            _goal("peak memory apart", f"{more:.0f} MiB", f"{MEMORY_TARGET:.0f} MiB", more <= MEMORY_TARGET),
        ]
    iou, on, off = result.shifted.iou, result.seams.on_seams, result.seams.off_seams
    apart = f"IoU with tiles {result.shift} pixels apart"
    lines += [
        _goal(apart, f"{iou:.3f}", f"{SHIFT_TARGET:.2f}", iou >= SHIFT_TARGET),
        _goal("differing on seams, off seams", f"{on:.3%}, {off:.3%}", "no more on them", on <= off),
    ]
    return lines


def _row(run: Run) -> str:
    return (
        f"| {run.side} | {run.reasoning} | {run.tiles} | {run.f1:.3f} | {run.iou:.3f} | {run.seconds:.0f} "
        f"| {run.tiles_seconds:.0f} | {run.pace:.2f} | {run.peak_mib:.0f} | {run.built_mib:.0f} |"
    )


def _goal(what: str, value: str, target: str, met: bool) -> str:
    return f"| {what} | {value} | {target} | {'met' if met else 'missed'} |"
