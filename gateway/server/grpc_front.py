"""The gRPC door: `ChangeDetection`, and a sentence of ours for calls that do not exist.

Messages are received when their caller has been let in, not before, and are taken apart and put together
in threads: what passes the event loop is bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import grpc

from gateway.server.admission import Place
from gateway.server.errors import DETAILS_TRAILER, details_of
from gateway.server.front import FrontDoor
from gateway.server.messages import (
    asked_from_proto,
    describe_to_proto,
    done_to_proto,
    response_to_proto,
    told_to_proto,
)
from gateway.server.reach import Reach
from gateway.server.settings import ServerSettings
from reasoncd.errors import DeadlineError, InvalidInputError, UnimplementedError
from reasoncd.rpc.guard import guarded, guarded_stream, refuse
from reasoncd.rpc.scope import REQUEST_ID_KEY, current_scope
from reasoncd.rpc.status import error_from_status
from reasoncd.v1 import gateway_pb2 as pb

SERVICE_NAME: str = pb.DESCRIPTOR.services_by_name["ChangeDetection"].full_name
AUTHORIZATION_KEY = "authorization"

Metadata = Sequence[tuple[str, str | bytes]]


class ChangeDetection:
    """The contract's calls. Each takes the caller's messages as they come, as bytes, and gives bytes.

    Args:
        front: who does the work.
        reach: who knows the model.
        settings: bounds of messages.
    """

    service = "gateway"

    def __init__(self, front: FrontDoor, reach: Reach, settings: ServerSettings) -> None:
        self._front, self._reach, self._settings = front, reach, settings
        self._receiving = asyncio.Semaphore(settings.receiving)

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server is given."""

        async def describe(requests: AsyncIterator[bytes], context: Any) -> bytes:
            return await self.Describe(requests, Detailing(context))

        async def detect(requests: AsyncIterator[bytes], context: Any) -> bytes:
            return await self.Detect(requests, Detailing(context))

        async def detect_stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            async with aclosing(self.DetectStream(requests, Detailing(context))) as responses:
                async for response in responses:
                    yield response

        # To gRPC all of them take a stream: so it does not receive a message before it is asked for.
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "Describe": grpc.stream_unary_rpc_method_handler(describe),
                "Detect": grpc.stream_unary_rpc_method_handler(detect),
                "DetectStream": grpc.stream_stream_rpc_method_handler(detect_stream),
            },
        )

    @guarded(bytes)
    async def Describe(self, requests: AsyncIterator[bytes], context: Any) -> bytes:  # noqa: N802 - the contract's name
        """Who answers, and the bounds of a request."""
        authorization = await begin(context)
        self._front.authenticate(authorization)
        return describe_to_proto(await self._reach.look(), self._settings).SerializeToString()

    @guarded(bytes)
    async def Detect(self, requests: AsyncIterator[bytes], context: Any) -> bytes:  # noqa: N802
        """Every answer at once."""
        authorization = await begin(context)
        limits = self._settings
        with self._front.entered(authorization) as place:
            data = await self._receive(place, requests)
            asked = await self._front.read(
                place, lambda: asked_from_proto(data, streamed=False, image_bytes=limits.image_bytes)
            )
            return await self._front.whole(
                place, asked, lambda found: self._fitting(response_to_proto(found, asked))
            )

    @guarded_stream
    async def DetectStream(  # noqa: N802
        self, requests: AsyncIterator[bytes], context: Any
    ) -> AsyncIterator[bytes]:
        """Progress, text and each answer as they happen, then done."""
        authorization = await begin(context)
        limits = self._settings
        with self._front.entered(authorization) as place:
            data = await self._receive(place, requests)
            asked = await self._front.read(
                place, lambda: asked_from_proto(data, streamed=True, image_bytes=limits.image_bytes)
            )
            told = self._front.events(place, asked, lambda told: self._fitting(told_to_proto(told, asked)))
            async with aclosing(told) as events:
                async for event in events:
                    yield event
            yield done_to_proto(asked).SerializeToString()

    async def _receive(self, place: Place, requests: AsyncIterator[bytes]) -> bytes:
        """The caller's message, counted.

        Raises:
            InvalidInputError: none came; gRPC itself has refused one that is too large.
            DeadlineError: it did not come in time.
            OverloadedError: there is no room for it.
        """
        async with self._receiving:
            try:
                async with asyncio.timeout(self._settings.receive_timeout_s):
                    data = await anext(requests, None)
            except TimeoutError:
                seconds = self._settings.receive_timeout_s
                raise DeadlineError(
                    f"the request did not arrive within {seconds:g} s; send it faster"
                ) from None
        if data is None:
            raise InvalidInputError(
                f"no request of at most {self._settings.message_bytes} bytes arrived; send smaller images"
            )
        self._front.hold(place, len(data))
        return data

    def _fitting(self, message: Any) -> bytes:
        size = message.ByteSize()
        if size > self._settings.message_bytes:
            raise InvalidInputError(
                f"the answer has {size} bytes, more than a message's {self._settings.message_bytes}; "
                "ask fewer questions at a time, or use DetectStream, which sends each answer alone"
            )
        serialized: bytes = message.SerializeToString()
        return serialized


class UnknownCalls(grpc.GenericRpcHandler):
    """Refuses every call that no handler before it knows."""

    def service(self, handler_call_details: Any) -> "grpc.RpcMethodHandler[Any, Any]":
        """A handler for any method."""
        called = str(handler_call_details.method).strip("/")[:100]

        async def unknown(requests: AsyncIterator[bytes], context: Any) -> bytes:
            refuse(context, UnimplementedError(f"{called} is not served here; see docs/contract.md"))
            return b""

        return grpc.stream_unary_rpc_method_handler(unknown)


async def begin(context: Any) -> str | None:
    """Send the request's id back at once; the caller's authorization."""
    await context.send_initial_metadata(((REQUEST_ID_KEY, current_scope().request_id),))
    sent = dict(context.invocation_metadata() or ()).get(AUTHORIZATION_KEY)
    return sent if isinstance(sent, str) else None


class Detailing:
    """A call's context, but that an overload also says when to come again as gRPC libraries read it.

    Args:
        context: of the call.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self._code: grpc.StatusCode = grpc.StatusCode.OK
        self._details = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def set_code(self, code: grpc.StatusCode) -> None:
        """Set the status."""
        self._code = code
        self._context.set_code(code)

    def set_details(self, details: str) -> None:
        """Set the sentence."""
        self._details = details
        self._context.set_details(details)

    def set_trailing_metadata(self, trailers: Metadata) -> None:
        """Set what goes out after the response."""
        details = details_of(error_from_status(self._code, self._details, trailers))
        more = [] if details is None else [(DETAILS_TRAILER, details)]
        self._context.set_trailing_metadata([*trailers, *more])
