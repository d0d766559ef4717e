"""How far something long is: a bar with the time left in a terminal, plain lines where a file listens."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

_REDRAWN = 0.1
"""Seconds between two drawings of a bar."""
_LINES = 10
"""Lines of a whole count."""


class Report(Protocol):
    """What a run tells while it goes on."""

    def say(self, line: str) -> None:
        """Something that is worth a line of its own."""

    def begin(self, name: str, step: int, steps: int, unit: str = "step") -> None:
        """A run of so many steps starts, or goes on, at a step; `unit` is what a step is called."""

    def step(self, step: int, pace: float, figures: str | None) -> None:
        """A step is done; `pace` is seconds a step, `figures` is None between two lines of the log."""

    def end(self) -> None:
        """The run has ended, well or not."""


class PlainReport:
    """One line for each line of the log.

    Args:
        write: is given the lines.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._steps, self._unit = 0, "step"

    def say(self, line: str) -> None:
        """Hand the line on."""
        self._write(line)

    def begin(self, name: str, step: int, steps: int, unit: str = "step") -> None:
        """Nothing to show yet."""
        self._steps, self._unit = steps, unit

    def step(self, step: int, pace: float, figures: str | None) -> None:
        """A line where the log has one."""
        if figures is None:
            return
        left, unit = time_left(pace * (self._steps - step)), self._unit
        line = f"{unit} {step}/{self._steps} {pace:.2f} s/{unit} {left} left"
        self._write(f"{line} | {figures}" if figures else line)

    def end(self) -> None:
        """Nothing to take away."""


class TerminalReport:
    """A bar at the bottom, lines above it.

    Args:
        console: a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._steps, self._unit = 0, "step"
        self._drawn = 0.0

    def say(self, line: str) -> None:
        """A line above the bar."""
        self._console.print(line, highlight=False, markup=False)

    def begin(self, name: str, step: int, steps: int, unit: str = "step") -> None:
        """Show the bar."""
        self._steps, self._unit = steps, unit
        self._bar = Progress(
            TextColumn("[bold]{task.fields[name]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("[dim]{task.fields[figures]}"),
            console=self._console,
            # Redrawn by the steps: a thread of its own would wake up beside the arithmetic.
            auto_refresh=False,
        )
        self._task = self._bar.add_task("", total=steps, completed=step, name=name, left="", figures="")
        self._bar.start()

    def step(self, step: int, pace: float, figures: str | None) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        left = f"{pace:.2f} s/{self._unit}, {time_left(pace * (self._steps - step))} left"
        self._bar.update(self._task, completed=step, left=left)
        if figures is not None:
            self._bar.update(self._task, figures=figures)
        # Short steps are not drawn one by one; `end` draws how it stands.
        if time.monotonic() - self._drawn >= _REDRAWN or figures is not None:
            self._drawn = time.monotonic()
            self._bar.refresh()

    def end(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class Silence(PlainReport):
    """For all processes but the first."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)


def standard_report() -> Report:
    """On the standard error: a bar where it is a terminal, else lines."""
    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        return TerminalReport(console)
    return PlainReport(_to_standard_error)


@contextmanager
def counted(report: Report, name: str, unit: str, at_end: str = "") -> Iterator[Callable[[int, int], None]]:
    """Let a report follow what is only counted; a plain one gets a line about every tenth of the way.

    Args:
        report: is told.
        name: of the whole.
        unit: what is counted, in the singular.
        at_end: what still happens when all are done.

    Yields:
        To be called with how many are done, from 1, and how many there are.
    """
    started, total = time.perf_counter(), 0

    def advance(done: int, of: int) -> None:
        nonlocal total
        if not total:
            total = of
            report.begin(name, 0, of, unit)
        tenth = done * _LINES // of > (done - 1) * _LINES // of
        figures = at_end if done == of else "" if tenth else None
        report.step(done, (time.perf_counter() - started) / done, figures)

    try:
        yield advance
    finally:
        if total:
            report.end()


def time_left(seconds: float) -> str:
    """Seconds in words: "2 h 05 min", "12 min" or "40 s"."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes_of_hour = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_of_hour:02d} min"
    return f"{minutes} min" if minutes else f"{rest} s"


def _to_standard_error(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
