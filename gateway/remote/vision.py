"""The vision encoder behind a wire: two applications, each answering one of the two calls."""

import numpy as np
from numpy.typing import NDArray

from gateway.remote.calls import Service
from gateway.remote.pins import Pins
from gateway.remote.replies import read_features
from reasoncd.ports import Description
from reasoncd.rpc.tensors import tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import vision_encoder_pb2, vision_encoder_pb2_grpc


class RemoteVisionEncoder:
    """Implements `reasoncd.ports.VisionEncoder` for one run of a request.

    Args:
        clip: answers `encode_for_reasoning`.
        fused: answers `encode_for_decoding`.
        pins: of the run.
    """

    def __init__(self, clip: Service, fused: Service, pins: Pins) -> None:
        self._clip, self._fused, self._pins = clip, fused, pins
        self._clip_stub = vision_encoder_pb2_grpc.VisionEncoderStub(clip.channel)
        self._fused_stub = vision_encoder_pb2_grpc.VisionEncoderStub(fused.channel)

    def describe(self) -> Description:
        """The encoder that the run holds on to."""
        return self._pins.editions.vision

    def encode_for_reasoning(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 (2, H, W, 3) -> bfloat16 (2, N, C).

        Raises:
            ReplacedError: the encoder was replaced.
            ReasonCDError: it failed, or its reply cannot be used.
        """
        request = vision_encoder_pb2.EncodeForReasoningRequest(
            images=tensor_to_proto(Tensor.from_numpy(images))
        )
        response = self._pins.reply(
            "vision",
            lambda: self._clip.unary(self._clip_stub.EncodeForReasoning, request),
            lambda reply: reply.origin,
        )
        return read_features(response.clip_tokens, "clip_tokens", self.describe())

    def encode_for_decoding(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 (2, S, S, 3) -> bfloat16 (*fused_shape).

        Raises:
            ReplacedError, ReasonCDError: as above.
        """
        request = vision_encoder_pb2.EncodeForDecodingRequest(
            images=tensor_to_proto(Tensor.from_numpy(images))
        )
        response = self._pins.reply(
            "vision",
            lambda: self._fused.unary(self._fused_stub.EncodeForDecoding, request),
            lambda reply: reply.origin,
        )
        return read_features(response.fused_map, "fused_map", self.describe())
