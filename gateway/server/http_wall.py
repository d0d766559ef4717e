"""What stands around every HTTP call: its scope, its metrics, and the wall that no exception gets past.

Plain ASGI, so that it covers a stream to its last byte, and what the framework itself refuses.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from gateway.server.errors import http_body_of, http_headers_of, http_status_of
from reasoncd.errors import Code, ReasonCDError
from reasoncd.observability.calls import ObservedCall
from reasoncd.rpc.durations import from_milliseconds
from reasoncd.rpc.guard import TIMEOUT_KEY, as_error
from reasoncd.rpc.scope import REQUEST_ID_KEY, CallScope, current_scope, is_request_id, under

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

CALL = "reasoncd.call"
"""Key of the ASGI scope: the observed call, for whoever fails after the response has begun."""


class HttpWall:
    """ASGI middleware.

    Args:
        app: what it stands around.
        counted: routes, as "POST /v1/detect" or "GET /v1/jobs/{id}", that are counted by name; paths that
            nobody serves are "other".
        uncounted: paths that are polled, and so neither counted nor logged.
    """

    def __init__(self, app: App, *, counted: frozenset[str], uncounted: frozenset[str]) -> None:
        self._app, self._counted, self._uncounted = app, counted, uncounted

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        with under(_scope_of(headers)) as call_scope:
            answer = _Answer(send, call_scope)
            if scope["path"] in self._uncounted:
                await self._walled(scope, receive, answer, None)
                return
            route = f"{scope['method']} {_pattern(scope['path'])}"
            named = route if route in self._counted else "other"
            with ObservedCall("gateway", named, dict(headers)) as call:
                scope[CALL] = call
                await self._walled(scope, receive, answer, call)

    async def _walled(
        self, scope: Message, receive: Receive, answer: "_Answer", call: ObservedCall | None
    ) -> None:
        try:
            current_scope().check()
            await self._app(scope, receive, answer.send)
        except asyncio.CancelledError:
            current_scope().cancel()
            raise
        except Exception as error:
            # What gets out of here is a bare 500, or shows more than it should.
            told = as_error(error, current_scope())
            if call is not None:
                call.failed(told.code)
            if answer.begun:
                # All that can be told now is that it broke off: the server closes the connection.
                raise
            await error_response(told)(scope, receive, answer.send)


class _Answer:
    """The way out: every response bears the request's id."""

    def __init__(self, send: Send, call_scope: CallScope) -> None:
        self._send, self._id = send, call_scope.request_id
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID_KEY] = self._id
            headers["X-Content-Type-Options"] = "nosniff"
        await self._send(message)


def _pattern(path: str) -> str:
    """A path without what callers write into it: a job's id, a file's name."""
    parts = path.split("/")
    if parts[:3] == ["", "v1", "jobs"] and len(parts) > 3:
        parts[3] = "{id}"
        if parts[4:5] == ["files"] and len(parts) > 5:
            parts[5:] = ["{name}"]
    return "/".join(parts)


def error_response(error: ReasonCDError) -> JSONResponse:
    """An error under the current scope as a response."""
    return JSONResponse(
        http_body_of(error, current_scope().request_id),
        status_code=http_status_of(error),
        headers=http_headers_of(error),
    )


def note_failure(scope: Message, code: Code) -> None:
    """Count the call of an ASGI scope as failed, where the wall cannot see it."""
    call: ObservedCall | None = scope.get(CALL)
    if call is not None:
        call.failed(code)


def _scope_of(headers: Headers) -> CallScope:
    sent = headers.get(REQUEST_ID_KEY, "")
    return CallScope(
        request_id=sent if is_request_id(sent) else None,
        timeout_s=from_milliseconds(headers.get(TIMEOUT_KEY)),
    )
