"""The mask decoder on a real server: the engine's bytes, features by digest, batches and clean refusals."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from reasoncd.checkpoint import Checkpoint
from reasoncd.ports import Clicks, DecodedMasks
from reasoncd.rpc.messages import clicks_to_proto, description_from_proto, masks_from_proto
from reasoncd.rpc.status import is_ours
from reasoncd.rpc.tensors import tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import describe_pb2, features_pb2, tensor_pb2
from reasoncd.v1 import mask_decoder_pb2 as pb
from reasoncd.v1.mask_decoder_pb2_grpc import MaskDecoderStub, add_MaskDecoderServicer_to_server
from services.mask_decoder.engine import MaskDecoderEngine
from services.mask_decoder.requests import DecodeRequest
from services.mask_decoder.servicer import MaskDecoderServicer
from services.serving.settings import ServingSettings
from services.wire import from_torch

pytestmark = pytest.mark.unit

Serving = Callable[[Callable[..., None], Any], AbstractAsyncContextManager[grpc.aio.Channel]]
Talk = Callable[[Any, MaskDecoderServicer], Coroutine[Any, Any, None]]
Run = Callable[..., None]

WIDTH, GRID, SIDE = 32, 8, 128


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Checkpoint) -> MaskDecoderEngine:
    return MaskDecoderEngine.from_checkpoint(tiny_checkpoint)


@pytest.fixture
def run(engine: MaskDecoderEngine, tiny_checkpoint: Checkpoint, serving: Serving) -> Run:
    """Talk to a decoder with the given settings."""

    def with_stub(talk: Talk, **settings: Any) -> None:
        servicer = MaskDecoderServicer(engine, ServingSettings(checkpoint=tiny_checkpoint.path, **settings))

        async def main() -> None:
            async with serving(add_MaskDecoderServicer_to_server, servicer) as channel:
                await talk(MaskDecoderStub(channel), servicer)

        asyncio.run(main())

    return with_stub


def _fused(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return from_torch(torch.randn(WIDTH, GRID, GRID, generator=generator).bfloat16())


def _segs(seed: int, count: int = 1) -> Tensor:
    return Tensor.from_numpy(np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32))


def _request(fused: Tensor | str, segs: Tensor, **fields: Any) -> pb.DecodeRequest:
    features = (
        features_pb2.Features(digest=fused)
        if isinstance(fused, str)
        else features_pb2.Features(tensor=tensor_to_proto(fused))
    )
    return pb.DecodeRequest(fused_map=features, seg_embeddings=tensor_to_proto(segs), **fields)


def _equal(reply: pb.DecodeResponse, expected: DecodedMasks) -> bool:
    found = masks_from_proto(reply.masks)
    return all(
        np.array_equal(getattr(found, name), getattr(expected, name))
        for name in ("logits", "presence", "quality")
    )


def test_an_answer_alone_is_the_engines_byte_for_byte(run: Run, engine: MaskDecoderEngine) -> None:
    clicks = Clicks(points=np.array([[5, 9]], np.float32), labels=np.array([1], np.int64))
    boxes = np.array([[1, 2, 50, 60]] * 2, np.float32)
    previous = np.random.default_rng(3).normal(size=(2, SIDE, SIDE)).astype(np.float32)

    async def talk(stub: Any, servicer: MaskDecoderServicer) -> None:
        plain = await stub.Decode(_request(_fused(1), _segs(1, 3)))
        assert _equal(plain, engine.decode(_fused(1), _segs(1, 3)))
        assert plain.origin.fingerprint == engine.describe().fingerprint
        assert plain.origin.seg_space == "seg-a"
        corrected = await stub.Decode(
            _request(
                _fused(1),
                _segs(1, 2),
                clicks=clicks_to_proto(clicks),
                boxes=tensor_to_proto(Tensor.from_numpy(boxes)),
                previous_logits=tensor_to_proto(Tensor.from_numpy(previous)),
            )
        )
        expected = engine.decode(_fused(1), _segs(1, 2), clicks=clicks, boxes=boxes, previous_logits=previous)
        assert _equal(corrected, expected)

    run(talk)


def test_features_are_asked_for_once_and_then_known_by_their_digest(
    run: Run, engine: MaskDecoderEngine
) -> None:
    digest = _fused(1).digest

    async def talk(stub: Any, servicer: MaskDecoderServicer) -> None:
        asked = await stub.Decode(_request(digest, _segs(1)))
        assert asked.WhichOneof("result") == "need_features"
        assert asked.need_features.digest == digest
        assert asked.origin.fingerprint == engine.describe().fingerprint
        sent = await stub.Decode(_request(_fused(1), _segs(1)))
        known = await stub.Decode(_request(digest, _segs(1)))
        assert sent.masks == known.masks

    run(talk)


def test_a_bound_of_nothing_always_asks_for_the_features(run: Run) -> None:
    async def talk(stub: Any, servicer: MaskDecoderServicer) -> None:
        await stub.Decode(_request(_fused(1), _segs(1)))
        asked = await stub.Decode(_request(_fused(1).digest, _segs(1)))
        assert asked.WhichOneof("result") == "need_features"

    run(talk, cache_bytes=0)


def test_features_that_do_not_fit_push_nothing_out(run: Run) -> None:
    wrong = Tensor(dtype="bfloat16", shape=(WIDTH, GRID, GRID, 1), data=_fused(2).data)

    async def talk(stub: Any, servicer: MaskDecoderServicer) -> None:
        await stub.Decode(_request(_fused(1), _segs(1)))
        with pytest.raises(grpc.aio.AioRpcError, match="fused map"):
            await stub.Decode(_request(wrong, _segs(1)))
        assert len(servicer.features) == 1
        assert servicer.features.get(_fused(1).digest) is not None

    run(talk, cache_bytes=len(_fused(1).data))


class Held:
    """The engine's `decode_many`, which waits until it is let go, and notes its batches."""

    def __init__(self, engine: MaskDecoderEngine) -> None:
        self._decode_many = engine.decode_many
        self.sizes: list[int] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, requests: Sequence[DecodeRequest]) -> list[DecodedMasks]:
        self.sizes.append(len(requests))
        self.begun.set()
        assert self.go_on.wait(20)
        return self._decode_many(requests)


