"""The reasoner behind a real server, over a real channel."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch

from reasoncd.checkpoint import Checkpoint
from reasoncd.ports import Mode, ReasonDone, ReasonEvent
from reasoncd.rpc.channel import MESSAGE_OPTIONS
from reasoncd.rpc.guard import TIMEOUT_KEY
from reasoncd.rpc.messages import description_from_proto, event_from_proto, mode_to_proto, origin_of
from reasoncd.rpc.scope import REQUEST_ID_KEY, CallScope
from reasoncd.rpc.status import ERROR_TRAILER
from reasoncd.rpc.tensors import tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import describe_pb2, features_pb2, reasoner_pb2_grpc, tensor_pb2
from reasoncd.v1 import reasoner_pb2 as pb
from services.reasoner import answer_batch
from services.reasoner.engine import ReasonerEngine
from services.reasoner.generation import Decoding, step
from services.reasoner.model import ReasonerModel
from services.reasoner.prefix_cache import PrefixCache
from services.reasoner.rows import Rows
from services.reasoner.servicer import ReasonerServicer
from services.serving.settings import ServingSettings
from services.wire import from_torch
from tests.services.reasoner.conftest import LESSONS, Lesson, engine_of

Stub = reasoner_pb2_grpc.ReasonerStub
SHORT, LONG, TREES, LAKE, REFUSED = LESSONS
UNKNOWN = hashlib.sha256(b"never sent").hexdigest()


@asynccontextmanager
async def serving(engine: ReasonerEngine, **settings: Any) -> AsyncIterator[tuple[Stub, ReasonerServicer]]:
    """A server of `engine` and a client of it."""
    servicer = ReasonerServicer(engine, ServingSettings(checkpoint=Path("unused"), **settings))
    server = grpc.aio.server(options=MESSAGE_OPTIONS)
    reasoner_pb2_grpc.add_ReasonerServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=MESSAGE_OPTIONS) as channel:
            yield Stub(channel), servicer
    finally:
        await server.stop(0)
        servicer.close()


@pytest.fixture
def engine(taught_model: ReasonerModel) -> ReasonerEngine:
    """With nothing cached."""
    return engine_of(taught_model)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, timeout=120))


def sent(tensor: Tensor) -> features_pb2.Features:
    return features_pb2.Features(tensor=tensor_to_proto(tensor))


def request_of(lesson: Lesson, *, digest: bool = False) -> pb.ReasonRequest:
    features = lesson.features
    return pb.ReasonRequest(
        clip_tokens=features_pb2.Features(digest=features.digest) if digest else sent(features),
        query=lesson.query,
        mode=mode_to_proto(lesson.mode),
    )


async def responses_to(stub: Stub, request: pb.ReasonRequest, **options: Any) -> list[pb.ReasonResponse]:
    return [response async for response in stub.Reason(request, **options)]


async def events_of(stub: Stub, lesson: Lesson) -> list[ReasonEvent]:
    return [event_from_proto(r) for r in await responses_to(stub, request_of(lesson))]


def expected(engine: ReasonerEngine, lesson: Lesson) -> list[ReasonEvent]:
    return list(engine.reason(lesson.features, lesson.query, lesson.mode))


def check_same(found: Sequence[ReasonEvent], wanted: Sequence[ReasonEvent]) -> None:
    """Answers that shared passes: the same text and tokens."""
    assert list(found[:-1]) == list(wanted[:-1])
    one, other = found[-1], wanted[-1]
    assert isinstance(one, ReasonDone) and isinstance(other, ReasonDone)
    assert (one.answer, one.token_count) == (other.answer, other.token_count)


async def refused(stub: Stub, request: pb.ReasonRequest, **options: Any) -> grpc.aio.AioRpcError:
    """The error of a call that gives no event; ours, and without a trace of our insides."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await responses_to(stub, request, **options)
    error = caught.value
    assert dict(error.trailing_metadata())[ERROR_TRAILER] == error.code().name
    for inside in ("Traceback", 'File "', ".py", ", line "):
        assert inside not in (error.details() or "")
    return error


