"""How the client for asyncio makes a call: with retries, and so that it can be given up."""

import asyncio
from typing import Any

import grpc

from reasoncd.client.attempts import Attempts
from reasoncd.client.connection import Connection
from reasoncd.errors import CancelledError
from reasoncd.v1.gateway_pb2_grpc import ChangeDetectionStub
from reasoncd.v1.jobs_pb2_grpc import SceneJobsStub


class AioCalls:
    """The channel to one gateway; belongs to the event loop in which it is first used.

    Args:
        connection: where and how.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._channel: grpc.aio.Channel | None = None
        self._stubs: tuple[Any, ...] = ()
        self._closed = False

    async def close(self) -> None:
        """Close the channel; calls in work end with `CancelledError`."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()

    async def ask(self, name: str, request: Any, attempts: Attempts) -> Any:
        """The one response of a call, after as many tries as it takes.

        Args:
            name: of the call.
            request: its message; or what makes the stream of them, anew for each try.
            attempts: of the call.

        Raises:
            ReasonCDError: the call has failed for good.
        """
        while True:
            try:
                return await self.start(name, request() if callable(request) else request, attempts)
            except grpc.RpcError as failure:
                await asyncio.sleep(attempts.after(failure))
            except asyncio.CancelledError:
                self.check_whose(attempts)
                raise

    def check_whose(self, attempts: Attempts) -> None:
        """A closed channel looks like a cancelled task; only the latter is asyncio's to know of."""
        task = asyncio.current_task()
        if self._closed and not (task and task.cancelling()):
            attempts.fail(CancelledError("the client was closed before the answer was there"))

    def start(self, name: str, request: Any, attempts: Attempts) -> Any:
        """Begin one try of a call.

        Raises:
            CancelledError: the client was closed.
        """
        if self._closed:
            attempts.fail(CancelledError("the client was closed; open another"))
        if self._channel is None:
            # Not at construction: a channel binds itself to the loop that runs.
            target, tls, options = self.connection.target, self.connection.tls, self.connection.options
            self._channel = (
                grpc.aio.secure_channel(target, tls.credentials(), options)
                if tls
                else grpc.aio.insecure_channel(target, options)
            )
            self._stubs = ChangeDetectionStub(self._channel), SceneJobsStub(self._channel)
        begin = next(getattr(stub, name) for stub in self._stubs if hasattr(stub, name))
        return begin(request, timeout=attempts.remaining_s(), metadata=attempts.metadata)
