"""The wall around servicers, on a bare server: whatever a method does, the caller gets a clean status."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import grpc
import pytest

from reasoncd.errors import CancelledError, DeadlineError, InvalidInputError, OverloadedError
from reasoncd.rpc.guard import MAX_DETAILS, TIMEOUT_KEY, guarded, guarded_stream
from reasoncd.rpc.scope import REQUEST_ID_KEY, CallScope, current_scope
from reasoncd.rpc.status import error_from_status, is_ours
from reasoncd.v1 import mask_decoder_pb2 as decoder_pb
from reasoncd.v1 import reasoner_pb2 as reasoner_pb
from reasoncd.v1.mask_decoder_pb2_grpc import (
    MaskDecoderServicer,
    MaskDecoderStub,
    add_MaskDecoderServicer_to_server,
)
from reasoncd.v1.reasoner_pb2_grpc import (
    ReasonerServicer,
    ReasonerStub,
    add_ReasonerServicer_to_server,
)

pytestmark = pytest.mark.unit

Work = Callable[[], Awaitable[object]]
SECRET = "the password is hunter2"


class Guarded(MaskDecoderServicer, ReasonerServicer):
    """Two methods behind the wall, which do what the test says."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.scopes: list[CallScope] = []
        self.ended = asyncio.Event()
        """The method has ended, in whatever way."""

    @guarded(decoder_pb.DecodeResponse)
    async def Decode(  # noqa: N802 - named by gRPC
        self, request: decoder_pb.DecodeRequest, context: Any
    ) -> decoder_pb.DecodeResponse:
        self.scopes.append(current_scope())
        try:
            await self.work()
        finally:
            self.ended.set()
        return decoder_pb.DecodeResponse(masks=decoder_pb.DecodedMasks())

    @guarded_stream
    async def Reason(  # noqa: N802
        self, request: reasoner_pb.ReasonRequest, context: Any
    ) -> AsyncIterator[reasoner_pb.ReasonResponse]:
        self.scopes.append(current_scope())
        try:
            yield reasoner_pb.ReasonResponse(text=reasoner_pb.ReasonText(text="New"))
            await self.work()
            yield reasoner_pb.ReasonResponse(done=reasoner_pb.ReasonDone(answer="New"))
        finally:
            self.ended.set()


