"""A mask decoder that computes nothing: what is left of a call is what Ray Serve and gRPC cost.

Answers with masks of `mini`'s size, 256 KiB, whatever is sent.
"""

from typing import Any

import numpy as np
from ray import serve

from reasoncd.ports import DecodedMasks
from reasoncd.rpc.messages import masks_to_proto
from reasoncd.v1 import describe_pb2
from reasoncd.v1 import mask_decoder_pb2 as pb

SIDE = 256


class EchoReplica:
    """Answers at once."""

    def __init__(self) -> None:
        one = np.zeros(1, np.float32)
        logits = np.zeros((1, SIDE, SIDE), np.float32)
        self._masks = masks_to_proto(DecodedMasks(logits=logits, presence=one, quality=one))

    async def Describe(  # noqa: N802 - the rpc's name
        self, request: describe_pb2.DescribeRequest, grpc_context: Any
    ) -> describe_pb2.DescribeResponse:
        """A small message there and back."""
        return describe_pb2.DescribeResponse()

    async def Decode(self, request: pb.DecodeRequest, grpc_context: Any) -> pb.DecodeResponse:  # noqa: N802
        """Features or their digest there, a map back."""
        return pb.DecodeResponse(masks=self._masks)


Echo: serve.Deployment = serve.deployment(name="Echo")(EchoReplica)
app = Echo.bind()
