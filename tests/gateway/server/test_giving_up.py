"""Deadlines and callers that leave: the model is told, no new work begins, and the place is free again."""

import socket
import time
from collections.abc import Sequence
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.detection import Detection, Event
from gateway.pipeline import Pipeline
from gateway.server import front
from reasoncd.ports import Description
from reasoncd.rpc.scope import CallScope, current_scope
from reasoncd.v1 import gateway_pb2 as pb
from tests.gateway.server.bad_requests import GOOD, request
from tests.gateway.server.conftest import Held, Served, channel_to, form, method_of, served, until
from tests.gateway.server.error_table import assert_grpc, assert_http

pytestmark = pytest.mark.unit

DETECT = "/reasoncd.v1.ChangeDetection/Detect"
LATE = "the deadline passed"


def detect(channel: grpc.Channel, **options: Any) -> Any:
    return method_of(channel).future(request().SerializeToString(), **options)


def stream(channel: grpc.Channel, **options: Any) -> Any:
    asked = pb.DetectStreamRequest(detect=request()).SerializeToString()
    return method_of(channel, "DetectStream", streams=True)(asked, **options)


def assert_given_up(held: Held, running: Served) -> None:
    """The model noticed, and another request finds room."""
    assert held.ended.acquire(timeout=30)
    assert held.scopes[-1].cancelled or held.scopes[-1].remaining_s() == 0
    until(lambda: running.server.requests == 0)
    held.go.set()
    assert httpx.post(running.addresses.http + "/v1/detect", **form(GOOD)).status_code == 200


@pytest.mark.parametrize("begin", [detect, stream])
def test_the_callers_deadline_is_the_models(held: Held, begin: Any) -> None:
    with served(held, running=1) as running, channel_to(running.addresses.grpc) as channel:
        call = begin(channel, timeout=1.0)
        assert held.began.acquire(timeout=30)
        remaining = held.scopes[0].remaining_s()
        assert remaining is not None
        # gRPC rounds a timeout up on its way; without the caller's it would be five minutes.
        assert remaining < 2.0
        assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert_given_up(held, running)


@pytest.mark.parametrize("begin", [detect, stream])
def test_a_deadline_in_metadata(held: Held, begin: Any) -> None:
    with served(held, running=1) as running, channel_to(running.addresses.grpc) as channel:
        call = begin(channel, metadata=(("reasoncd-timeout-ms", "500"),), timeout=60)
        assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert_grpc(LATE, call if isinstance(call, grpc.RpcError) else call.exception())
        assert_given_up(held, running)


@pytest.mark.parametrize("path", ["/v1/detect", "/v1/detect/stream"])
def test_a_deadline_over_http(held: Held, path: str) -> None:
    with served(held, running=1) as running:
        response = httpx.post(
            running.addresses.http + path, **form(GOOD), headers={"reasoncd-timeout-ms": "500"}, timeout=60
        )
        assert_http(LATE, response)
        assert_given_up(held, running)


def test_a_request_without_a_deadline_gets_one(held: Held) -> None:
    with served(held, running=1, request_timeout_s=0.5) as running:
        assert_http(LATE, httpx.post(running.addresses.http + "/v1/detect", **form(GOOD), timeout=60))
        assert_given_up(held, running)


def test_a_deadline_passes_while_waiting_for_a_turn(held: Held) -> None:
    with served(held, running=1, waiting=1) as running, channel_to(running.addresses.grpc) as channel:
        working = detect(channel, timeout=60)
        assert held.began.acquire(timeout=30)
        waiting = httpx.post(
            running.addresses.http + "/v1/detect", **form(GOOD), headers={"reasoncd-timeout-ms": "300"}
        )
        assert_http(LATE, waiting)
        # It never got to the model.
        assert len(held.scopes) == 1
        held.go.set()
        assert working.result()


@pytest.mark.parametrize("begin", [detect, stream])
def test_cancelling_a_call(held: Held, begin: Any) -> None:
    with served(held, running=1) as running, channel_to(running.addresses.grpc) as channel:
        call = begin(channel, timeout=60)
        assert held.began.acquire(timeout=30)
        call.cancel()
        assert held.ended.acquire(timeout=30)
        assert held.scopes[0].cancelled
        held.ended.release()
        assert_given_up(held, running)


@pytest.mark.parametrize("path", ["/v1/detect", "/v1/detect/stream"])
def test_a_reader_that_leaves_before_the_answer(held: Held, path: str) -> None:
    """The condition "the caller gave up"."""
    with served(held, running=1) as running:
        url = httpx.URL(running.addresses.http + path)
        ready = httpx.Request("POST", url, **form(GOOD))
        ready.read()
        head = "".join(f"{name}: {value}\r\n" for name, value in ready.headers.items())
        with socket.create_connection((url.host, url.port or 0)) as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + ready.content)
            assert held.began.acquire(timeout=30)
        assert held.ended.acquire(timeout=30)
        assert held.scopes[0].cancelled
        held.ended.release()
        assert_given_up(held, running)