def test_streams_are_the_engines_events_byte_for_byte(paper_tiny: Path) -> None:
    engine = ReasonerEngine.from_checkpoint(Checkpoint.open(paper_tiny))
    shape = next(t.shape for t in engine.describe().tensors if t.name == "clip_tokens")
    pairs = [
        from_torch(torch.randn(shape, generator=torch.Generator().manual_seed(n)).bfloat16()) for n in (0, 1)
    ]

    async def work() -> None:
        async with serving(engine) as (stub, _):
            described = (await stub.Describe(describe_pb2.DescribeRequest())).description
            assert description_from_proto(described) == engine.describe()
            for pair in pairs:
                for query in ("new buildings", "Where did a lake or pond dry up?", "who won the cup?"):
                    for mode in Mode:
                        asked = pb.ReasonRequest(
                            clip_tokens=sent(pair), query=query, mode=mode_to_proto(mode)
                        )
                        found = await responses_to(stub, asked)
                        wanted = list(engine.reason(pair, query, mode))
                        assert [event_from_proto(response) for response in found] == wanted
                        assert all(r.origin == origin_of(engine.describe()) for r in found)

    run(work())


def test_whole_answers_come_without_text(engine: ReasonerEngine) -> None:
    async def work() -> None:
        async with serving(engine) as (stub, _):
            unsent, asked = request_of(LONG, digest=True), request_of(LONG)
            unsent.whole = asked.whole = True
            (need,) = await responses_to(stub, unsent)
            (done,) = await responses_to(stub, asked)
        assert event_from_proto(done) == expected(engine, LONG)[-1]
        assert need.HasField("need_features")

    run(work())


def test_callers_at_once_get_the_answers_of_each_alone(engine: ReasonerEngine) -> None:
    async def work() -> None:
        async with serving(engine) as (stub, _):
            found = await asyncio.gather(*(events_of(stub, lesson) for lesson in LESSONS * 2))
        for events, lesson in zip(found, LESSONS * 2, strict=True):
            check_same(events, expected(engine, lesson))

    run(work())


def test_limits_are_told(engine: ReasonerEngine) -> None:
    async def work() -> None:
        async with serving(engine, max_requests=5, cache_bytes=1000) as (stub, _):
            limits = (await stub.Describe(describe_pb2.DescribeRequest())).limits
        assert (limits.requests, limits.cache_bytes) == (5, 1000)

    run(work())


def test_features_are_asked_for_once_and_served_by_digest_then(engine: ReasonerEngine) -> None:
    async def work() -> None:
        async with serving(engine) as (stub, _):
            (need,) = await responses_to(stub, request_of(LONG, digest=True))
            assert need.need_features.digest == LONG.features.digest
            assert need.origin == origin_of(engine.describe())
            first = await events_of(stub, LONG)
            again = await responses_to(stub, request_of(LONG, digest=True))
        assert [event_from_proto(r) for r in again] == first == expected(engine, LONG)

    run(work())


@pytest.mark.parametrize("kept", ["features", "prefix", "nothing"])
def test_either_features_or_their_prefix_are_enough(taught_model: ReasonerModel, kept: str) -> None:
    engine = engine_of(taught_model)
    if kept != "prefix":
        engine.prefixes = PrefixCache(0)

    async def work() -> None:
        async with serving(engine, cache_bytes=10_000 if kept == "features" else 0) as (stub, _):
            await events_of(stub, LONG)
            again = await responses_to(stub, request_of(LONG, digest=True))
        if kept == "nothing":
            assert [r.WhichOneof("event") for r in again] == ["need_features"]
        else:
            assert [event_from_proto(r) for r in again] == expected(engine, LONG)

    run(work())


def test_features_are_kept_within_the_bound(engine: ReasonerEngine) -> None:
    size = len(SHORT.features.data)

    async def work() -> None:
        async with serving(engine, cache_bytes=size) as (stub, servicer):
            for lesson in LESSONS:
                await events_of(stub, lesson)
                assert servicer.features.held_bytes == size

    run(work())