@pytest.fixture
def held(engine: MaskDecoderEngine, monkeypatch: pytest.MonkeyPatch) -> Held:
    wrapped = Held(engine)
    monkeypatch.setattr(engine, "decode_many", wrapped)
    return wrapped


async def _behind(
    held: Held, stub: Any, servicer: MaskDecoderServicer, requests: Sequence[pb.DecodeRequest], waiting: int
) -> list[Any]:
    """Send requests while the engine is held by a first one; let it go when `waiting` of them wait."""
    first = asyncio.ensure_future(stub.Decode(_request(_fused(0), _segs(0))))
    await asyncio.to_thread(held.begun.wait, 20)
    calls = [asyncio.ensure_future(stub.Decode(request)) for request in requests]
    while servicer.batcher.waiting < waiting:
        await asyncio.sleep(0.001)
    held.go_on.set()
    await first
    return list(await asyncio.gather(*calls, return_exceptions=True))


def test_calls_that_meet_share_a_batch_and_agree_with_single_ones(
    run: Run, engine: MaskDecoderEngine, held: Held
) -> None:
    requests = [_request(_fused(n), _segs(n, 1 + n % 2)) for n in range(1, 5)]

    async def talk(stub: Any, servicer: MaskDecoderServicer) -> None:
        replies = await _behind(held, stub, servicer, requests, 4)
        assert held.sizes == [1, 4]
        for n, reply in enumerate(replies, start=1):
            expected = held._decode_many(
                [DecodeRequest(fused=_fused(n), seg_embeddings=_segs(n, 1 + n % 2))]
            )[0]
            np.testing.assert_allclose(
                masks_from_proto(reply.masks).logits, expected.logits, rtol=0, atol=1e-4
            )

    run(talk)


