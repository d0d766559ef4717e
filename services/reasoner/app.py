"""The reasoner under Ray Serve: application `reasoner`."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from ray import serve

from reasoncd.checkpoint import Checkpoint
from reasoncd.v1 import reasoner_pb2 as pb
from services.serving.replica import Replica
from services.serving.settings import ServingSettings
from services.serving.stream import with_status

if TYPE_CHECKING:
    from services.reasoner.servicer import ReasonerServicer


class ReasonerReplica(Replica["ReasonerServicer"]):
    """Answers in words and one prompt embedding."""

    service = "reasoner"

    def load(self, checkpoint: Checkpoint, settings: ServingSettings) -> "ReasonerServicer":
        """Load the reasoner; its base model must be in the cache."""
        import torch

        from services.reasoner.engine import ReasonerEngine
        from services.reasoner.servicer import ReasonerServicer

        dtype = {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16}[settings.dtype]
        engine = ReasonerEngine.from_checkpoint(checkpoint, device=settings.device, dtype=dtype)
        return ReasonerServicer(engine, settings)

    async def Reason(  # noqa: N802 - the rpc's name
        self, request: pb.ReasonRequest, grpc_context: Any
    ) -> AsyncIterator[pb.ReasonResponse]:
        """As the rpc."""
        responses = self.servicer.Reason(request, grpc_context)
        async for response in with_status(responses, grpc_context, pb.ReasonResponse):
            yield response


Reasoner: serve.Deployment = serve.deployment(name="Reasoner")(ReasonerReplica)
app = Reasoner.bind()
