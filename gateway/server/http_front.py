"""The HTTP door: what gRPC offers, as multipart forms, JSON and server-sent events.

POST /v1/detect          every answer at once
POST /v1/detect/stream   progress, text and answers as they happen
GET  /v1/describe        who answers, and the bounds of a request
     /v1/jobs, /v1/scenes whole scenes; see `gateway.server.http_jobs`
GET  /healthz, /readyz   the process lives; the model answers
GET  /metrics            for Prometheus
GET  /v1/samples         images to try it on
GET  /                   the web page
GET  /docs               all of this as a page; /openapi.json for programs
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
)
from fastapi.sse import format_sse_event
from starlette.exceptions import HTTPException

from gateway.detection import Detection
from gateway.server.errors import UnknownMethodError, UnknownRouteError, http_body_of
from gateway.server.event_stream import EventStream
from gateway.server.front import FrontDoor
from gateway.server.http_docs import POLICY, docs_page
from gateway.server.http_form import read_form
from gateway.server.http_jobs import ROUTES as JOB_ROUTES
from gateway.server.http_jobs import add_jobs
from gateway.server.http_models import ERRORS, EVENTS, FORM, DescribeModel, DetectModel
from gateway.server.http_wall import HttpWall, error_response, note_failure
from gateway.server.jobs_front import JobsFront
from gateway.server.messages import (
    Told,
    describe_to_json,
    detection_to_json,
    detection_to_proto,
    done_to_proto,
    event_to_json,
    told_to_proto,
)
from gateway.server.page import add_page, page_paths
from gateway.server.reach import Reach
from gateway.server.settings import ServerSettings
from reasoncd import __version__
from reasoncd.errors import CancelledError, ReasonCDError
from reasoncd.observability import pages
from reasoncd.rpc.guard import as_error
from reasoncd.rpc.scope import current_scope

DETECT, STREAM, DESCRIBE = "/v1/detect", "/v1/detect/stream", "/v1/describe"
COUNTED = frozenset({f"POST {DETECT}", f"POST {STREAM}", f"GET {DESCRIBE}"})
UNCOUNTED = frozenset({"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"})

PULSE = format_sse_event(comment="working")
"""Shows that the stream lives: proxies cut what seems dead."""
Value = TypeVar("Value")


def build_app(front: FrontDoor, jobs: JobsFront, reach: Reach, settings: ServerSettings) -> FastAPI:
    """The ASGI application.

    Args:
        front: who does the work.
        jobs: who keeps scenes' jobs.
        reach: who knows the model.
        settings: bounds of bodies.
    """
    app = FastAPI(
        title="ReasonCD",
        version=__version__,
        summary="Two images of one place and a question in plain words give an answer and a change map.",
        # FastAPI's own pages load their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        # Calls of both doors are observed alike, by the wall.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    door = _Door(front, reach, settings)
    app.post(
        DETECT, response_model=DetectModel, response_class=JSONResponse, responses=ERRORS, openapi_extra=FORM
    )(door.detect)
    app.post(STREAM, status_code=200, response_class=EventStream, responses=EVENTS, openapi_extra=FORM)(
        door.stream
    )
    app.get(DESCRIBE, response_model=DescribeModel, responses=ERRORS)(door.describe)
    add_jobs(app, jobs)
    app.get("/healthz", response_class=PlainTextResponse)(healthz)
    app.get("/readyz", response_class=PlainTextResponse, responses=ERRORS)(door.readyz)
    app.get("/metrics", response_class=PlainTextResponse)(metrics)

    async def docs(request: Request) -> Response:
        url = str(request.base_url).rstrip("/")
        return HTMLResponse(docs_page(app.openapi(), url), headers={"Content-Security-Policy": POLICY})

    app.get("/docs", include_in_schema=False)(docs)
    add_page(app, settings, errors=ERRORS)
    app.exception_handler(HTTPException)(_refused_by_router)
    app.add_middleware(HttpWall, counted=COUNTED | JOB_ROUTES, uncounted=UNCOUNTED | page_paths())
    return app


async def healthz() -> Response:
    """Whether the process lives."""
    return PlainTextResponse("ok\n")


async def metrics() -> Response:
    """Metrics in Prometheus' text format."""
    return Response(await asyncio.to_thread(pages.page), media_type=pages.CONTENT_TYPE)


