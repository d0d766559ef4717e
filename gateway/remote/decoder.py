"""The mask decoder behind a wire."""

import numpy as np
from numpy.typing import NDArray

from gateway.remote.calls import Service
from gateway.remote.pins import Pins
from gateway.remote.replies import reading
from gateway.remote.sent import SentFeatures
from reasoncd.ports import Clicks, DecodedMasks, Description
from reasoncd.rpc.messages import clicks_to_proto, masks_from_proto
from reasoncd.rpc.tensors import tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import features_pb2, mask_decoder_pb2, mask_decoder_pb2_grpc, tensor_pb2


class RemoteMaskDecoder:
    """Implements `reasoncd.ports.MaskDecoder` for one run of a request.

    Args:
        service: the application.
        sent: the features that it was sent.
        pins: of the run.
    """

    def __init__(self, service: Service, sent: SentFeatures, pins: Pins) -> None:
        self._service, self._sent, self._pins = service, sent, pins
        self._stub = mask_decoder_pb2_grpc.MaskDecoderStub(service.channel)

    def describe(self) -> Description:
        """The decoder that the run holds on to."""
        return self._pins.editions.decoder

    def decode(
        self,
        fused: Tensor,
        seg_embeddings: Tensor,
        *,
        clicks: Clicks | None = None,
        boxes: NDArray[np.float32] | None = None,
        previous_logits: NDArray[np.float32] | None = None,
    ) -> DecodedMasks:
        """bfloat16 (*fused_shape) and float32 (Q, D) -> one mask a query, as the port says.

        Raises:
            ReplacedError: the decoder was replaced.
            ReasonCDError: it failed, or its reply cannot be used.
        """

        def ask(features: features_pb2.Features) -> mask_decoder_pb2.DecodeResponse | None:
            request = mask_decoder_pb2.DecodeRequest(
                fused_map=features,
                seg_embeddings=tensor_to_proto(seg_embeddings),
                clicks=None if clicks is None else clicks_to_proto(clicks),
                boxes=_message(boxes),
                previous_logits=_message(previous_logits),
            )
            response: mask_decoder_pb2.DecodeResponse = self._service.unary(self._stub.Decode, request)
            return None if response.WhichOneof("result") == "need_features" else response

        response = self._pins.reply(
            "decoder", lambda: self._sent.offer(fused, ask), lambda reply: reply.origin
        )
        with reading("mask_decoder"):
            return masks_from_proto(response.masks)


def _message(array: NDArray[np.float32] | None) -> tensor_pb2.Tensor | None:
    return None if array is None else tensor_to_proto(Tensor.from_numpy(array))
