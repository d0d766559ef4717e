"""From a pair of images and questions to answers and maps, over the three ports alone.

One pair: the reasoner reads both images whole, the decoder reads them in tiles; the `<SEG>` embedding of
a question serves every tile. Features are made once per pair and shared by all questions. Whether the
services run in this process or behind a wire is not known here. A call whose scope is cancelled or late
starts nothing new.
"""

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from gateway.checks import check_fit, check_images, check_queries, check_threshold
from gateway.concluding import Rules, conclude
from gateway.decoding import decode_tiles
from gateway.detection import Detection, Event
from gateway.features import CACHE_BYTES, FeatureCache
from gateway.pair_features import PairFeatures
from gateway.tiling import Tiling
from reasoncd.errors import ReasonCDError
from reasoncd.ports import Description, MaskDecoder, Mode, ReasonDone, Reasoner, VisionEncoder
from reasoncd.rpc.scope import CallScope, current_scope
from reasoncd.tensors import Tensor

__all__ = ["Detection", "Event", "Pipeline"]


class Pipeline:
    """Answers questions about a pair of images. Threads may share it.

    Args:
        vision: what the images say.
        reasoner: what the question means.
        decoder: where it changed.
        cache_bytes: bound of the features kept for further questions on a pair.
        cache: a cache to share with other pipelines, in place of an own one.
        pool: threads that encode tiles while the reasoner is at work: for encoders behind a wire; in this
            process they would only fight for the same cores. None for one call after the other.

    Raises:
        CheckpointError: the three do not fit each other.
    """

    def __init__(
        self,
        vision: VisionEncoder,
        reasoner: Reasoner,
        decoder: MaskDecoder,
        *,
        cache_bytes: int = CACHE_BYTES,
        cache: FeatureCache | None = None,
        pool: Executor | None = None,
    ) -> None:
        self._vision, self._reasoner, self._decoder = vision, reasoner, decoder
        decodes = decoder.describe()
        check_fit(vision.describe(), reasoner.describe(), decodes)
        # check_fit refuses a decoder that lacks one of these.
        assert decodes.image_size
        assert decodes.presence_threshold is not None
        assert decodes.probability_threshold is not None
        self._side = decodes.image_size
        self._presence_threshold = decodes.presence_threshold
        self._threshold = decodes.probability_threshold
        self._cache = FeatureCache(cache_bytes) if cache is None else cache
        self._pool = pool

    def describe(self) -> tuple[Description, Description, Description]:
        """Vision encoder, reasoner and mask decoder."""
        return self._vision.describe(), self._reasoner.describe(), self._decoder.describe()

    @property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprint of each component by its name."""
        return {part.component: part.fingerprint for part in self.describe()}

    def detect(
        self,
        images: NDArray[np.uint8],
        queries: Sequence[str],
        *,
        mode: Mode = Mode.SHORT,
        threshold: float | None = None,
        on_event: Callable[[Event], None] | None = None,
        on_detection: Callable[[int, Detection], None] | None = None,
    ) -> list[Detection]:
        """Answer every question about one pair.

        Args:
            images: (2, H, W, 3), RGB 0-255, the earlier one first; sides of 16 to 4096 pixels.
            queries: 1 to 32 questions in plain words.
            mode: whether the answers give a reason.
            threshold: a pixel is changed at or above this probability, in [0.001, 0.999]; what the
                checkpoint says if not given.
            on_event: told about progress and about text as it is written.
            on_detection: given each question's position and detection as soon as it is there, in order.

        Returns:
            One detection a question, in order.

        Raises:
            InvalidInputError: images, questions or threshold are unusable.
            CancelledError, DeadlineError: of the current scope, before the next piece of work.
        """
        queries = check_queries(queries)
        check_threshold(threshold)
        check_images(images, len(queries))
        scope = current_scope()
        scope.check()
        tell = on_event or (lambda event: None)
        clock = time.perf_counter

        started = clock()
        tiling = Tiling(height=images.shape[1], width=images.shape[2], side=self._side)
        with PairFeatures(
            self._vision, images, tiling, cache=self._cache, scope=scope, pool=self._pool
        ) as features:
            features.begin()
            tell(Event(stage="encode", done=0, total=1))
            tokens = features.overview()
            tell(Event(stage="encode", done=1, total=1))
            encoded = clock()

            answers: list[ReasonDone] = []
            reason_s: list[float] = []
            for number, query in enumerate(queries):
                began = clock()
                answers.append(self._reason(tokens, query, mode, number, len(queries), scope, tell))
                reason_s.append(clock() - began)

            began = clock()
            decoding = decode_tiles(
                self._decoder,
                features,
                tiling,
                answers,
                presence_threshold=self._presence_threshold,
                scope=scope,
                tell=tell,
            )
        shared = {"encode": encoded - started, "decode": clock() - began}

        rules = Rules(
            mode=mode,
            threshold=self._threshold if threshold is None else threshold,
            presence_threshold=self._presence_threshold,
            fingerprints=self.fingerprints,
        )
        detections: list[Detection] = []
        columns = iter(range(len(queries)))
        for query, done, seconds in zip(queries, answers, reason_s, strict=True):
            scope.check()
            column = next(columns) if done.seg_embedding else None
            timings = {**shared, "reason": seconds}
            found = conclude(query, done, decoding, column, rules=rules, timings_s=timings)
            if on_detection is not None:
                on_detection(len(detections), found)
            detections.append(found)
        return detections

    def _reason(
        self,
        tokens: Tensor,
        query: str,
        mode: Mode,
        number: int,
        total: int,
        scope: CallScope,
        tell: Callable[[Event], None],
    ) -> ReasonDone:
        scope.check()
        tell(Event(stage="reason", done=number, total=total, query=number))
        events = self._reasoner.reason(tokens, query, mode)
        try:
            for event in events:
                if isinstance(event, ReasonDone):
                    tell(Event(stage="reason", done=number + 1, total=total, query=number))
                    return event
                tell(Event(stage="reason", done=number, total=total, query=number, text=event.text))
                scope.check()
        finally:
            # Whoever still writes an answer that nobody reads is stopped now, not when it is collected.
            if isinstance(events, Generator):
                events.close()
        raise ReasonCDError("the reasoner stopped before the end of its answer; ask again")