class Caller:
    """Both methods as a client calls them."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.decode: Any = MaskDecoderStub(channel).Decode
        self.reason: Any = ReasonerStub(channel).Reason

    def call(self, streamed: bool, **options: Any) -> Any:
        if streamed:
            return self.reason(reasoner_pb.ReasonRequest(), **options)
        return self.decode(decoder_pb.DecodeRequest(), **options)

    async def finish(self, streamed: bool, **options: Any) -> None:
        call = self.call(streamed, **options)
        if streamed:
            async for _ in call:
                pass
        else:
            await call


def serve(work: Work, test: Callable[[Guarded, Caller], Coroutine[Any, Any, None]]) -> None:
    """Run a test against a server whose methods do `work`."""

    async def run() -> None:
        servicer = Guarded(work)
        server = grpc.aio.server()
        add_MaskDecoderServicer_to_server(servicer, server)
        add_ReasonerServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(30):
                await test(servicer, Caller(channel))
        finally:
            await server.stop(None)

    asyncio.run(run())


async def nothing() -> None:
    pass


def raising(error: BaseException) -> Work:
    async def work() -> None:
        raise error

    return work


both = pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])


@both
def test_what_goes_well_goes_through(streamed: bool) -> None:
    async def test(servicer: Guarded, caller: Caller) -> None:
        await caller.finish(streamed)
        assert [response.masks async for response in _responses(caller)] == [decoder_pb.DecodedMasks()]
        assert not servicer.scopes[0].cancelled

    serve(nothing, test)


async def _responses(caller: Caller) -> AsyncIterator[Any]:
    yield await caller.decode(decoder_pb.DecodeRequest())


@both
@pytest.mark.parametrize(
    "error",
    [
        InvalidInputError("boxes has shape (3,); send (Q, 4)"),
        OverloadedError("8 requests wait; come again", retry_after_s=2.5),
        InvalidInputError("ein Häuschen, 一座房子"),
    ],
)
def test_our_errors_arrive_whole(streamed: bool, error: InvalidInputError | OverloadedError) -> None:
    async def test(servicer: Guarded, caller: Caller) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await caller.finish(streamed)
        trailers = tuple(raised.value.trailing_metadata() or ())
        back = error_from_status(raised.value.code(), raised.value.details(), trailers)
        assert is_ours(trailers)
        assert (type(back), back.message) == (type(error), error.message)
        assert getattr(back, "retry_after_s", None) == getattr(error, "retry_after_s", None)

    serve(raising(error), test)


@both
@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError(SECRET),
        KeyError(SECRET),
        MemoryError(SECRET),
        RuntimeError(SECRET),
        grpc.RpcError(SECRET),
        StopAsyncIteration(SECRET),
    ],
)
def test_a_fault_shows_nothing_of_itself(
    streamed: bool, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(servicer: Guarded, caller: Caller) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await caller.finish(streamed, metadata=[(REQUEST_ID_KEY, "job-7")])
        told = raised.value
        assert told.code() is grpc.StatusCode.INTERNAL
        assert told.details() == "a fault of this service; its log has it under request id job-7"
        assert is_ours(tuple(told.trailing_metadata() or ()))
        everything = f"{told!r} {told.debug_error_string()} {told.trailing_metadata()}"
        assert "hunter2" not in everything
        assert "Traceback" not in everything
        # The same process is right on the next request.
        servicer.work = nothing
        await caller.finish(streamed)

    with caplog.at_level(logging.ERROR):
        serve(raising(error), test)
    (record,) = [record for record in caplog.records if record.name == "reasoncd.rpc.guard"]
    assert record.exc_info is not None
    fault = record.exc_info[1]
    assert fault is not None
    assert "hunter2" in str(fault.__cause__ or fault)
    assert record.__dict__["request_id"] == "job-7"


@both
def test_a_long_sentence_is_cut_not_lost(streamed: bool) -> None:
    async def test(servicer: Guarded, caller: Caller) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await caller.finish(streamed)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert raised.value.details() == "家" * MAX_DETAILS

    serve(raising(InvalidInputError("家" * 5000)), test)


@both
def test_a_caller_that_leaves_cancels_the_scope(streamed: bool) -> None:
    begun = asyncio.Event()
    called: list[str] = []

    async def work() -> None:
        with current_scope().when_cancelled(lambda: called.append("stop")):
            begun.set()
            await asyncio.Event().wait()

    async def test(servicer: Guarded, caller: Caller) -> None:
        call = caller.call(streamed)
        if streamed:
            await call.read()
        await begun.wait()
        call.cancel()
        await servicer.ended.wait()
        # The wall runs after the method's own end.
        while not servicer.scopes[0].cancelled:
            await asyncio.sleep(0.01)
        assert called == []
        with pytest.raises(CancelledError):
            servicer.scopes[0].check()

    serve(work, test)


@both
def test_threads_of_a_call_hear_that_the_caller_left(streamed: bool) -> None:
    """As engines do: in a thread that asks its scope before each new piece of work."""
    begun, heard = threading.Event(), threading.Event()

    def compute(scope: CallScope) -> None:
        with scope.when_cancelled(heard.set):
            begun.set()
            heard.wait(20)

    async def work() -> None:
        await asyncio.to_thread(compute, current_scope())

    async def test(servicer: Guarded, caller: Caller) -> None:
        call = caller.call(streamed)
        if streamed:
            await call.read()
        await asyncio.to_thread(begun.wait, 20)
        call.cancel()
        assert await asyncio.to_thread(heard.wait, 20)

    serve(work, test)


@pytest.mark.parametrize(
    ("metadata", "timeout", "longest"),
    [
        ([], None, None),
        ([(TIMEOUT_KEY, "5000")], None, 5.0),
        ([], 7.0, 7.1),
        ([(TIMEOUT_KEY, "5000")], 60.0, 5.0),
        ([(TIMEOUT_KEY, "60000")], 7.0, 7.1),
        ([(TIMEOUT_KEY, "soon")], None, None),
        ([(TIMEOUT_KEY, "-1")], None, None),
        ([(TIMEOUT_KEY, "9" * 5000)], None, None),
    ],
)
@both
def test_the_callers_deadline(
    streamed: bool, metadata: list[tuple[str, str]], timeout: float | None, longest: float | None
) -> None:
    async def test(servicer: Guarded, caller: Caller) -> None:
        await caller.finish(streamed, metadata=metadata, timeout=timeout)
        remaining = servicer.scopes[0].remaining_s()
        if longest is None:
            assert remaining is None
        else:
            assert remaining is not None
            assert 0 < remaining <= longest

    serve(nothing, test)


@both
def test_nothing_begins_after_the_deadline(streamed: bool) -> None:
    async def test(servicer: Guarded, caller: Caller) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await caller.finish(streamed, metadata=[(TIMEOUT_KEY, "0")])
        trailers = tuple(raised.value.trailing_metadata() or ())
        back = error_from_status(raised.value.code(), raised.value.details(), trailers)
        assert isinstance(back, DeadlineError)
        assert is_ours(trailers)
        assert servicer.scopes == []

    serve(nothing, test)


@both
@pytest.mark.parametrize("sent", ["job-7", "x" * 65, "a b", 'a"b'])
def test_the_callers_id_where_it_is_one(streamed: bool, sent: str) -> None:
    async def test(servicer: Guarded, caller: Caller) -> None:
        await caller.finish(streamed, metadata=[(REQUEST_ID_KEY, sent)])
        found = servicer.scopes[0].request_id
        assert found == sent if sent == "job-7" else len(found) == 32

    serve(nothing, test)


@both
def test_calls_have_scopes_of_their_own(streamed: bool) -> None:
    async def test(servicer: Guarded, caller: Caller) -> None:
        await asyncio.gather(
            *(caller.finish(streamed, metadata=[(REQUEST_ID_KEY, f"r{n}")]) for n in range(5))
        )
        assert {scope.request_id for scope in servicer.scopes} == {f"r{n}" for n in range(5)}

    serve(nothing, test)


def test_a_stream_that_is_left_ends_its_method_at_once() -> None:
    """Also where the method was handing over a response, and not at work."""

    async def run() -> None:
        servicer = Guarded(nothing)
        responses = servicer.Reason(reasoner_pb.ReasonRequest(), _NoContext())
        await anext(responses)
        assert not servicer.ended.is_set()
        await responses.aclose()
        assert servicer.ended.is_set()
        assert servicer.scopes[0].cancelled

    asyncio.run(run())


class _NoContext:
    """A context without a deadline, like Serve's."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()