class Talking:
    """Tells of progress until nobody listens any more."""

    def __init__(self, inner: Pipeline) -> None:
        self._inner = inner
        self.scope: CallScope | None = None
        self.told = 0
        self.ended = False

    def describe(self) -> tuple[Description, Description, Description]:
        return self._inner.describe()

    def detect(self, images: NDArray[np.uint8], queries: Sequence[str], **told: Any) -> list[Detection]:
        self.scope = current_scope()
        try:
            while True:
                self.scope.check()
                told["on_event"](Event(stage="decode", done=self.told, total=10**6, text="word " * 2000))
                self.told += 1
        finally:
            self.ended = True


def test_a_stream_left_midway_over_grpc(pipeline: Pipeline) -> None:
    model = Talking(pipeline)
    with served(model, running=1) as running, channel_to(running.addresses.grpc) as channel:
        call = stream(channel, timeout=60)
        first = pb.DetectStreamResponse.FromString(next(call))
        assert first.WhichOneof("event") == "text"
        call.cancel()
        until(lambda: model.ended)
        assert model.scope is not None
        assert model.scope.cancelled
        until(lambda: running.server.requests == 0)


def test_a_stream_left_midway_over_http(pipeline: Pipeline) -> None:
    model = Talking(pipeline)
    with served(model, running=1) as running:
        url = running.addresses.http + "/v1/detect/stream"
        with httpx.stream("POST", url, **form(GOOD)) as response:
            assert response.status_code == 200
            assert next(response.iter_lines()) == "event: text"
        until(lambda: model.ended)
        assert model.scope is not None
        assert model.scope.cancelled
        until(lambda: running.server.requests == 0)


def test_a_reader_that_does_not_read_holds_the_work_up_until_its_deadline(pipeline: Pipeline) -> None:
    model = Talking(pipeline)
    with served(model, running=1, request_timeout_s=3.0) as running:
        url = running.addresses.http + "/v1/detect/stream"
        with httpx.stream("POST", url, **form(GOOD)) as response:
            assert response.status_code == 200
            # What fits into sockets and queue has been told, and then nothing more.
            before = -1
            while before != model.told:
                before = model.told
                time.sleep(0.5)
            until(lambda: model.ended)
            until(lambda: running.server.requests == 0)
        assert httpx.get(running.addresses.http + "/healthz").text == "ok\n"


def test_an_error_after_the_first_event_ends_the_stream(pipeline: Pipeline) -> None:
    class Breaking(Talking):
        def detect(self, images: NDArray[np.uint8], queries: Sequence[str], **told: Any) -> list[Detection]:
            told["on_event"](Event(stage="encode", done=0, total=1))
            raise RuntimeError("secret")

    condition = "a fault of ReasonCD"
    with served(Breaking(pipeline)) as running, channel_to(running.addresses.grpc) as channel:
        call = stream(channel, timeout=60)
        next(call)
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        assert_grpc(condition, caught.value)
        response = httpx.post(running.addresses.http + "/v1/detect/stream", **form(GOOD))
        last = response.text.strip().split("\n\n")[-1]
        assert last.startswith("event: error\n")
        assert '"code":"INTERNAL"' in last
        assert response.headers["x-request-id"] in last
        assert "secret" not in response.text


def test_a_quiet_stream_shows_that_it_lives(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "PULSE_S", 0.1)
    with served(held) as running:
        url = running.addresses.http + "/v1/detect/stream"
        with httpx.stream("POST", url, **form(GOOD), timeout=60) as response:
            lines = response.iter_lines()
            assert next(lines) == ": working"
            held.go.set()
            assert "event: done" in list(lines)


@pytest.mark.parametrize("sent", [b"", b'--cut\r\nContent-Disposition: form-data; name="t1"\r\n\r\n'])
def test_a_request_that_does_not_arrive(pipeline: Pipeline, sent: bytes) -> None:
    condition = "the request did not arrive in time"
    with served(pipeline, receive_timeout_s=0.5) as running, channel_to(running.addresses.grpc) as channel:
        url = httpx.URL(running.addresses.http)
        with socket.create_connection((url.host, url.port or 0)) as connection:
            head = "POST /v1/detect HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n"
            kind = "content-type: multipart/form-data; boundary=cut\r\n\r\n"
            connection.sendall((head + kind).encode() + sent)
            answer = ""
            # Head and body may come in pieces.
            while "}}" not in answer and (piece := connection.recv(4096)):
                answer += piece.decode()
        assert answer.startswith("HTTP/1.1 504 ")
        assert "the request did not arrive within 0.5 s" in answer

        def never() -> Any:
            until(lambda: over)
            yield b""

        over: list[bool] = []
        slowly: Any = channel.stream_unary(DETECT)
        call = slowly.future(never(), timeout=60)
        with pytest.raises(grpc.RpcError) as caught:
            call.result()
        over.append(True)
        assert_grpc(condition, caught.value)
