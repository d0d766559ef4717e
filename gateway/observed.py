"""A pipeline that is counted, timed and traced: what the server runs, over engines or over services.

Apart from `Pipeline` so that the command line needs no packages for it.
"""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from gateway.detection import Click, Detection, Event, Meaning
from gateway.features import FeatureCache
from gateway.pipeline import Pipeline
from reasoncd.observability import metrics
from reasoncd.observability.caches import watch_cache
from reasoncd.observability.stages import observed_events, observed_stage
from reasoncd.ports import (
    Clicks,
    DecodedMasks,
    Description,
    MaskDecoder,
    Mode,
    Reasoner,
    ReasonEvent,
    VisionEncoder,
)
from reasoncd.tensors import Tensor


class ObservedPipeline(Pipeline):
    """Arguments, methods and errors as `Pipeline`, but that the cache has to be given.

    Args:
        vision: what the images say.
        reasoner: what the question means.
        decoder: where it changed.
        cache: of features; its metrics are those of the gateway.
        pool: threads that encode tiles ahead, or None.
    """

    def __init__(
        self,
        vision: VisionEncoder,
        reasoner: Reasoner,
        decoder: MaskDecoder,
        *,
        cache: FeatureCache,
        pool: Executor | None = None,
    ) -> None:
        super().__init__(_Vision(vision), _Reasoner(reasoner), _Decoder(decoder), cache=cache, pool=pool)
        watch_cache("gateway", "features", cache)

    def detect(
        self,
        images: NDArray[np.uint8],
        queries: Sequence[str],
        *,
        mode: Mode = Mode.SHORT,
        threshold: float | None = None,
        meanings: Sequence[Meaning] | None = None,
        clicks: Sequence[Click] | None = None,
        on_event: Callable[[Event], None] | None = None,
        on_detection: Callable[[int, Detection], None] | None = None,
    ) -> list[Detection]:
        """As `Pipeline.detect`."""
        detections = super().detect(
            images,
            queries,
            mode=mode,
            threshold=threshold,
            meanings=meanings,
            clicks=clicks,
            on_event=on_event,
            on_detection=on_detection,
        )
        for found in detections:
            metrics.answers.labels(_outcome(found)).inc()
        return detections


def _outcome(found: Detection) -> metrics.Outcome:
    if not found.seg_emitted:
        return "off_topic"
    return "changed" if found.places.count else "unchanged"


class _Vision:
    def __init__(self, inner: VisionEncoder) -> None:
        self._inner = inner

    def describe(self) -> Description:
        return self._inner.describe()

    def encode_for_reasoning(self, images: NDArray[np.uint8]) -> Tensor:
        with observed_stage("encode-for-reasoning"):
            return self._inner.encode_for_reasoning(images)

    def encode_for_decoding(self, images: NDArray[np.uint8]) -> Tensor:
        with observed_stage("encode-for-decoding"):
            return self._inner.encode_for_decoding(images)


class _Reasoner:
    def __init__(self, inner: Reasoner) -> None:
        self._inner = inner

    def describe(self) -> Description:
        return self._inner.describe()

    def reason(self, clip_tokens: Tensor, query: str, mode: Mode) -> Generator[ReasonEvent, None, None]:
        return observed_events("reason", lambda: self._inner.reason(clip_tokens, query, mode))


class _Decoder:
    def __init__(self, inner: MaskDecoder) -> None:
        self._inner = inner

    def describe(self) -> Description:
        return self._inner.describe()

    def decode(
        self,
        fused: Tensor,
        seg_embeddings: Tensor,
        *,
        clicks: Clicks | None = None,
        boxes: NDArray[np.float32] | None = None,
        previous_logits: NDArray[np.float32] | None = None,
    ) -> DecodedMasks:
        with observed_stage("decode"):
            return self._inner.decode(
                fused, seg_embeddings, clicks=clicks, boxes=boxes, previous_logits=previous_logits
            )
