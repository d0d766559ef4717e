"""`reasoncd`: ask about two images from the command line.

Answers go to the standard output, progress and errors to the standard error. Exit status: 0 where the
questions were answered, also by "no such change"; 2 where something given cannot be used; 1 where the
fault is ours. An error is one sentence; REASONCD_DEBUG=1 shows the traceback too.
"""

import logging
import sys
from typing import Annotated

import typer

from gateway.commands.deploy import deploy
from gateway.commands.detect import detect
from gateway.commands.fetch_base import fetch_base
from gateway.commands.scene import scene
from gateway.commands.serve import serve
from gateway.commands.terminal import debugging, say_fault
from gateway.commands.up import up
from reasoncd import __version__

app = typer.Typer(
    name="reasoncd",
    help="Find the changes between two images that a question in plain words asks for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(detect)
app.command()(scene)
app.command("fetch-base")(fetch_base)
app.command()(up)
app.command()(deploy)
app.command()(serve)


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
    if not debugging():
        sys.excepthook = say_fault
        # GDAL reports to its logger what reaches the user as our sentence.
        logging.getLogger("rasterio").setLevel(logging.CRITICAL)
