"""The reasoner on the wire: messages to questions, features by digest, answers as streams of events.

A request is checked before it joins others, so that a bad one never costs them anything.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from math import prod
from typing import Any

from reasoncd.observability import metrics
from reasoncd.observability.caches import watch_cache
from reasoncd.ports import Mode, ReasonDone, ReasonEvent
from reasoncd.rpc.guard import guarded, guarded_stream
from reasoncd.rpc.messages import event_to_proto, mode_from_proto, origin_of
from reasoncd.tensors import Tensor
from reasoncd.v1 import describe_pb2, features_pb2
from reasoncd.v1 import reasoner_pb2 as pb
from services.reasoner.answering import Question
from services.reasoner.decode_loop import DecodeLoop
from services.reasoner.engine import ReasonerEngine
from services.serving.describing import describe_response
from services.serving.feature_store import FeatureStore
from services.serving.features import read_features
from services.serving.health import Health
from services.serving.settings import ServingSettings
from services.serving.worker import Worker


class ReasonerServicer:
    """Answers `Reasoner`.

    Args:
        engine: computes.
        settings: of the replica.
    """

    service = "reasoner"
    """The application; its metrics are under this name."""

    def __init__(self, engine: ReasonerEngine, settings: ServingSettings) -> None:
        self._engine = engine
        self._origin = origin_of(engine.describe())
        self._describe = describe_response(engine.describe(), settings, keeps_features=True)
        self.features = FeatureStore(settings.cache_bytes)
        self.health = Health(self.probe)
        watch_cache(self.service, "features", self.features)
        watch_cache(self.service, "prefixes", engine.prefixes)
        metrics.show_models(self.service, [engine.describe()])
        self._worker = Worker(self.service, self.health)
        self.loop = DecodeLoop(
            engine,
            self._worker,
            max_batch=settings.batch_size,
            wait_s=settings.batch_wait_s,
            on_fault=self.health.note_fault,
        )

    def probe(self) -> list[ReasonEvent]:
        """Answer a short question about an empty pair."""
        shape = next(t.shape for t in self._engine.describe().tensors if t.name == "clip_tokens")
        empty = Tensor(dtype="bfloat16", shape=shape, data=bytes(2 * prod(shape)))
        return list(self._engine.reason(empty, "new buildings", Mode.SHORT))

    @guarded(describe_pb2.DescribeResponse)
    async def Describe(  # noqa: N802 - the rpc's name
        self, request: describe_pb2.DescribeRequest, context: Any
    ) -> describe_pb2.DescribeResponse:
        """Who the service is."""
        return self._describe

    @guarded_stream
    async def Reason(  # noqa: N802
        self, request: pb.ReasonRequest, context: Any
    ) -> AsyncGenerator[pb.ReasonResponse, None]:
        """Text as it is written unless nobody reads it, then done; or a request for the features, alone."""
        # Hashing the features and splitting the text into tokens would hold up the event loop.
        question = await asyncio.to_thread(self._read, request)
        if isinstance(question, str):
            need = features_pb2.NeedFeatures(digest=question)
            yield pb.ReasonResponse(need_features=need, origin=self._origin)
            return
        async with aclosing(self.loop.answer(question)) as events:
            async for event in events:
                if isinstance(event, ReasonDone):
                    written = metrics.generated_tokens.labels(self.service, question.prompt.mode.value)
                    written.inc(event.token_count)
                elif request.whole:
                    # Each message through Serve's proxy costs the answer more than it tells.
                    continue
                yield event_to_proto(event, self._origin)

    async def check_health(self) -> None:
        """Raises where the engine is broken; see `Health`."""
        await asyncio.to_thread(self.health.check)

    def close(self) -> None:
        """Take no more, and end what is in work."""
        self.loop.close()
        self._worker.close()

    def _read(self, request: pb.ReasonRequest) -> Question | str:
        """The checked question; the digest where neither its features nor their prefix are held."""
        sent = read_features(request.clip_tokens, name="clip_tokens")
        mode = mode_from_proto(request.mode)
        if isinstance(sent, Tensor):
            question = self._engine.question(sent, request.query, mode)
            # Only now: what does not fit must not push out what does.
            self.features.keep(sent)
            return question
        held = self.features.get(sent)
        if held is not None:
            return self._engine.question(held, request.query, mode)
        return self._engine.question_cached(sent, request.query, mode) or sent
