"""The wall around a servicer's methods: no exception gets past it.

A method runs in the call's scope, may raise any `ReasonCDError`, and the caller gets status, sentence and
trailer. A fault of ours becomes INTERNAL with the request's id; the traceback goes to the log alone. Works
with the contexts of `grpc.aio` and of Ray Serve, which share no base class.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, Protocol, TypeVar

import grpc

from reasoncd.errors import CancelledError, ReasonCDError
from reasoncd.rpc.scope import REQUEST_ID_KEY, CallScope, enter, under
from reasoncd.rpc.status import status_of, trailers_of

TIMEOUT_KEY = "reasoncd-timeout-ms"
"""Metadata key: milliseconds until the caller's deadline, for servers behind a proxy that keeps the
gRPC deadline to itself."""

_LOG = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")


class Context(Protocol):
    """What `grpc.aio.ServicerContext` and Serve's `RayServegRPCContext` have in common."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        """What the caller sent beside the request."""

    def set_code(self, code: grpc.StatusCode) -> None:
        """Set the status."""

    def set_details(self, details: str) -> None:
        """Set the sentence."""

    def set_trailing_metadata(self, trailing_metadata: Sequence[tuple[str, str]]) -> None:
        """Set what goes out after the response."""


def scope_from(context: Context) -> CallScope:
    """The scope that the caller asked for: its request id and its deadline."""
    metadata = dict(context.invocation_metadata() or ())
    request_id, told = metadata.get(REQUEST_ID_KEY), metadata.get(TIMEOUT_KEY)
    timeouts = []
    if isinstance(told, str) and told.isdigit():
        timeouts.append(int(told) / 1000)
    # Serve's context does not know the deadline.
    remaining = context.time_remaining() if hasattr(context, "time_remaining") else None
    if remaining is not None:
        timeouts.append(remaining)
    return CallScope(
        request_id=request_id if isinstance(request_id, str) and _is_id(request_id) else None,
        timeout_s=min(timeouts, default=None),
    )


def _is_id(text: str) -> bool:
    """Ids go into logs and headers: short and plain."""
    return 0 < len(text) <= 64 and all(c.isascii() and (c.isalnum() or c in "-_.") for c in text)


def refuse(context: Context, error: ReasonCDError) -> None:
    """Set status, sentence and trailers of an error."""
    context.set_code(status_of(error))
    context.set_details(error.message)
    context.set_trailing_metadata(trailers_of(error))


def guarded(
    empty: Callable[[], Response],
) -> Callable[
    [Callable[[Any, Request, Any], Awaitable[Response]]],
    Callable[[Any, Request, Any], Awaitable[Response]],
]:
    """Wall in a method that gives one response.

    Args:
        empty: makes the response that goes with a refusal; gRPC drops it.
    """

    def wall(
        method: Callable[[Any, Request, Any], Awaitable[Response]],
    ) -> Callable[[Any, Request, Any], Awaitable[Response]]:
        @wraps(method)
        async def walled(self: Any, request: Request, context: Any) -> Response:
            with under(scope_from(context)) as scope:
                try:
                    scope.check()
                    return await method(self, request, context)
                except asyncio.CancelledError:
                    scope.cancel()
                    raise
                except Exception as error:  # noqa: BLE001 - what gets out shows its traceback to the caller
                    refuse(context, as_error(error, scope))
                    return empty()

        return walled

    return wall


def guarded_stream(
    method: Callable[[Any, Request, Any], AsyncIterator[Response]],
) -> Callable[[Any, Request, Any], AsyncGenerator[Response, None]]:
    """Wall in a method that gives a stream of responses; a refusal ends the stream."""

    @wraps(method)
    async def walled(self: Any, request: Request, context: Any) -> AsyncGenerator[Response, None]:
        scope = scope_from(context)
        enter(scope)
        try:
            scope.check()
            async for response in method(self, request, context):
                yield response
        except (asyncio.CancelledError, GeneratorExit):
            scope.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - as above
            refuse(context, as_error(error, scope))

    return walled


def as_error(error: Exception, scope: CallScope) -> ReasonCDError:
    """What the caller is told about an exception; what is no `ReasonCDError` is logged with its traceback."""
    if isinstance(error, CancelledError) or not isinstance(error, ReasonCDError):
        level = logging.INFO if isinstance(error, CancelledError) else logging.ERROR
        _LOG.log(level, "call failed", exc_info=error, extra={"request_id": scope.request_id})
    if isinstance(error, ReasonCDError):
        return error
    return ReasonCDError(f"a fault of this service; its log has it under request id {scope.request_id}")
