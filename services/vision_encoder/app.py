"""The vision encoder under Ray Serve: applications `clip` and `sam-fpn-fusion`."""

from typing import TYPE_CHECKING, Any

from ray import serve

from reasoncd.checkpoint import Checkpoint
from reasoncd.v1 import vision_encoder_pb2 as pb
from services.serving.replica import Replica
from services.serving.settings import ServingSettings

if TYPE_CHECKING:
    from services.vision_encoder.engine import Part
    from services.vision_encoder.servicer import VisionEncoderServicer


class VisionEncoderReplica(Replica["VisionEncoderServicer"]):
    """One half of the encoder; answers the other's call with UNIMPLEMENTED."""

    part: "Part"

    def load(self, checkpoint: Checkpoint, settings: ServingSettings) -> "VisionEncoderServicer":
        """Load the half alone."""
        from services.vision_encoder.engine import VisionEncoderEngine
        from services.vision_encoder.servicer import VisionEncoderServicer

        engine = VisionEncoderEngine.from_checkpoint(
            checkpoint,
            device=settings.device,
            parts=(self.part,),
            sam_dtype=settings.dtype,
        )
        return VisionEncoderServicer(engine, self.part, settings)

    async def EncodeForReasoning(  # noqa: N802 - the rpc's name
        self, request: pb.EncodeForReasoningRequest, grpc_context: Any
    ) -> pb.EncodeForReasoningResponse:
        """As the rpc."""
        return await self.servicer.EncodeForReasoning(request, grpc_context)

    async def EncodeForDecoding(  # noqa: N802
        self, request: pb.EncodeForDecodingRequest, grpc_context: Any
    ) -> pb.EncodeForDecodingResponse:
        """As the rpc."""
        return await self.servicer.EncodeForDecoding(request, grpc_context)


class ClipReplica(VisionEncoderReplica):
    """Patch tokens for the reasoner."""

    service = "clip"
    part = "clip"


class SamFpnFusionReplica(VisionEncoderReplica):
    """The fused map for the mask decoder."""

    service = "sam-fpn-fusion"
    part = "change_features"


Clip: serve.Deployment = serve.deployment(name="Clip")(ClipReplica)
SamFpnFusion: serve.Deployment = serve.deployment(name="SamFpnFusion")(SamFpnFusionReplica)
clip = Clip.bind()
sam_fpn_fusion = SamFpnFusion.bind()
