"""The client for asyncio."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from types import TracebackType
from typing import Self

import grpc

from reasoncd.client.aio_calls import AioCalls
from reasoncd.client.aio_jobs import AioJobs
from reasoncd.client.attempts import Attempts
from reasoncd.client.connection import TIMEOUT_S, Connection
from reasoncd.client.images import ImageSource
from reasoncd.client.messages import (
    check_end,
    detect_request,
    read_description,
    read_detections,
    read_event,
)
from reasoncd.client.results import Detected, Detection, Event, GatewayDescription
from reasoncd.meanings import Click, Meaning
from reasoncd.ports import Mode
from reasoncd.rpc.tls import Tls
from reasoncd.v1 import describe_pb2
from reasoncd.v1 import gateway_pb2 as pb


class AsyncReasonCDClient:
    """`ReasonCDClient` with coroutines; a cancelled task cancels its call.

    Belongs to the event loop in which it is first used. Images are read and maps unpacked in worker threads,
    so the loop stays free. Arguments and errors: see `ReasonCDClient`.
    """

    def __init__(
        self,
        target: str,
        *,
        tls: Tls | None = None,
        token: str | None = None,
        timeout_s: float | None = TIMEOUT_S,
        wait_when_busy: bool = False,
    ) -> None:
        self._connection = Connection(
            target=target, tls=tls, token=token, timeout_s=timeout_s, wait_when_busy=wait_when_busy
        )
        self._calls = AioCalls(self._connection)
        self.jobs = AioJobs(self._calls)
        """Questions about whole scenes."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls in work end with `CancelledError`."""
        await self._calls.close()

    async def describe(self, *, timeout_s: float | None = None) -> GatewayDescription:
        """As `ReasonCDClient.describe`."""
        attempts = Attempts(self._connection, timeout_s, None)
        return read_description(await self._calls.ask("Describe", describe_pb2.DescribeRequest(), attempts))

    async def detect(
        self,
        t1: ImageSource,
        t2: ImageSource,
        queries: str | Sequence[str],
        *,
        mode: Mode | str = Mode.SHORT,
        threshold: float | None = None,
        meanings: Sequence[Meaning] | None = None,
        clicks: Sequence[Click] | None = None,
        with_probability: bool = False,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> list[Detection]:
        """As `ReasonCDClient.detect`."""
        attempts = Attempts(self._connection, timeout_s, request_id)
        request = await asyncio.to_thread(
            detect_request,
            t1,
            t2,
            queries,
            mode=mode,
            threshold=threshold,
            meanings=meanings,
            clicks=clicks,
            with_probability=with_probability,
        )
        response: pb.DetectResponse = await self._calls.ask("Detect", request, attempts)
        return await asyncio.to_thread(read_detections, response, len(request.queries))

    async def detect_stream(
        self,
        t1: ImageSource,
        t2: ImageSource,
        queries: str | Sequence[str],
        *,
        mode: Mode | str = Mode.SHORT,
        threshold: float | None = None,
        meanings: Sequence[Meaning] | None = None,
        clicks: Sequence[Click] | None = None,
        with_probability: bool = False,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> AsyncGenerator[Event, None]:
        """As `ReasonCDClient.detect_stream`; close a generator that is left early with `aclosing`.

        Yields:
            `Progress`, `Text` and one `Detected` a question, the questions in order.
        """
        attempts = Attempts(self._connection, timeout_s, request_id)
        detect = await asyncio.to_thread(
            detect_request,
            t1,
            t2,
            queries,
            mode=mode,
            threshold=threshold,
            meanings=meanings,
            clicks=clicks,
            with_probability=with_probability,
        )
        request = pb.DetectStreamRequest(detect=detect)
        begun, answers, done = False, 0, None
        while True:
            call = self._calls.start("DetectStream", request, attempts)
            try:
                async for message in call:
                    begun = True
                    if message.HasField("done"):
                        done = message.done
                    elif event := await asyncio.to_thread(read_event, message):
                        answers += isinstance(event, Detected)
                        yield event
                break
            except grpc.RpcError as failure:
                await asyncio.sleep(attempts.after(failure, begun=begun))
            except asyncio.CancelledError:
                self._calls.check_whose(attempts)
                raise
            finally:
                call.cancel()
        check_end(done, answers, len(detect.queries))
