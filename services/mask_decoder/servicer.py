"""The mask decoder on the wire: messages to arrays and back, features by digest, calls in batches.

A request is checked alone before it shares a batch, so that a bad one never fails others.
"""

import asyncio
from math import prod
from typing import Any

import numpy as np

from reasoncd.observability.caches import watch_cache
from reasoncd.observability.metrics import show_models
from reasoncd.ports import DecodedMasks
from reasoncd.rpc.guard import guarded
from reasoncd.rpc.messages import clicks_from_proto, float32_from_proto, masks_to_proto, origin_of
from reasoncd.rpc.tensors import tensor_from_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import describe_pb2, features_pb2
from reasoncd.v1 import mask_decoder_pb2 as pb
from services.mask_decoder.engine import MaskDecoderEngine
from services.mask_decoder.requests import DecodeRequest
from services.serving.describing import describe_response
from services.serving.feature_store import FeatureStore
from services.serving.features import read_features
from services.serving.health import Health
from services.serving.micro_batcher import MicroBatcher
from services.serving.settings import ServingSettings
from services.serving.worker import Worker


class MaskDecoderServicer:
    """Answers `MaskDecoder`.

    Args:
        engine: computes.
        settings: of the replica.
    """

    service = "mask-decoder"
    """The application; its metrics are under this name."""

    def __init__(self, engine: MaskDecoderEngine, settings: ServingSettings) -> None:
        self._engine = engine
        self._origin = origin_of(engine.describe())
        self._describe = describe_response(engine.describe(), settings, keeps_features=True)
        self.features = FeatureStore(settings.cache_bytes)
        self.health = Health(self.probe)
        watch_cache(self.service, "features", self.features)
        show_models(self.service, [engine.describe()])
        self._worker = Worker(self.service, self.health)
        self.batcher: MicroBatcher[DecodeRequest, DecodedMasks] = MicroBatcher(
            engine.decode_many,
            self._worker,
            max_batch=settings.batch_size,
            wait_s=settings.batch_wait_s,
        )

    def probe(self) -> DecodedMasks:
        """Decode one prompt of zeros on a map of zeros."""
        shapes = {tensor.name: tensor.shape for tensor in self._engine.describe().tensors}
        fused, width = shapes["fused_map"], shapes["seg_embeddings"][1]
        empty = Tensor(dtype="bfloat16", shape=fused, data=bytes(2 * prod(fused)))
        return self._engine.decode(empty, Tensor.from_numpy(np.zeros((1, width), np.float32)))

    @guarded(describe_pb2.DescribeResponse)
    async def Describe(  # noqa: N802 - the rpc's name
        self, request: describe_pb2.DescribeRequest, context: Any
    ) -> describe_pb2.DescribeResponse:
        """Who the service is."""
        return self._describe

    @guarded(pb.DecodeResponse)
    async def Decode(self, request: pb.DecodeRequest, context: Any) -> pb.DecodeResponse:  # noqa: N802
        """One mask for each prompt, or a request for the features."""
        # Hashing and checking some MiB would hold up the event loop.
        asked = await asyncio.to_thread(self._read, request)
        if isinstance(asked, str):
            need = features_pb2.NeedFeatures(digest=asked)
            return pb.DecodeResponse(need_features=need, origin=self._origin)
        masks = await self.batcher.run(asked)
        return pb.DecodeResponse(masks=masks_to_proto(masks), origin=self._origin)

    async def check_health(self) -> None:
        """Raises where the engine is broken; see `Health`."""
        await asyncio.to_thread(self.health.check)

    def close(self) -> None:
        """Finish what is in work and take no more."""
        self._worker.close()

    def _read(self, request: pb.DecodeRequest) -> DecodeRequest | str:
        """The checked request; the digest where its features are not held."""
        features = read_features(request.fused_map, name="fused_map")
        sent = isinstance(features, Tensor)
        fused = features if isinstance(features, Tensor) else self.features.get(features)
        if fused is None:
            assert isinstance(features, str)
            return features
        asked = DecodeRequest(
            fused=fused,
            seg_embeddings=tensor_from_proto(request.seg_embeddings, name="seg_embeddings"),
            clicks=clicks_from_proto(request.clicks) if request.HasField("clicks") else None,
            boxes=float32_from_proto(request.boxes, name="boxes") if request.HasField("boxes") else None,
            previous_logits=(
                float32_from_proto(request.previous_logits, name="previous_logits")
                if request.HasField("previous_logits")
                else None
            ),
        )
        self._engine.check(asked)
        if sent:
            # Only now: what does not fit must not push out what does.
            self.features.keep(fused)
        return asked
