"""The vision encoder on the wire: messages to arrays and back, nothing else.

One class serves both applications; each is given one half of the encoder and refuses the other call.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np

from reasoncd.errors import UnimplementedError
from reasoncd.observability.metrics import show_models
from reasoncd.rpc.guard import guarded
from reasoncd.rpc.messages import images_from_proto, origin_of
from reasoncd.rpc.tensors import tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import describe_pb2
from reasoncd.v1 import vision_encoder_pb2 as pb
from services.serving.describing import describe_response
from services.serving.health import Health
from services.serving.settings import ServingSettings
from services.serving.worker import Worker
from services.vision_encoder.engine import Part, VisionEncoderEngine

APPLICATIONS: Mapping[Part, str] = {"clip": "clip", "change_features": "sam-fpn-fusion"}
"""The application that serves each half."""


class VisionEncoderServicer:
    """Answers `VisionEncoder` with one half of the encoder.

    Args:
        engine: loaded with `part`.
        part: the half that is served.
        settings: of the replica.
    """

    def __init__(self, engine: VisionEncoderEngine, part: Part, settings: ServingSettings) -> None:
        self._engine = engine
        self._part = part
        self.service = APPLICATIONS[part]
        self._origin = origin_of(engine.describe())
        self.health = Health(self.probe)
        show_models(self.service, [engine.describe()])
        self._worker = Worker(self.service, self.health)
        self._describe = describe_response(engine.describe(), settings, keeps_features=False)

    def probe(self) -> Tensor:
        """Encode a black pair."""
        if self._part == "clip":
            return self._engine.encode_for_reasoning(np.zeros((2, 16, 16, 3), np.uint8))
        side = self._engine.describe().image_size
        assert side is not None
        return self._engine.encode_for_decoding(np.zeros((2, side, side, 3), np.uint8))

    @guarded(describe_pb2.DescribeResponse)
    async def Describe(  # noqa: N802 - the rpc's name
        self, request: describe_pb2.DescribeRequest, context: Any
    ) -> describe_pb2.DescribeResponse:
        """Who the service is."""
        return self._describe

    @guarded(pb.EncodeForReasoningResponse)
    async def EncodeForReasoning(  # noqa: N802
        self, request: pb.EncodeForReasoningRequest, context: Any
    ) -> pb.EncodeForReasoningResponse:
        """Patch tokens of two whole images."""
        self._serves("clip")
        tokens = await self._worker.run(
            lambda: tensor_to_proto(self._engine.encode_for_reasoning(images_from_proto(request.images)))
        )
        return pb.EncodeForReasoningResponse(clip_tokens=tokens, origin=self._origin)

    @guarded(pb.EncodeForDecodingResponse)
    async def EncodeForDecoding(  # noqa: N802
        self, request: pb.EncodeForDecodingRequest, context: Any
    ) -> pb.EncodeForDecodingResponse:
        """The fused map of one pair."""
        self._serves("change_features")
        fused = await self._worker.run(
            lambda: tensor_to_proto(self._engine.encode_for_decoding(images_from_proto(request.images)))
        )
        return pb.EncodeForDecodingResponse(fused_map=fused, origin=self._origin)

    async def check_health(self) -> None:
        """Raises where the engine is broken; see `Health`."""
        await asyncio.to_thread(self.health.check)

    def close(self) -> None:
        """Finish what is in work and take no more."""
        self._worker.close()

    def _serves(self, part: Part) -> None:
        if part != self._part:
            raise UnimplementedError(
                f"application {APPLICATIONS[self._part]} does not answer this call; "
                f"ask application {APPLICATIONS[part]}"
            )
