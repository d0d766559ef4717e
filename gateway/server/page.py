"""The web page: the files that `make page` built, and sample images to try it on.

Everything comes out of this package: the page asks no other server, and its policy lets it ask none.
"""

import asyncio
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field

import gateway
from gateway.server.errors import UnknownRouteError
from gateway.server.settings import ServerSettings

BUILT = Path(gateway.__file__).parent / "page" / "dist"
SAMPLES = Path(__file__).parent / "samples"

OFFERS = "/page.json"
"""What this gateway has for its page: no part of the API."""

NOT_BUILT = "The page is not built; run `make page` (it needs Node), or use the API: /docs\n"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        # Pictures of uploaded files have addresses of their own in the browser.
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""For the header `Content-Security-Policy`: nothing is loaded from, or sent to, another server."""

_HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
# Their names change with their content; the page itself and the icon keep theirs.
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Two drawn images of one place, in the folder of its name."""

    name: str
    title: str
    questions: tuple[str, ...]


ALL_SAMPLES = (
    Sample(
        name="new-buildings",
        title="new buildings",
        questions=(
            "Where are new buildings?",
            "Where did people get more living space?",
            "Where did plants have to go?",
            "Where did a lake or pond dry up?",
        ),
    ),
)
"""Drawn by `python -m training.data.sample --size 384`, so they show nobody's land."""


class SampleModel(BaseModel):
    """A pair of images to try the page on."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    title: str = Field(description="What is to be seen.")
    t1: str = Field(description="Where the earlier image is.")
    t2: str = Field(description="Where the later image is.")
    questions: list[str] = Field(description="To ask about it.")


class SamplesModel(BaseModel):
    """All samples."""

    model_config = ConfigDict(extra="forbid", strict=True)

    samples: list[SampleModel]


def page_paths(built: Path = BUILT) -> frozenset[str]:
    """Where the page's files are served; these are neither counted nor logged as calls."""
    files = {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}
    return frozenset({"/", OFFERS, *(f"/{name}" for name in files)})


def add_page(
    app: FastAPI, settings: ServerSettings, *, errors: dict[int | str, dict[str, Any]], built: Path = BUILT
) -> None:
    """Serve the page at `/`, and the samples.

    Args:
        app: gets the routes.
        settings: of the gateway, of which the page shows what there is.
        errors: how refusals are described.
        built: folder of the built page; where it is missing, `/` says how to build it.
    """
    # The files are known now: a path of a request is looked up among them and never joined to a folder.
    files = {path.relative_to(built).as_posix(): path for path in built.rglob("*") if path.is_file()}

    async def index() -> Response:
        page = files.get("index.html")
        if page is None:
            return PlainTextResponse(NOT_BUILT, status_code=503)
        return await _file(page, _ASK_AGAIN)

    async def asset(name: str) -> Response:
        path = files.get(f"assets/{name}")
        if path is None:
            raise UnknownRouteError(f"there is nothing at /assets/{name[:60]}; see /docs")
        return await _file(path, _FOR_EVER)

    async def offers() -> Response:
        # Told beforehand, so that the page asks for nothing that would be refused.
        told = {"jobs": settings.jobs is not None, "token": settings.tokens is not None}
        return JSONResponse(told, headers={"Cache-Control": _ASK_AGAIN})

    async def icon() -> Response:
        path = files.get("icon.svg")
        if path is None:
            raise UnknownRouteError("there is nothing at /icon.svg; see /docs")
        return await _file(path, _ASK_AGAIN)

    app.get("/", include_in_schema=False)(index)
    app.get("/assets/{name}", include_in_schema=False)(asset)
    app.get(OFFERS, include_in_schema=False)(offers)
    app.get("/icon.svg", include_in_schema=False)(icon)
    app.get("/v1/samples", response_model=SamplesModel, responses=errors)(samples)
    app.get("/v1/samples/{name}/{file}", response_class=FileResponse, responses=errors)(sample_file)


async def samples() -> Response:
    """Pairs of images to try the page on."""
    listed = [
        SampleModel(
            name=sample.name,
            title=sample.title,
            t1=f"/v1/samples/{sample.name}/t1.png",
            t2=f"/v1/samples/{sample.name}/t2.png",
            questions=list(sample.questions),
        )
        for sample in ALL_SAMPLES
    ]
    return JSONResponse(SamplesModel(samples=listed).model_dump())


async def sample_file(name: str, file: str) -> Response:
    """One image of a sample, `t1.png` or `t2.png`."""
    known = {sample.name for sample in ALL_SAMPLES}
    if name not in known or file not in ("t1.png", "t2.png"):
        raise UnknownRouteError(f"there is no sample file {f'{name}/{file}'[:60]!a}; see /v1/samples")
    return FileResponse(SAMPLES / name / file)


async def _file(path: Path, cache: str) -> Response:
    # Read whole: they are small, and their length is then what is sent.
    data = await asyncio.to_thread(path.read_bytes)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Response(data, media_type=kind, headers={**_HEADERS, "Cache-Control": cache})
