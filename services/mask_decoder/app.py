"""The mask decoder under Ray Serve: application `mask-decoder`."""

from typing import TYPE_CHECKING, Any

from ray import serve

from reasoncd.checkpoint import Checkpoint
from reasoncd.v1 import mask_decoder_pb2 as pb
from services.serving.replica import Replica
from services.serving.settings import ServingSettings

if TYPE_CHECKING:
    from services.mask_decoder.servicer import MaskDecoderServicer


class MaskDecoderReplica(Replica["MaskDecoderServicer"]):
    """One mask for each prompt."""

    service = "mask-decoder"

    def load(self, checkpoint: Checkpoint, settings: ServingSettings) -> "MaskDecoderServicer":
        """The decoder computes in float32, whatever the settings' dtype."""
        from services.mask_decoder.engine import MaskDecoderEngine
        from services.mask_decoder.servicer import MaskDecoderServicer

        engine = MaskDecoderEngine.from_checkpoint(checkpoint, device=settings.device)
        return MaskDecoderServicer(engine, settings)

    async def Decode(self, request: pb.DecodeRequest, grpc_context: Any) -> pb.DecodeResponse:  # noqa: N802
        """As the rpc."""
        return await self.servicer.Decode(request, grpc_context)


MaskDecoder: serve.Deployment = serve.deployment(name="MaskDecoder")(MaskDecoderReplica)
app = MaskDecoder.bind()
