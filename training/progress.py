"""How far a run is: a bar with the time left in a terminal, plain lines where a file listens."""

import sys
from collections.abc import Callable
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn


class Report(Protocol):
    """What a run tells while it goes on."""

    def say(self, line: str) -> None:
        """Something that is worth a line of its own."""

    def begin(self, name: str, step: int, steps: int) -> None:
        """A run of so many steps starts, or goes on, at a step."""

    def step(self, step: int, pace: float, figures: str) -> None:
        """A step is done; `pace` is seconds a step, `figures` is "" between two lines of the log."""

    def end(self) -> None:
        """The run has ended, well or not."""


class PlainReport:
    """One line for each line of the log.

    Args:
        write: is given the lines.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._steps = 0

    def say(self, line: str) -> None:
        """Hand the line on."""
        self._write(line)

    def begin(self, name: str, step: int, steps: int) -> None:
        """Nothing to show yet."""
        self._steps = steps

    def step(self, step: int, pace: float, figures: str) -> None:
        """A line where there are figures."""
        if figures:
            left = time_left(pace * (self._steps - step))
            self._write(f"step {step}/{self._steps} {pace:.2f} s/step {left} left | {figures}")

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
        self._steps = 0

    def say(self, line: str) -> None:
        """A line above the bar."""
        self._console.print(line, highlight=False, markup=False)

    def begin(self, name: str, step: int, steps: int) -> None:
        """Show the bar."""
        self._steps = steps
        self._bar = Progress(
            TextColumn("[bold]{task.fields[name]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("[dim]{task.fields[figures]}"),
            console=self._console,
            # Redrawn at each step: a thread of its own would wake up beside the arithmetic.
            auto_refresh=False,
        )
        self._task = self._bar.add_task("", total=steps, completed=step, name=name, left="", figures="")
        self._bar.start()

    def step(self, step: int, pace: float, figures: str) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        left = f"{pace:.2f} s/step, {time_left(pace * (self._steps - step))} left"
        self._bar.update(self._task, completed=step, left=left)
        if figures:
            self._bar.update(self._task, figures=figures)
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
