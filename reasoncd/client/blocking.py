"""The client for programs without asyncio."""

from collections.abc import Generator, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from reasoncd.client.attempts import Attempts
from reasoncd.client.blocking_calls import BlockingCalls
from reasoncd.client.blocking_jobs import BlockingJobs
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
from reasoncd.v1.gateway_pb2_grpc import ChangeDetectionStub


class ReasonCDClient:
    """A gateway, as functions. Threads may share one; its connection opens with the first call.

    A call runs under the `reasoncd.rpc.scope.CallScope` of its caller, where there is one: its deadline
    bounds the call, and cancelling it cancels the call. Closing the client ends the calls in work.

    Args:
        target: HOST:PORT of the gateway's gRPC port.
        tls: how the channel is secured; None for one in the clear.
        token: says who asks.
        timeout_s: until a call is given up, its retries included; None for never.
        wait_when_busy: try again, within the timeout, where the gateway is full.

    Raises:
        InvalidInputError: the target is no address, the token no token, or the timeout not positive.
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
        self._calls = BlockingCalls(self._connection)
        self._stub: Any = ChangeDetectionStub(self._calls.channel)
        self.jobs = BlockingJobs(self._calls)
        """Questions about whole scenes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls in work end with `CancelledError`."""
        self._calls.close()

    def describe(self, *, timeout_s: float | None = None) -> GatewayDescription:
        """Who answers: the gateway and the models behind it.

        Args:
            timeout_s: until the call is given up; the client's if not given.

        Raises:
            UnavailableError: no gateway is reached.
            ReasonCDError: as the gateway says.
        """
        attempts = Attempts(self._connection, timeout_s, None)
        request = describe_pb2.DescribeRequest()
        return read_description(self._calls.ask(self._stub.Describe, request, attempts))

    def detect(
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
        """Answer every question about one pair. Large images and many questions: see `detect_stream`.

        Args:
            t1: the earlier image: a path, the bytes of a file, or uint8 (H, W, 3) in RGB.
            t2: the later image, of the same size.
            queries: one question or up to 32.
            mode: whether the answers give a reason.
            threshold: a pixel is changed at or above this probability, in [0.001, 0.999]; the model's own
                if not given.
            meanings: of the questions, one each, as earlier answers gave them: nothing is reasoned then.
            clicks: corrections of the one question's map, in pixels, in the order in which they were made.
            with_probability: have the maps of probability sent too.
            timeout_s: until the call is given up; the client's if not given.
            request_id: under which the gateway's logs have the call; a new one if not given.

        Returns:
            One answer a question, in order.

        Raises:
            NotFoundError, InvalidInputError: something given cannot be used.
            UnauthenticatedError: the gateway does not know the token.
            OverloadedError: the gateway is full; `retry_after_s` says when to come again.
            UnavailableError, DeadlineError, CancelledError: there was no answer.
            ReasonCDError: as the gateway says.
        """
        attempts = Attempts(self._connection, timeout_s, request_id)
        request = detect_request(
            t1,
            t2,
            queries,
            mode=mode,
            threshold=threshold,
            meanings=meanings,
            clicks=clicks,
            with_probability=with_probability,
        )
        response: pb.DetectResponse = self._calls.ask(self._stub.Detect, request, attempts)
        return read_detections(response, len(request.queries))

    def detect_stream(
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
    ) -> Generator[Event, None, None]:
        """The same, told as it happens: progress, text as it is written, and each answer once it is there.

        The call starts with the first `next`. Leaving the loop and closing the generator cancels it. It is
        tried again only before its first event. Arguments and errors are those of `detect`.

        Yields:
            `Progress`, `Text` and one `Detected` a question, the questions in order.
        """
        attempts = Attempts(self._connection, timeout_s, request_id)
        detect = detect_request(
            t1,
            t2,
            queries,
            mode=mode,
            threshold=threshold,
            meanings=meanings,
            clicks=clicks,
            with_probability=with_probability,
        )
        return self._stream(pb.DetectStreamRequest(detect=detect), attempts)

    def _stream(self, request: pb.DetectStreamRequest, attempts: Attempts) -> Generator[Event, None, None]:
        begun, answers, done = False, 0, None
        while True:
            call = self._calls.start(self._stub.DetectStream, request, attempts)
            try:
                with attempts.outer.when_cancelled(call.cancel):
                    for message in call:
                        begun = True
                        if message.HasField("done"):
                            done = message.done
                        elif event := read_event(message):
                            answers += isinstance(event, Detected)
                            yield event
                break
            except grpc.RpcError as failure:
                self._calls.pause(attempts.after(failure, begun=begun), attempts)
            finally:
                call.cancel()
        check_end(done, answers, len(request.detect.queries))
