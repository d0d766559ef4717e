"""How every command speaks: answers on the standard output, errors in one sentence on the standard error."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import typer

from reasoncd.errors import ReasonCDError

DEBUG_VARIABLE = "REASONCD_DEBUG"

Say = Callable[[str], None]
ShowStage = Callable[[str, int, int], None]
"""Stage, how much of it is done, and how much there is."""


def debugging() -> bool:
    """Whether tracebacks are wanted."""
    return os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")


def path_text(path: Path) -> str:
    """A path as text that any file and terminal takes, whatever bytes its name holds."""
    return os.fsencode(path).decode("utf-8", "replace")


@contextmanager
def one_sentence() -> Iterator[None]:
    """End the command on our own errors: one sentence and the error's exit status."""
    try:
        yield
    except ReasonCDError as error:
        if debugging():
            raise
        typer.echo(f"reasoncd: {error.message}", err=True)
        raise typer.Exit(error.exit_code) from None


def say_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The hook for what nobody expected: one sentence instead of a traceback; Python then exits with 1."""
    if issubclass(kind, MemoryError):
        what = "the memory is full; use smaller images or ask fewer questions at a time"
    else:
        what = f"this is a fault of the program ({kind.__name__}); {DEBUG_VARIABLE}=1 shows where it happened"
    print(f"reasoncd: {what}", file=sys.stderr)


@contextmanager
def progress() -> Iterator[tuple[Say, ShowStage]]:
    """Two functions that show on the standard error what is being done; mute where nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    names = {"encode": "looking at the images", "reason": "reading the question", "decode": "drawing the map"}
    console = Console(stderr=True)
    words = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), words, BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("starting", total=None)

        def say(words: str) -> None:
            shown.update(task, description=words, total=None)

        def show_stage(stage: str, done: int, total: int) -> None:
            # A newer gateway may have stages that have no words here.
            shown.update(task, description=names.get(stage, stage), completed=done, total=total)

        yield say, show_stage
