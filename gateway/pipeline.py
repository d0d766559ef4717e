"""From a pair of images and questions to answers and maps, over the three ports alone.

One pair: the reasoner reads both images whole, the decoder reads them in tiles; the `<SEG>` embedding of
a question serves every tile, and every further call that brings it along. Features are made once per pair
and shared by all questions. Whether the services run in this process or behind a wire is not known here. A
call whose scope is cancelled or late starts nothing new.
"""

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from gateway.checks import (
    check_clicks,
    check_fit,
    check_images,
    check_meanings,
    check_queries,
    check_threshold,
)
from gateway.concluding import Rules, conclude
from gateway.decoding import decode_tiles
from gateway.detection import Click, Detection, Event, Meaning
from gateway.features import CACHE_BYTES, FeatureCache
from gateway.pair_features import PairFeatures
from gateway.tiling import Tiling
from reasoncd.errors import InvalidInputError, ReasonCDError
from reasoncd.ports import Description, MaskDecoder, Mode, ReasonDone, Reasoner, VisionEncoder
from reasoncd.rpc.scope import CallScope, current_scope
from reasoncd.tensors import Tensor

__all__ = ["Click", "Detection", "Event", "Meaning", "Pipeline"]


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
    def side(self) -> int:
        """Of the tiles that are decoded, in pixels."""
        return self._side

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
        meanings: Sequence[Meaning] | None = None,
        clicks: Sequence[Click] | None = None,
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
            meanings: of the questions, one each, as earlier detections gave them: nothing is reasoned then.
            clicks: corrections of the one question's map, 32 at most, in pixels of the pair and in the order
                in which they were made. Tiles without a click stay as they are.
            on_event: told about progress and about text as it is written.
            on_detection: given each question's position and detection as soon as it is there, in order.

        Returns:
            One detection a question, in order.

        Raises:
            InvalidInputError: images, questions, threshold, meanings or clicks are unusable.
            CancelledError, DeadlineError: of the current scope, before the next piece of work.
        """
        queries = check_queries(queries)
        check_threshold(threshold)
        check_images(images, len(queries))
        if meanings is not None:
            check_meanings(meanings, len(queries), self._reasoner.describe())
        check_clicks(clicks or (), len(queries), height=images.shape[1], width=images.shape[2])
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
            encoded = started
            reason_s = [0.0] * len(queries)
            if meanings is None:
                tell(Event(stage="encode", done=0, total=1))
                tokens = features.overview()
                tell(Event(stage="encode", done=1, total=1))
                encoded = clock()
                meanings, reason_s = self._understand(tokens, queries, mode, scope, tell)
            if clicks and meanings[0].seg_embedding is None:
                raise InvalidInputError(
                    "clicks correct a map, but the question has none; ask about land cover"
                )

            began = clock()
            decoding = decode_tiles(
                self._decoder,
                features,
                tiling,
                meanings,
                clicks=clicks or (),
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
        for query, meaning, seconds in zip(queries, meanings, reason_s, strict=True):
            scope.check()
            column = next(columns) if meaning.seg_embedding is not None else None
            timings = {**shared, "reason": seconds}
            found = conclude(query, meaning, decoding, column, rules=rules, timings_s=timings)
            if on_detection is not None:
                on_detection(len(detections), found)
            detections.append(found)
        return detections

    def _understand(
        self,
        tokens: Tensor,
        queries: Sequence[str],
        mode: Mode,
        scope: CallScope,
        tell: Callable[[Event], None],
    ) -> tuple[list[Meaning], list[float]]:
        """What each question means, and the seconds that it took."""
        meanings: list[Meaning] = []
        seconds: list[float] = []
        for number, query in enumerate(queries):
            began = time.perf_counter()
            meanings.append(
                self._meaning(self._reason(tokens, query, mode, number, len(queries), scope, tell))
            )
            seconds.append(time.perf_counter() - began)
        return meanings, seconds

    def _meaning(self, done: ReasonDone) -> Meaning:
        """What a reasoner's answer means, and who gave it."""
        reasoner, seg = self._reasoner.describe(), done.seg_embedding
        try:
            return Meaning(
                answer=done.answer,
                seg_embedding=None if seg is None else seg.numpy().astype(np.float32, copy=False),
                seg_probability=done.seg_probability,
                fingerprint=reasoner.fingerprint,
                seg_space=reasoner.seg_space or "",
            )
        except InvalidInputError as error:
            # Its fault, not the caller's.
            raise ReasonCDError(f"the reasoner gave what cannot be used: {error.message}") from None

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