def test_batching_switched_off_gives_the_engines_bytes_to_all(
    run: Run, engine: MaskDecoderEngine, held: Held
) -> None:
    requests = [_request(_fused(n), _segs(n)) for n in range(1, 4)]

    async def talk(stub: Any, servicer: MaskDecoderServicer) -> None:
        replies = await _behind(held, stub, servicer, requests, 3)
        assert held.sizes == [1, 1, 1, 1]
        for n, reply in enumerate(replies, start=1):
            expected = held._decode_many([DecodeRequest(fused=_fused(n), seg_embeddings=_segs(n))])[0]
            assert _equal(reply, expected)

    run(talk, batch_size=1)


def test_a_bad_request_never_joins_the_batch(run: Run, held: Held) -> None:
    nan = Tensor.from_numpy(np.full((1, WIDTH), np.nan, np.float32))
    requests = [_request(_fused(1), _segs(1)), _request(_fused(2), nan), _request(_fused(3), _segs(3))]

    async def talk(stub: Any, servicer: MaskDecoderServicer) -> None:
        one, bad, three = await _behind(held, stub, servicer, requests, 2)
        assert held.sizes == [1, 2]
        assert one.WhichOneof("result") == three.WhichOneof("result") == "masks"
        assert isinstance(bad, grpc.aio.AioRpcError)
        assert bad.code() is grpc.StatusCode.INVALID_ARGUMENT

    run(talk)


def test_numbers_too_large_to_compute_with_fail_no_other_request(
    run: Run, engine: MaskDecoderEngine, held: Held
) -> None:
    huge = Tensor.from_numpy(np.full((1, WIDTH), 1e30, np.float32))

    async def talk(stub: Any, servicer: MaskDecoderServicer) -> None:
        requests = [_request(_fused(1), huge), _request(_fused(2), _segs(2))]
        refused, reply = await _behind(held, stub, servicer, requests, 2)
        assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "seg_embeddings" in (refused.details() or "")
        assert is_ours(tuple(refused.trailing_metadata()))
        (expected,) = held._decode_many([DecodeRequest(fused=_fused(2), seg_embeddings=_segs(2))])
        assert _equal(reply, expected)

    run(talk)


def test_a_caller_that_cancels_while_it_waits_is_not_computed_for(run: Run, held: Held) -> None:
    async def talk(stub: Any, servicer: MaskDecoderServicer) -> None:
        first = asyncio.ensure_future(stub.Decode(_request(_fused(0), _segs(0))))
        await asyncio.to_thread(held.begun.wait, 20)
        leaves, stays = (stub.Decode(_request(_fused(n), _segs(n))) for n in (1, 2))
        while servicer.batcher.waiting < 2:
            await asyncio.sleep(0.001)
        leaves.cancel()
        # The server learns of it a little later.
        entry = servicer.batcher._entries[0]
        other = servicer.batcher._entries[1]
        while not (entry.answer.cancelled() or other.answer.cancelled()):
            await asyncio.sleep(0.001)
        held.go_on.set()
        await first
        assert (await stays).WhichOneof("result") == "masks"
        assert held.sizes == [1, 1]

    run(talk)


def _nan_map() -> Tensor:
    return Tensor(dtype="bfloat16", shape=(WIDTH, GRID, GRID), data=b"\xc0\x7f" * (WIDTH * GRID * GRID))


