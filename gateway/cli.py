"""`reasoncd`: ask about two images from the command line.

Answers go to the standard output, progress and errors to the standard error. Exit status: 0 where the
questions were answered, also by "no such change"; 2 where something given cannot be used; 1 where the
fault is ours. An error is one sentence; REASONCD_DEBUG=1 shows the traceback too.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reasoncd import __version__
from reasoncd.errors import ReasonCDError

if TYPE_CHECKING:
    from gateway.pipeline import Event

# The other modules of the gateway are imported where they are used, so that --help stays quick.

DEBUG_VARIABLE = "REASONCD_DEBUG"

app = typer.Typer(
    name="reasoncd",
    help="Find the changes between two images that a question in plain words asks for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"reasoncd {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find the changes between two images that a question in plain words asks for."""
    if not _debugging():
        sys.excepthook = _say_fault
        # GDAL reports to its logger what reaches the user as our sentence.
        logging.getLogger("rasterio").setLevel(logging.CRITICAL)


@app.command()
def detect(
    t1: Annotated[Path, typer.Argument(metavar="T1", help="The earlier image: PNG, JPEG or (Geo)TIFF.")],
    t2: Annotated[Path, typer.Argument(metavar="T2", help="The later image, of the same size.")],
    queries: Annotated[list[str], typer.Argument(metavar="QUERY...", help="Questions, each in quotes.")],
    explain: Annotated[bool, typer.Option("--explain", help="Have each answer give its reason.")] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The model; REASONCD_CHECKPOINT or checkpoints/mini if not given."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where results go.")] = Path("reasoncd-out"),
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="From this probability on a pixel is changed; the model's if not given."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the index of results as JSON.")] = False,
) -> None:
    """Answer questions about what changed from T1 to T2, with a map and polygons for each."""
    with _one_sentence():
        from gateway import checks, outputs
        from gateway.embedded import build_pipeline
        from gateway.images import read_pair
        from reasoncd.ports import Mode

        asked = checks.check_queries(queries)
        checks.check_threshold(threshold)
        outputs.check_output(out, asked)
        pair = read_pair(t1, t2)
        checks.check_images(pair.images, len(asked))
        # What a library prints must not mix with the answers.
        with redirect_stdout(sys.stderr), _progress() as (say, on_event):
            pipeline = build_pipeline(checkpoint, progress=say)
            detections = pipeline.detect(
                pair.images,
                asked,
                mode=Mode.EXPLAINED if explain else Mode.SHORT,
                threshold=threshold,
                on_event=on_event,
            )
            say("writing the results")
            source = outputs.Source(t1=_text(t1), t2=_text(t2))
            index = outputs.write_results(out, source, pair, detections)
        if as_json:
            typer.echo(json.dumps(index, indent=2, ensure_ascii=False))
        else:
            _print_results(out, index)


@app.command("fetch-base")
def fetch_base() -> None:
    """Download and prepare the base language model, once."""
    with _one_sentence():
        from gateway import embedded

        folder = embedded.fetch_base(progress=lambda words: typer.echo(words, err=True))
        typer.echo(folder)


def _print_results(out: Path, index: dict[str, Any]) -> None:
    for result in index["results"]:
        confidence = result["confidence"]
        facts = [
            f"presence {result['presence']:.2f}",
            "empty map" if confidence is None else f"confidence {confidence:.2f}",
            _text(out / result["folder"]),
        ]
        typer.echo(f"{result['query']}\n  {result['answer']}\n  {'   '.join(facts)}")


def _text(path: Path) -> str:
    """A path as text that any file and terminal takes, whatever bytes its name holds."""
    return os.fsencode(path).decode("utf-8", "replace")


def _debugging() -> bool:
    return os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except ReasonCDError as error:
        if _debugging():
            raise
        typer.echo(f"reasoncd: {error.message}", err=True)
        raise typer.Exit(error.exit_code) from None


def _say_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The hook for what nobody expected: one sentence instead of a traceback; Python then exits with 1."""
    if issubclass(kind, MemoryError):
        what = "the memory is full; use smaller images or ask fewer questions at a time"
    else:
        what = f"this is a fault of the program ({kind.__name__}); {DEBUG_VARIABLE}=1 shows where it happened"
    print(f"reasoncd: {what}", file=sys.stderr)


@contextmanager
def _progress() -> Iterator[tuple[Callable[[str], None], "Callable[[Event], None]"]]:
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

        def on_event(event: "Event") -> None:
            shown.update(task, description=names[event.stage], completed=event.done, total=event.total)

        yield say, on_event
