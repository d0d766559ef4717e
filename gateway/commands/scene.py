"""`reasoncd scene`: a question about two whole scenes, by the models here or by a running gateway."""

import datetime as dt
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.gateway_options import (
    GatewayOption,
    GatewayOptions,
    TimeoutOption,
    TlsCaOption,
    TlsCertOption,
    TlsKeyOption,
    TlsNameOption,
    TlsOption,
    TokenFileOption,
)
from gateway.commands.terminal import one_sentence, path_text
from reasoncd.errors import InvalidInputError

if TYPE_CHECKING:
    from gateway.scenes.model import SceneModel
    from gateway.scenes.settings import SceneProgress, SceneResult

FAILED_TILES_EXIT = 1
"""The map was written but has holes."""

_CACHE_BYTES = 32 * 2**20
"""Of features: a scene's tiles are met once each."""

_STAGES = {
    "check": "checking the scenes",
    "reason": "reading the question",
    "tiles": "looking for changes",
    "stitch": "joining the tiles",
    "write": "writing the results",
}


class _Reason(StrEnum):
    ONCE = "once"
    TILE = "tile"


def scene(
    t1: Annotated[Path, typer.Argument(metavar="T1", help="The earlier scene: a GeoTIFF of any size.")],
    t2: Annotated[Path, typer.Argument(metavar="T2", help="The later scene, in any reference system.")],
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One question, in quotes.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where results go; where a run that was cut off goes on.")
    ] = Path("reasoncd-scene"),
    explain: Annotated[bool, typer.Option("--explain", help="Have the answer give its reason.")] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The model; REASONCD_CHECKPOINT or checkpoints/mini if not given."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="From this probability on a pixel is changed; the model's if not given."
        ),
    ] = None,
    reason: Annotated[
        _Reason, typer.Option(help="Read the question once for the scene, or anew on each tile.")
    ] = _Reason.ONCE,
    tile: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Side of the tiles, a multiple of the model's.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Least overlap of neighbouring tiles.")
    ] = None,
    bands: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="Which bands are red, green and blue, from 1.")
    ] = None,
    min_pixels: Annotated[
        int, typer.Option(metavar="N", help="Outline no region of fewer pixels; the map keeps them.")
    ] = 1,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write GeoParquet, too.")] = False,
    views: Annotated[
        bool, typer.Option("--views", help="Write both scenes as the model saw them, too.")
    ] = False,
    t1_date: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Of T1, for the catalogue entry."),
    ] = None,
    t2_date: Annotated[
        dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Of T2.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    gateway: GatewayOption = None,
    token_file: TokenFileOption = None,
    timeout: TimeoutOption = None,
    tls: TlsOption = False,
    tls_ca: TlsCaOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    tls_name: TlsNameOption = None,
) -> None:
    """Find what a question asks for in two whole scenes: rasters, polygons and a report that GIS opens.

    Run the same command again to go on with a run that was cut off, or to try failed tiles again.
    """
    with one_sentence():
        from gateway.scenes import Reasoning, ScenePair, SceneSettings, run_scene
        from reasoncd.ports import Mode

        options = GatewayOptions(
            gateway=gateway,
            token_file=token_file,
            timeout=timeout,
            tls=tls,
            tls_ca=tls_ca,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_name=tls_name,
        )
        settings = SceneSettings(
            mode=Mode.EXPLAINED if explain else Mode.SHORT,
            threshold=threshold,
            reasoning=Reasoning(reason.value),
            tile=tile,
            overlap=overlap,
            bands=_bands(bands),
            min_pixels=min_pixels,
            parquet=parquet,
            views=views,
            t1_date=t1_date.date() if t1_date else None,
            t2_date=t2_date.date() if t2_date else None,
        )
        with (
            options.open(checkpoint) or nullcontext() as client,
            ScenePair.open(t1, t2, bands=settings.bands) as pair,
            # What a library prints must not mix with the answer.
            redirect_stdout(sys.stderr),
            _progress() as tell,
        ):
            model: SceneModel
            if client:
                from gateway.scenes.by_gateway import GatewayModel

                model = GatewayModel(client)
            else:
                from gateway.embedded import load_engines
                from gateway.pipeline import Pipeline

                model = Pipeline(*load_engines(checkpoint), cache_bytes=_CACHE_BYTES)
            result = run_scene(model, pair, query, settings=settings, folder=out, tell=tell)
    _print(out, result, as_json)
    if result.failed:
        typer.echo(
            f"reasoncd: {len(result.failed)} of {result.tiles} tiles failed and hold no data "
            f"({result.failed[0].reason}); run the same command again to try them",
            err=True,
        )
        raise typer.Exit(FAILED_TILES_EXIT)


def _bands(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    try:
        red, green, blue = (int(number) for number in text.split(","))
    except ValueError:
        raise InvalidInputError(
            f"--bands is {text!r}; give three numbers, for example --bands 3,2,1"
        ) from None
    return red, green, blue


def _print(out: Path, result: "SceneResult", as_json: bool) -> None:
    if as_json:
        typer.echo(result.to_json(), nl=False)
        return
    facts = [
        f"presence {result.presence:.2f}",
        "empty map" if result.confidence is None else f"confidence {result.confidence:.2f}",
        path_text(out / "report.html"),
    ]
    typer.echo(f"{result.query}\n  {result.answer}\n  {'   '.join(facts)}")


@contextmanager
def _progress() -> "Iterator[Callable[[SceneProgress], None]]":
    """A bar on the standard error with the time that is left; mute where nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    words = TextColumn("{task.description}", markup=False)
    left = TextColumn("{task.fields[left]}", markup=False)
    columns = (SpinnerColumn(), words, BarColumn(), MofNCompleteColumn(), left)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("loading the model", total=None, left="")

        def tell(progress: "SceneProgress") -> None:
            shown.update(
                task,
                description=_STAGES[progress.stage],
                completed=progress.done,
                total=progress.total,
                left=_time_left(progress.seconds_left),
            )

        yield tell


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} left" if hours else f"{minutes}:{rest:02d} left"