def _bad() -> dict[str, tuple[pb.DecodeRequest, str]]:
    good = _fused(1)
    floats = Tensor.from_numpy(np.zeros((WIDTH, GRID, GRID), np.float32))
    boxes = tensor_to_proto(Tensor.from_numpy(np.array([[9, 9, 1, 1]], np.float32)))
    short = tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_BFLOAT16, shape=(WIDTH, GRID, GRID), data=b"1")
    return {
        "no features": (pb.DecodeRequest(), "fused_map is not set"),
        "no digest": (_request("", _segs(1)), "64 hexadecimal digits"),
        "a digest in capitals": (_request(good.digest.upper(), _segs(1)), "64 hexadecimal digits"),
        "a path as digest": (_request("../" * 20, _segs(1)), "64 hexadecimal digits"),
        "too few bytes": (
            pb.DecodeRequest(fused_map=features_pb2.Features(tensor=short)),
            "fused_map: tensor holds 1 bytes",
        ),
        "float32 features": (_request(floats, _segs(1)), "fused_map is float32; send bfloat16"),
        "NaN features": (_request(_nan_map(), _segs(1)), "fused_map holds NaN or infinite"),
        "another width": (_request(good, Tensor.from_numpy(np.zeros((1, 7), np.float32))), "seg_embeddings"),
        "no prompt": (_request(good, Tensor.from_numpy(np.zeros((0, WIDTH), np.float32))), "seg_embeddings"),
        "no embeddings": (
            pb.DecodeRequest(fused_map=features_pb2.Features(tensor=tensor_to_proto(good))),
            "seg_embeddings: dtype 0",
        ),
        "boxes inside out": (_request(good, _segs(1), boxes=boxes), "x1 <= x2"),
        "integer boxes": (
            _request(good, _segs(1), boxes=tensor_to_proto(Tensor.from_numpy(np.zeros((1, 4), np.int64)))),
            "boxes is int64; send float32",
        ),
        "a click that is no row": (
            _request(
                good,
                _segs(1),
                clicks=pb.Clicks(
                    points=tensor_to_proto(Tensor.from_numpy(np.zeros((), np.float32))),
                    labels=tensor_to_proto(Tensor.from_numpy(np.zeros((), np.int64))),
                ),
            ),
            "clicks.points: float32 of shape ()",
        ),
        "clicks without labels": (
            _request(
                good,
                _segs(1),
                clicks=pb.Clicks(points=tensor_to_proto(Tensor.from_numpy(np.zeros((1, 2), np.float32)))),
            ),
            "clicks.labels: dtype 0",
        ),
        "logits of another size": (
            _request(
                good,
                _segs(1),
                previous_logits=tensor_to_proto(Tensor.from_numpy(np.zeros((1, 4, 4), np.float32))),
            ),
            "previous_logits",
        ),
    }


def test_bad_requests_are_refused_and_the_next_request_is_right(run: Run, engine: MaskDecoderEngine) -> None:
    expected = engine.decode(_fused(1), _segs(1))

    async def talk(stub: Any, servicer: MaskDecoderServicer) -> None:
        for name, (request, words) in _bad().items():
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Decode(request)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, name
            assert words in (refused.value.details() or ""), (name, refused.value.details())
            assert "Traceback" not in (refused.value.details() or "")
            assert is_ours(tuple(refused.value.trailing_metadata()))
            assert _equal(await stub.Decode(_request(_fused(1), _segs(1))), expected)
        await servicer.check_health()

    run(talk)


def test_describe_tells_identity_and_limits(run: Run, engine: MaskDecoderEngine) -> None:
    async def talk(stub: Any, servicer: MaskDecoderServicer) -> None:
        reply = await stub.Describe(describe_pb2.DescribeRequest())
        assert description_from_proto(reply.description) == engine.describe()
        assert (reply.limits.requests, reply.limits.cache_bytes) == (7, 12345)
        shapes = {tensor.name: tuple(tensor.shape) for tensor in reply.description.tensors}
        assert shapes["fused_map"] == (WIDTH, GRID, GRID)
        assert shapes["seg_embeddings"] == (0, WIDTH)

    run(talk, max_requests=7, cache_bytes=12345)


def test_the_probe_is_a_real_pass(engine: MaskDecoderEngine, tiny_checkpoint: Checkpoint) -> None:
    servicer = MaskDecoderServicer(engine, ServingSettings(checkpoint=tiny_checkpoint.path))
    logits: NDArray[np.float32] = servicer.probe().logits
    servicer.close()
    assert logits.shape == (1, SIDE, SIDE)
