"""The encoder's two applications on real servers: the engine's bytes, one half each, and clean refusals."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from reasoncd.checkpoint import Checkpoint
from reasoncd.rpc.guard import TIMEOUT_KEY
from reasoncd.rpc.messages import description_from_proto
from reasoncd.rpc.status import is_ours
from reasoncd.rpc.tensors import tensor_from_proto, tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import describe_pb2, tensor_pb2
from reasoncd.v1 import vision_encoder_pb2 as pb
from reasoncd.v1.vision_encoder_pb2_grpc import VisionEncoderStub, add_VisionEncoderServicer_to_server
from services.serving.settings import ServingSettings
from services.vision_encoder.engine import Part, VisionEncoderEngine
from services.vision_encoder.servicer import VisionEncoderServicer

pytestmark = pytest.mark.unit

Serving = Callable[[Callable[..., None], Any], AbstractAsyncContextManager[grpc.aio.Channel]]
Talk = Callable[[Any], Coroutine[Any, Any, None]]
Run = Callable[[Part, Talk], VisionEncoderServicer]


@pytest.fixture(scope="module")
def engines(tiny_checkpoint: Checkpoint) -> dict[Part, VisionEncoderEngine]:
    parts: tuple[Part, ...] = ("clip", "change_features")
    return {part: VisionEncoderEngine.from_checkpoint(tiny_checkpoint, parts=[part]) for part in parts}


@pytest.fixture
def run(engines: dict[Part, VisionEncoderEngine], tiny_checkpoint: Checkpoint, serving: Serving) -> Run:
    """Talk to the application of a half."""

    def with_stub(part: Part, talk: Talk) -> VisionEncoderServicer:
        servicer = VisionEncoderServicer(
            engines[part], part, ServingSettings(checkpoint=tiny_checkpoint.path, max_requests=5)
        )

        async def main() -> None:
            async with serving(add_VisionEncoderServicer_to_server, servicer) as channel:
                await talk(VisionEncoderStub(channel))

        asyncio.run(main())
        return servicer

    return with_stub


def _tensor(images: NDArray[np.generic]) -> tensor_pb2.Tensor:
    return tensor_to_proto(Tensor.from_numpy(images))


def test_clip_answers_with_the_engines_bytes(
    run: Run, engines: dict[Part, VisionEncoderEngine], image_pair: NDArray[np.uint8]
) -> None:
    async def talk(stub: Any) -> None:
        reply = await stub.EncodeForReasoning(pb.EncodeForReasoningRequest(images=_tensor(image_pair)))
        expected = engines["clip"].encode_for_reasoning(image_pair)
        assert tensor_from_proto(reply.clip_tokens, name="clip_tokens") == expected
        assert reply.origin.fingerprint == engines["clip"].describe().fingerprint

    run("clip", talk)


def test_sam_fpn_fusion_answers_with_the_engines_bytes(
    run: Run, engines: dict[Part, VisionEncoderEngine], image_pair: NDArray[np.uint8]
) -> None:
    async def talk(stub: Any) -> None:
        reply = await stub.EncodeForDecoding(pb.EncodeForDecodingRequest(images=_tensor(image_pair)))
        expected = engines["change_features"].encode_for_decoding(image_pair)
        assert tensor_from_proto(reply.fused_map, name="fused_map") == expected
        assert reply.origin.fingerprint == engines["clip"].describe().fingerprint

    run("change_features", talk)


def test_each_application_refuses_the_others_call(run: Run, image_pair: NDArray[np.uint8]) -> None:
    async def ask_clip(stub: Any) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match="ask application sam-fpn-fusion") as refused:
            await stub.EncodeForDecoding(pb.EncodeForDecodingRequest(images=_tensor(image_pair)))
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert is_ours(tuple(refused.value.trailing_metadata()))

    async def ask_sam(stub: Any) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match="ask application clip") as refused:
            await stub.EncodeForReasoning(pb.EncodeForReasoningRequest(images=_tensor(image_pair)))
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED

    run("clip", ask_clip)
    run("change_features", ask_sam)


def test_describe_tells_identity_and_limits(run: Run, engines: dict[Part, VisionEncoderEngine]) -> None:
    async def talk(stub: Any) -> None:
        reply = await stub.Describe(describe_pb2.DescribeRequest())
        assert description_from_proto(reply.description) == engines["clip"].describe()
        assert reply.limits.requests == 5
        assert reply.limits.message_bytes == 128 * 2**20
        # It keeps nothing.
        assert reply.limits.cache_bytes == 0

    run("clip", talk)


BAD_IMAGES = {
    "nothing": (tensor_pb2.Tensor(), "images: dtype 0"),
    "floats": (_tensor(np.zeros((2, 128, 128, 3), np.float32)), "images is float32; send uint8"),
    "one date": (_tensor(np.zeros((1, 128, 128, 3), np.uint8)), "the earlier image first"),
    "no pixels": (_tensor(np.zeros((2, 0, 128, 3), np.uint8)), "the earlier image first"),
    "another side": (_tensor(np.zeros((2, 64, 64, 3), np.uint8)), "images are 64 x 64 pixels"),
    "missing bytes": (
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_UINT8, shape=(2, 128, 128, 3), data=b"12"),
        "images: tensor holds 2 bytes",
    ),
    "a negative side": (
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_UINT8, shape=(2, -128, -128, 3), data=b""),
        "negative dimension",
    ),
    "more than memory": (
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_UINT8, shape=(2**40, 2**40, 2**40, 3), data=b""),
        "larger than any memory",
    ),
}


def test_bad_images_are_refused_and_the_next_request_is_right(
    run: Run, engines: dict[Part, VisionEncoderEngine], image_pair: NDArray[np.uint8]
) -> None:
    expected = engines["change_features"].encode_for_decoding(image_pair)

    async def talk(stub: Any) -> None:
        for name, (images, words) in BAD_IMAGES.items():
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.EncodeForDecoding(pb.EncodeForDecodingRequest(images=images))
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, name
            assert words in (refused.value.details() or ""), name
            assert "Traceback" not in (refused.value.details() or "")
            assert is_ours(tuple(refused.value.trailing_metadata()))
            reply = await stub.EncodeForDecoding(pb.EncodeForDecodingRequest(images=_tensor(image_pair)))
            assert tensor_from_proto(reply.fused_map, name="fused_map") == expected

    servicer = run("change_features", talk)
    servicer.health.check()


def test_a_call_whose_deadline_has_passed_is_not_computed(run: Run, image_pair: NDArray[np.uint8]) -> None:
    async def talk(stub: Any) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match="deadline passed") as refused:
            await stub.EncodeForReasoning(
                pb.EncodeForReasoningRequest(images=_tensor(image_pair)), metadata=((TIMEOUT_KEY, "0"),)
            )
        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    run("clip", talk)


def test_a_fault_of_the_engine_shows_nothing_and_makes_the_next_check_try_it(
    run: Run,
    engines: dict[Part, VisionEncoderEngine],
    image_pair: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(images: NDArray[np.uint8]) -> Tensor:
        raise RuntimeError("secret address 0xdeadbeef")

    monkeypatch.setattr(engines["clip"], "encode_for_reasoning", broken)

    async def talk(stub: Any) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.EncodeForReasoning(pb.EncodeForReasoningRequest(images=_tensor(image_pair)))
        assert refused.value.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in (refused.value.details() or "")

    servicer = run("clip", talk)
    with pytest.raises(RuntimeError, match="secret"):
        servicer.health.check()
    monkeypatch.undo()
    servicer.health.check()
