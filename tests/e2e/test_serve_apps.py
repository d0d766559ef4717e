"""The four applications under Ray Serve, started by the real command and called through Serve's proxy."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from reasoncd.checkpoint import Checkpoint
from reasoncd.ports import DecodedMasks, Mode, ReasonDone
from reasoncd.rpc.channel import MESSAGE_OPTIONS
from reasoncd.rpc.guard import TIMEOUT_KEY
from reasoncd.rpc.messages import description_from_proto, event_from_proto, masks_from_proto
from reasoncd.rpc.status import is_ours
from reasoncd.rpc.tensors import tensor_from_proto, tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import describe_pb2, features_pb2, mask_decoder_pb2, reasoner_pb2, vision_encoder_pb2
from reasoncd.v1.mask_decoder_pb2_grpc import MaskDecoderStub
from reasoncd.v1.reasoner_pb2_grpc import ReasonerStub
from reasoncd.v1.vision_encoder_pb2_grpc import VisionEncoderStub
from services.mask_decoder.engine import MaskDecoderEngine
from services.reasoner.engine import ReasonerEngine
from services.serving.applications import APPLICATIONS
from services.vision_encoder.engine import VisionEncoderEngine

pytestmark = pytest.mark.e2e

START_S = 600
"""It takes 20 s on an idle machine; nothing is asserted about it."""
CALL_S = 120


@dataclass
class Launched:
    """A launch that runs, and its services' stubs."""

    port: int
    control: Path
    vision: Any
    reasoner: Any
    decoder: Any


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def launched(paper_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("launch")
    port = _free_port()
    command = [sys.executable, "-m", "services.serving.launch", "--checkpoint", str(paper_tiny)]
    command += ["--grpc-port", str(port), "--threads", "1", "--timeout", str(START_S)]
    command += ["--control", str(folder / "control"), "--ready-file", str(folder / "ready")]
    with (folder / "stderr").open("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, (folder / "stderr").read_text()
            told = json.loads(line)
            assert told["target"] == f"127.0.0.1:{port}"
            assert told["applications"] == list(APPLICATIONS)
            assert json.loads((folder / "ready").read_text()) == told
            with grpc.insecure_channel(told["target"], options=MESSAGE_OPTIONS) as channel:
                yield Launched(
                    port=port,
                    control=folder / "control",
                    vision=VisionEncoderStub(channel),
                    reasoner=ReasonerStub(channel),
                    decoder=MaskDecoderStub(channel),
                )
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(timeout=CALL_S)
            process.stdout.close()
        assert status == 0, (folder / "stderr").read_text()
    assert not (folder / "control").exists()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _to(application: str, *more: tuple[str, str]) -> dict[str, Any]:
    return {"metadata": (("application", application), *more), "timeout": CALL_S}


def _encode(launched: Launched, place: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    images = tensor_to_proto(Tensor.from_numpy(place))
    tokens = launched.vision.EncodeForReasoning(
        vision_encoder_pb2.EncodeForReasoningRequest(images=images), **_to("clip")
    ).clip_tokens
    fused = launched.vision.EncodeForDecoding(
        vision_encoder_pb2.EncodeForDecodingRequest(images=images), **_to("sam-fpn-fusion")
    ).fused_map
    return tensor_from_proto(tokens, name="clip_tokens"), tensor_from_proto(fused, name="fused_map")


def _features(tensor: Tensor | str) -> features_pb2.Features:
    if isinstance(tensor, str):
        return features_pb2.Features(digest=tensor)
    return features_pb2.Features(tensor=tensor_to_proto(tensor))


def test_every_stage_answers_with_the_engines_bytes(
    launched: Launched, paper_tiny: Path, place: NDArray[np.uint8]
) -> None:
    checkpoint = Checkpoint.open(paper_tiny)
    vision = VisionEncoderEngine.from_checkpoint(checkpoint)
    tokens, fused = _encode(launched, place)
    assert tokens == vision.encode_for_reasoning(place)
    assert fused == vision.encode_for_decoding(place)

    reasoner = ReasonerEngine.from_checkpoint(checkpoint)
    asked = reasoner_pb2.ReasonRequest(clip_tokens=_features(tokens), query="Where are new buildings?")
    replies = list(launched.reasoner.Reason(asked, **_to("reasoner")))
    expected = list(reasoner.reason(tokens, "Where are new buildings?", Mode.SHORT))
    assert [event_from_proto(reply) for reply in replies] == expected
    assert {reply.origin.fingerprint for reply in replies} == {reasoner.describe().fingerprint}

    decoder = MaskDecoderEngine.from_checkpoint(checkpoint)
    done = expected[-1]
    assert isinstance(done, ReasonDone)
    width = next(t.shape[1] for t in decoder.describe().tensors if t.name == "seg_embeddings")
    seg = np.zeros(width, np.float32) if done.seg_embedding is None else done.seg_embedding.numpy()
    segs = Tensor.from_numpy(seg[None])
    reply = launched.decoder.Decode(
        mask_decoder_pb2.DecodeRequest(fused_map=_features(fused), seg_embeddings=tensor_to_proto(segs)),
        **_to("mask-decoder"),
    )
    assert _same(masks_from_proto(reply.masks), decoder.decode(fused, segs))


def _same(one: DecodedMasks, other: DecodedMasks) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("logits", "presence", "quality")
    )


def test_unknown_features_are_asked_for(launched: Launched) -> None:
    digest = "0" * 64
    (asked,) = launched.reasoner.Reason(
        reasoner_pb2.ReasonRequest(clip_tokens=_features(digest), query="new buildings"), **_to("reasoner")
    )
    assert asked.need_features.digest == digest
    reply = launched.decoder.Decode(
        mask_decoder_pb2.DecodeRequest(fused_map=_features(digest)), **_to("mask-decoder")
    )
    assert reply.need_features.digest == digest


def _refusal(call: Callable[[], Any]) -> Any:
    def read() -> None:
        reply = call()
        # A stream fails when it is read.
        list(reply if isinstance(reply, Iterable) else ())

    with pytest.raises(grpc.RpcError) as refused:
        read()
    return refused.value


def test_refusals_keep_status_sentence_and_trailer_through_the_proxy(launched: Launched) -> None:
    calls = [
        (
            grpc.StatusCode.UNIMPLEMENTED,
            lambda: launched.vision.EncodeForDecoding(
                vision_encoder_pb2.EncodeForDecodingRequest(), **_to("clip")
            ),
        ),
        (
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: launched.decoder.Decode(mask_decoder_pb2.DecodeRequest(), **_to("mask-decoder")),
        ),
        # A stream that refuses before its first event.
        (
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: launched.reasoner.Reason(reasoner_pb2.ReasonRequest(query="x"), **_to("reasoner")),
        ),
        (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            lambda: launched.decoder.Describe(
                describe_pb2.DescribeRequest(), **_to("mask-decoder", (TIMEOUT_KEY, "0"))
            ),
        ),
    ]
    for status, call in calls:
        error = _refusal(call)
        assert error.code() is status
        assert is_ours(error.trailing_metadata())
        assert error.details()
        assert "Traceback" not in error.details()


def test_an_application_is_replaced_while_it_answers(
    launched: Launched, marking_checkpoint: Path, paper_tiny: Path
) -> None:
    failed: list[grpc.RpcError] = []
    seen: list[float | None] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                reply = launched.decoder.Describe(describe_pb2.DescribeRequest(), **_to("mask-decoder"))
                seen.append(description_from_proto(reply.description).presence_threshold)
            except grpc.RpcError as error:
                failed.append(error)
            time.sleep(0.02)

    caller = threading.Thread(target=ask)
    caller.start()
    try:
        command = [sys.executable, "-m", "services.serving.launch", "--redeploy", "mask-decoder"]
        command += ["--checkpoint", str(marking_checkpoint), "--control", str(launched.control)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_S)
        assert done.returncode == 0, done.stderr
        while seen[-1] != 0.0:
            time.sleep(0.02)
    finally:
        stop.set()
        caller.join()
    assert not failed
    assert seen[0] == Checkpoint.open(paper_tiny).presence_threshold
    # Once and for all: no answer of the old ones after the last.
    assert seen == sorted(seen, key=lambda threshold: threshold == 0.0)


def test_what_cannot_be_deployed_leaves_the_old_one_in_place(launched: Launched, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.serving.launch", "--redeploy", "clip"]
    command += ["--checkpoint", str(tmp_path), "--control", str(launched.control)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_S)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    launched.vision.Describe(describe_pb2.DescribeRequest(), **_to("clip"))