class _Door:
    """The routes that need the model."""

    def __init__(self, front: FrontDoor, reach: Reach, settings: ServerSettings) -> None:
        self._front, self._reach, self._settings = front, reach, settings

    async def detect(self, request: Request) -> Response:
        """Answer every question about one pair of images."""
        with self._front.entered(_authorization(request)) as place:
            asked = await read_form(request, self._settings, lambda count: self._front.hold(place, count))

            def write(found: Sequence[Detection]) -> bytes:
                detections = [detection_to_json(detection_to_proto(each, asked)) for each in found]
                return json.dumps({"detections": detections}, separators=(",", ":")).encode()

            body = await _unless_left(request, self._front.whole(place, asked, write))
        return Response(body, media_type="application/json")

    async def stream(self, request: Request) -> Response:
        """The same as it happens, as server-sent events."""
        events = self._events(request)
        try:
            # What is refused at once is refused with its status, so the response waits for the first event.
            # The empty one before it says that the request has been read.
            assert await anext(events) == b""
            first = await _unless_left(request, anext(events))
        except BaseException:
            await events.aclose()
            raise
        return EventStream(first, events)

    async def describe(self, request: Request) -> Response:
        """Who answers, and the bounds of a request."""
        self._front.authenticate(_authorization(request))
        return JSONResponse(describe_to_json(await self._reach.look(), self._settings))

    async def readyz(self) -> Response:
        """Whether the model answers, and requests are taken."""
        self._reach.check()
        return PlainTextResponse("ok\n")

    async def _events(self, request: Request) -> AsyncGenerator[bytes, None]:
        begun = False
        scope = current_scope()
        try:
            with self._front.entered(_authorization(request)) as place:
                asked = await read_form(request, self._settings, lambda count: self._front.hold(place, count))

                def write(told: Told) -> bytes:
                    return _event(*event_to_json(told_to_proto(told, asked)))

                yield b""
                async with aclosing(self._front.events(place, asked, write, pulse=PULSE)) as events:
                    async for event in events:
                        begun = True
                        yield event
            yield _event(*event_to_json(done_to_proto(asked)))
        except Exception as error:
            if not begun:
                raise
            told_error = as_error(error, scope)
            note_failure(request.scope, told_error.code)
            yield _event("error", http_body_of(told_error, scope.request_id))


async def _unless_left(request: Request, work: Awaitable[Value]) -> Value:
    """Await work; where the caller leaves before, it is cancelled.

    Raises:
        CancelledError: the caller left.
    """
    working: asyncio.Future[Value] = asyncio.ensure_future(work)

    async def leaving() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    left = asyncio.ensure_future(leaving())
    try:
        both: set[asyncio.Future[Any]] = {working, left}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        current_scope().cancel()
        raise CancelledError("the caller left before the answer was ready")
    finally:
        left.cancel()
        working.cancel()
        # A generator that still runs could not be closed.
        await asyncio.wait({working})


def _authorization(request: Request) -> str | None:
    return request.headers.get("authorization")


def _event(name: str, value: dict[str, Any]) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(value, separators=(",", ":")))


async def _refused_by_router(request: Request, error: Exception) -> Response:
    """What the framework refuses, in our words."""
    assert isinstance(error, HTTPException)
    path = request.url.path[:80]
    told: ReasonCDError
    if error.status_code == 405:
        told = UnknownMethodError(f"{path} does not take {request.method[:20]}; see /docs")
    elif error.status_code == 404:
        told = UnknownRouteError(f"there is nothing at {path}; see /docs")
    else:
        told = ReasonCDError("the request could not be read; see /docs")
    note_failure(request.scope, told.code)
    return error_response(told)