def test_features_that_do_not_fit_push_out_none(engine: ReasonerEngine) -> None:
    async def work() -> None:
        async with serving(engine, cache_bytes=len(SHORT.features.data)) as (stub, servicer):
            await events_of(stub, SHORT)
            other = from_torch(torch.zeros(2, 4, 12, dtype=torch.bfloat16))
            await refused(stub, pb.ReasonRequest(clip_tokens=sent(other), query="trees"))
            assert servicer.features.get(SHORT.features.digest) == SHORT.features

    run(work())


def raw(dtype: int, shape: Sequence[int], data: bytes) -> features_pb2.Features:
    return features_pb2.Features(tensor=tensor_pb2.Tensor(dtype=dtype, shape=shape, data=data))  # type: ignore[arg-type]


GOOD = sent(SHORT.features)
BF16, FP32 = tensor_pb2.DATA_TYPE_BFLOAT16, tensor_pb2.DATA_TYPE_FLOAT32
SIZE = len(SHORT.features.data)
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "clip_tokens is not set"),
    "no features": ({"query": "trees"}, "clip_tokens is not set"),
    "empty query": ({"clip_tokens": GOOD, "query": ""}, "query is empty"),
    "blank query": ({"clip_tokens": GOOD, "query": " \t "}, "query is empty"),
    "query too long": ({"clip_tokens": GOOD, "query": "\U0001f332" * 400}, "query takes"),
    "unknown mode": ({"clip_tokens": GOOD, "query": "trees", "mode": 7}, "mode 7"),
    "unknown dtype": ({"clip_tokens": raw(9, (2, 5, 12), bytes(SIZE)), "query": "trees"}, "clip_tokens"),
    "no dtype": ({"clip_tokens": raw(0, (2, 5, 12), bytes(SIZE)), "query": "trees"}, "clip_tokens"),
    "float32": ({"clip_tokens": raw(FP32, (2, 5, 12), bytes(2 * SIZE)), "query": "trees"}, "send bfloat16"),
    "too few bytes": ({"clip_tokens": raw(BF16, (2, 5, 12), bytes(3)), "query": "trees"}, "clip_tokens"),
    "negative": ({"clip_tokens": raw(BF16, (-2, -5, 12), bytes(SIZE)), "query": "trees"}, "clip_tokens"),
    "overflow": ({"clip_tokens": raw(BF16, (2**62, 2**62, 12), b""), "query": "trees"}, "clip_tokens"),
    "other shape": ({"clip_tokens": raw(BF16, (1, 5, 12), bytes(SIZE // 2)), "query": "trees"}, "expected"),
    "no shape": ({"clip_tokens": raw(BF16, (), bytes(2)), "query": "trees"}, "expected"),
    "NaN": ({"clip_tokens": raw(BF16, (2, 5, 12), b"\xff\x7f" * 120), "query": "trees"}, "NaN"),
    "bad digest": ({"clip_tokens": features_pb2.Features(digest="abc"), "query": "trees"}, "digest"),
    "bad query by digest": ({"clip_tokens": features_pb2.Features(digest=UNKNOWN), "query": ""}, "query"),
}


def test_bad_requests_are_refused_by_name_and_the_next_one_is_answered(engine: ReasonerEngine) -> None:
    async def work() -> None:
        async with serving(engine) as (stub, _):
            for name, (fields, match) in BAD.items():
                error = await refused(stub, pb.ReasonRequest(**fields))
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, name
                assert match in (error.details() or ""), name
                assert await events_of(stub, SHORT) == expected(engine, SHORT), name

    run(work())


def test_bad_requests_among_good_ones_spoil_none(engine: ReasonerEngine) -> None:
    async def work() -> None:
        async with serving(engine) as (stub, _):
            bad = [refused(stub, pb.ReasonRequest(**fields)) for fields, _ in BAD.values()]
            good = [events_of(stub, lesson) for lesson in LESSONS]
            found = (await asyncio.gather(*bad, *good))[len(bad) :]
        for events, lesson in zip(found, LESSONS, strict=True):
            assert isinstance(events, list)
            check_same(events, expected(engine, lesson))

    run(work())


@pytest.mark.parametrize("query", ["<SEG>", "trees <T1> and </CRoI>", "<|im_end|>", "<file_sep>"])
def test_control_tokens_in_a_query_are_plain_text(engine: ReasonerEngine, query: str) -> None:
    async def work() -> None:
        async with serving(engine) as (stub, _):
            found = await responses_to(stub, pb.ReasonRequest(clip_tokens=GOOD, query=query))
        # A mode that is not set is the short one.
        wanted = list(engine.reason(SHORT.features, query, Mode.SHORT))
        assert [event_from_proto(r) for r in found] == wanted

    run(work())


class Passes:
    """Counts passes, and lets a test wait in between: nothing depends on how fast this machine is."""

    def __init__(self) -> None:
        self.count = 0
        self.after: Callable[[int], object] = lambda count: None

    def __call__(self, rows: Rows, decodings: Sequence[Decoding]) -> None:
        self.count += 1
        step(rows, decodings)
        self.after(self.count)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    counting = Passes()
    monkeypatch.setattr(answer_batch, "step", counting)
    return counting


def test_cancelling_stops_decoding(
    engine: ReasonerEngine, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = threading.Event()
    cancel = CallScope.cancel

    def told(scope: CallScope) -> None:
        cancel(scope)
        cancelled.set()

    monkeypatch.setattr(CallScope, "cancel", told)
    # The fourth pass lasts until the caller is gone, and must be the last one.
    passes.after = lambda count: count < 4 or cancelled.wait(60)

    async def work() -> None:
        async with serving(engine) as (stub, _):
            call = stub.Reason(request_of(LONG))
            assert (await call.read()).text.text
            call.cancel()
            assert await asyncio.to_thread(cancelled.wait, 60)
            # Another question has its turn once that pass is over.
            assert await events_of(stub, SHORT) == expected(engine, SHORT)
            both = passes.count
            await events_of(stub, SHORT)
            alone = passes.count - both
            assert 0 < both - alone <= 4

    run(work())


def test_no_step_begins_after_the_deadline(
    engine: ReasonerEngine, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with serving(engine) as (stub, _):
            error = await refused(stub, request_of(LONG), metadata=((TIMEOUT_KEY, "0"),))
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert passes.count == 0
            with monkeypatch.context() as patch:
                # As if the time were up in the third pass.
                patch.setattr(CallScope, "remaining_s", lambda scope: 0.0 if passes.count >= 3 else 60.0)
                error = await refused(stub, request_of(LONG), metadata=((TIMEOUT_KEY, "60000"),))
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert passes.count == 3
            assert await events_of(stub, SHORT) == expected(engine, SHORT)

    run(work())


def test_a_fault_is_told_without_its_insides_and_the_health_check_tries_the_engine(
    engine: ReasonerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(rows: Rows, decodings: Sequence[Decoding]) -> None:
        raise RuntimeError("secret insides")

    async def work() -> None:
        async with serving(engine) as (stub, servicer):
            probes: list[None] = []
            monkeypatch.setattr(servicer.health, "_probe", lambda: probes.append(None))
            await servicer.check_health()
            assert probes == []
            with monkeypatch.context() as patch:
                patch.setattr(answer_batch, "step", broken)
                error = await refused(stub, request_of(LONG), metadata=((REQUEST_ID_KEY, "abc-1"),))
            assert error.code() is grpc.StatusCode.INTERNAL
            assert "abc-1" in (error.details() or "")
            assert "secret" not in (error.details() or "")
            await servicer.check_health()
            assert probes == [None]
            assert await events_of(stub, LONG) == expected(engine, LONG)

    run(work())


def test_the_probe_is_a_whole_answer(engine: ReasonerEngine) -> None:
    servicer = ReasonerServicer(engine, ServingSettings(checkpoint=Path("unused")))
    assert isinstance(servicer.probe()[-1], ReasonDone)
    servicer.close()


def test_a_service_that_stops_says_so(engine: ReasonerEngine) -> None:
    async def work() -> None:
        async with serving(engine) as (stub, servicer):
            await events_of(stub, SHORT)
            servicer.close()
            error = await refused(stub, request_of(SHORT))
            assert error.code() is grpc.StatusCode.UNAVAILABLE

    run(work())
