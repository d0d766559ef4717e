"""The wall around a servicer's methods: no exception gets past it.

A method runs in the call's scope, may raise any `ReasonCDError`, and the caller gets status, sentence and
trailer. A fault of ours becomes INTERNAL with the request's id; the traceback goes to the log alone. Every
call is counted, timed and a span of its caller's trace. Works with the contexts of `grpc.aio` and of Ray
Serve, which share no base class.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, Protocol, TypeVar

import grpc

from reasoncd.errors import CancelledError, Code, ReasonCDError
from reasoncd.observability.calls import ObservedCall
from reasoncd.rpc.durations import from_milliseconds
from reasoncd.rpc.scope import REQUEST_ID_KEY, CallScope, enter, is_request_id, under
from reasoncd.rpc.status import status_of, trailers_of

TIMEOUT_KEY = "reasoncd-timeout-ms"
"""Metadata key: milliseconds until the caller's deadline, for servers behind a proxy that keeps the
gRPC deadline to itself."""

MAX_DETAILS = 600
"""Characters of a status's sentence: it travels as a header, of which clients take 8 KiB altogether."""

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
    request_id, told = metadata.get(REQUEST_ID_KEY), from_milliseconds(metadata.get(TIMEOUT_KEY))
    # Serve's context does not know the deadline.
    remaining = context.time_remaining() if hasattr(context, "time_remaining") else None
    timeouts = [timeout for timeout in (told, remaining) if timeout is not None]
    return CallScope(
        request_id=request_id if isinstance(request_id, str) and is_request_id(request_id) else None,
        timeout_s=min(timeouts, default=None),
    )


def refuse(context: Context, error: ReasonCDError) -> None:
    """Set status, sentence and trailers of an error."""
    context.set_code(status_of(error))
    context.set_details(error.message[:MAX_DETAILS])
    # A list: Serve's context puts it after a list of its own.
    context.set_trailing_metadata(list(trailers_of(error)))


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
            with under(scope_from(context)) as scope, _observed(self, method, context) as call:
                try:
                    scope.check()
                    return await method(self, request, context)
                except asyncio.CancelledError:
                    scope.cancel()
                    call.failed(Code.CANCELLED)
                    raise
                except Exception as error:  # noqa: BLE001 - what gets out shows its traceback to the caller
                    told = as_error(error, scope)
                    call.failed(told.code)
                    refuse(context, told)
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
        with _observed(self, method, context, rest_of_task=True) as call:
            responses = method(self, request, context)
            try:
                scope.check()
                async for response in responses:
                    yield response
            except (asyncio.CancelledError, GeneratorExit):
                scope.cancel()
                call.failed(Code.CANCELLED)
                raise
            except Exception as error:  # noqa: BLE001 - as above
                told = as_error(error, scope)
                call.failed(told.code)
                refuse(context, told)
            finally:
                # Where the caller left while a response was on its way, the method ends now, not when
                # collected.
                if isinstance(responses, AsyncGenerator):
                    await responses.aclose()

    return walled


def service_of(servicer: object) -> str:
    """The name under which a servicer's calls are counted: its `service`, else what its class is called."""
    named = getattr(servicer, "service", None)
    return named if isinstance(named, str) else type(servicer).__name__.removesuffix("Servicer")


def _observed(
    servicer: object, method: Callable[..., object], context: Context, *, rest_of_task: bool = False
) -> ObservedCall:
    metadata = context.invocation_metadata() or ()
    return ObservedCall(service_of(servicer), method.__name__, metadata, rest_of_task=rest_of_task)


def as_error(error: Exception, scope: CallScope) -> ReasonCDError:
    """What the caller is told about an exception; what is no `ReasonCDError` is logged with its traceback."""
    if isinstance(error, CancelledError) or not isinstance(error, ReasonCDError):
        level = logging.INFO if isinstance(error, CancelledError) else logging.ERROR
        _LOG.log(level, "call failed", exc_info=error, extra={"request_id": scope.request_id})
    if isinstance(error, ReasonCDError):
        return error
    return ReasonCDError(f"a fault of this service; its log has it under request id {scope.request_id}")
