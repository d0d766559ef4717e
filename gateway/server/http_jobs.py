"""The HTTP door for jobs.

POST   /v1/jobs                     submit one: a form, with files or names
GET    /v1/jobs                     the caller's jobs
GET    /v1/jobs/{id}                one
GET    /v1/jobs/{id}/events         the same whenever it changes, until it has ended
POST   /v1/jobs/{id}/cancel         end it
DELETE /v1/jobs/{id}                end and remove it
GET    /v1/jobs/{id}/files/{name}   a result, or a part of one
GET    /v1/scenes                   scenes that may be named
"""

import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.sse import format_sse_event

from gateway.jobs.job import Job
from gateway.server.errors import RangeError, http_body_of
from gateway.server.event_stream import EventStream
from gateway.server.http_job_form import read_job_form
from gateway.server.http_job_models import (
    JOB_EVENTS,
    JOB_FILE,
    JOB_FORM,
    JobModel,
    JobsModel,
    ScenesModel,
)
from gateway.server.http_models import ERRORS
from gateway.server.http_wall import note_failure
from gateway.server.job_messages import job_to_json
from gateway.server.jobs_front import JobsFront
from reasoncd.rpc.guard import as_error
from reasoncd.rpc.scope import current_scope

JOBS, JOB, SCENES = "/v1/jobs", "/v1/jobs/{id}", "/v1/scenes"
EVENTS, CANCEL, FILE = f"{JOB}/events", f"{JOB}/cancel", f"{JOB}/files/{{name}}"
ROUTES = frozenset(
    {
        f"POST {JOBS}",
        f"GET {JOBS}",
        f"GET {JOB}",
        f"DELETE {JOB}",
        f"GET {EVENTS}",
        f"POST {CANCEL}",
        f"GET {FILE}",
        f"HEAD {FILE}",
        f"GET {SCENES}",
    }
)
"""As they are counted."""

FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""For the header `Content-Security-Policy`: a report runs and loads nothing."""
_PULSE = format_sse_event(comment="working")
_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*")


def add_jobs(app: FastAPI, jobs: JobsFront) -> None:
    """Add the routes.

    Args:
        app: gets them.
        jobs: who does the work.
    """
    door = _JobsDoor(jobs)
    app.post(JOBS, status_code=202, response_model=JobModel, responses=ERRORS, openapi_extra=JOB_FORM)(
        door.submit
    )
    app.get(JOBS, response_model=JobsModel, responses=ERRORS)(door.list)
    app.get(JOB, response_model=JobModel, responses=ERRORS)(door.get)
    app.delete(JOB, status_code=204, response_class=Response, responses=ERRORS)(door.delete)
    app.get(EVENTS, status_code=200, response_class=EventStream, responses=JOB_EVENTS)(door.events)
    app.post(CANCEL, response_model=JobModel, responses=ERRORS)(door.cancel)
    app.get(FILE, response_class=FileResponse, responses=JOB_FILE)(door.file)
    app.head(FILE, include_in_schema=False)(door.file)
    app.get(SCENES, response_model=ScenesModel, responses=ERRORS)(door.scenes)


class _JobsDoor:
    def __init__(self, jobs: JobsFront) -> None:
        self._jobs = jobs

    async def submit(self, request: Request) -> Response:
        """Take on a question about two scenes of any size."""
        owner, desk = self._owner(request), self._jobs.desk
        key = request.headers.get("idempotency-key")
        async with self._jobs.receiving() as incoming:
            order = await read_job_form(
                request,
                incoming,
                most_bytes=desk.settings.upload_bytes,
                timeout_s=self._jobs.receive_timeout_s,
                work=self._jobs.work,
            )
            job, _ = await self._jobs.work(lambda: desk.submit(order, incoming, owner=owner, key=key))
        return JSONResponse(job_to_json(job), status_code=202, headers={"Location": f"{JOBS}/{job.id}"})

    async def list(self, request: Request) -> Response:
        """The caller's jobs, the newest first."""
        owner, desk = self._owner(request), self._jobs.desk
        jobs = await self._jobs.work(lambda: desk.list(owner))
        return JSONResponse({"jobs": [job_to_json(job) for job in jobs]})

    async def get(self, request: Request, id: str) -> Response:  # noqa: A002 - the route's word
        """One job."""
        owner, desk = self._owner(request), self._jobs.desk
        return JSONResponse(job_to_json(await self._jobs.work(lambda: desk.get(id, owner))))

    async def cancel(self, request: Request, id: str) -> Response:  # noqa: A002
        """End a job; one that has ended stays as it is."""
        owner, desk = self._owner(request), self._jobs.desk
        return JSONResponse(job_to_json(await self._jobs.work(lambda: desk.cancel(id, owner))))

    async def delete(self, request: Request, id: str) -> Response:  # noqa: A002
        """End a job, and remove it with its files."""
        owner, desk = self._owner(request), self._jobs.desk
        await self._jobs.work(lambda: desk.delete(id, owner))
        return Response(status_code=204)

    async def scenes(self, request: Request) -> Response:
        """The scenes that a job may name."""
        self._owner(request)
        names = await self._jobs.work(self._jobs.desk.scenes)
        return JSONResponse({"scenes": [{"name": name} for name in names]})

    async def file(self, request: Request, id: str, name: str) -> Response:  # noqa: A002
        """A result of a job that is done."""
        owner, desk = self._owner(request), self._jobs.desk
        path: Path = await self._jobs.work(lambda: desk.file(id, name, owner))
        told = path.stat()
        wanted = _RANGE.fullmatch(request.headers.get("range", ""))
        if wanted and wanted[1] and int(wanted[1]) >= told.st_size:
            raise RangeError(f"the range begins beyond the {told.st_size} bytes of {name}; ask within them")
        shown = "inline" if path.suffix == ".html" else "attachment"
        response = FileResponse(path, filename=name, content_disposition_type=shown, stat_result=told)
        response.headers["Content-Security-Policy"] = FILE_POLICY
        response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
        return response

    async def events(self, request: Request, id: str) -> Response:  # noqa: A002
        """A job whenever it changes, as server-sent events, until it has ended."""
        jobs = self._watched(request, id)
        try:
            first = await anext(jobs)
        except BaseException:
            await jobs.aclose()
            raise
        return EventStream(first, jobs)

    async def _watched(self, request: Request, job: str) -> AsyncGenerator[bytes, None]:
        begun, scope = False, current_scope()
        try:
            async with aclosing(self._jobs.watch(job, self._owner(request))) as told:
                async for each in told:
                    begun = True
                    yield _PULSE if each is None else _event(each)
        except Exception as error:
            if not begun:
                raise
            told_error = as_error(error, scope)
            note_failure(request.scope, told_error.code)
            yield _named("error", http_body_of(told_error, scope.request_id))

    def _owner(self, request: Request) -> str:
        return self._jobs.owner(request.headers.get("authorization"))


def _event(job: Job) -> bytes:
    return _named("job", job_to_json(job))


def _named(name: str, value: dict[str, Any]) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(value, separators=(",", ":")))
