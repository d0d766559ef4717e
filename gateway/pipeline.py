"""From a pair of images and questions to answers and maps, over the three ports alone.

One pair: the reasoner reads both images whole, the decoder reads them in tiles; the `<SEG>` embedding of
a question serves every tile. Features are made once per pair and shared by all questions. A tile whose
presence is below the decoder's threshold contributes an empty map. Whether the services run in this
process or behind a wire is not known here.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway import wording
from gateway.checks import check_decoded, check_fit, check_images, check_queries, check_threshold
from gateway.detection import Detection, Event
from gateway.features import CACHE_BYTES, FeatureCache, pair_key
from gateway.polygons import find_places
from gateway.tiling import Blend, Tiling, Window
from reasoncd.errors import ReasonCDError
from reasoncd.ports import MaskDecoder, Mode, ReasonDone, Reasoner, VisionEncoder
from reasoncd.tensors import Tensor

__all__ = ["ABSENT_LOGIT", "Detection", "Event", "Pipeline"]

ABSENT_LOGIT = np.float32(-10.0)
"""What an absent tile contributes: probability 0.00005, below every threshold that may be asked for."""


@dataclass(kw_only=True, slots=True)
class _Decoding:
    """All tiles of all questions that have a `<SEG>`; K counts these questions."""

    logits: NDArray[np.float32]
    """(K, H, W), blended."""
    windows: tuple[Window, ...]
    presence: NDArray[np.float64]
    """(tiles, K), `seg_probability` included."""
    quality: NDArray[np.float64]
    """(tiles, K)."""


class Pipeline:
    """Answers questions about a pair of images.

    Args:
        vision: what the images say.
        reasoner: what the question means.
        decoder: where it changed.
        cache_bytes: bound of the features kept for further questions on a pair.

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
    ) -> None:
        self._vision, self._reasoner, self._decoder = vision, reasoner, decoder
        self._encoder = vision.describe()
        reasons, decodes = reasoner.describe(), decoder.describe()
        check_fit(self._encoder, reasons, decodes)
        # check_fit refuses a decoder that lacks one of these.
        assert decodes.image_size
        assert decodes.presence_threshold is not None
        assert decodes.probability_threshold is not None
        self._side = decodes.image_size
        self._presence_threshold = decodes.presence_threshold
        self._threshold = decodes.probability_threshold
        self.fingerprints = {part.component: part.fingerprint for part in (self._encoder, reasons, decodes)}
        """Fingerprint of each component by its name."""
        self._cache = FeatureCache(cache_bytes)

    def detect(
        self,
        images: NDArray[np.uint8],
        queries: Sequence[str],
        *,
        mode: Mode = Mode.SHORT,
        threshold: float | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> list[Detection]:
        """Answer every question about one pair.

        Args:
            images: (2, H, W, 3), RGB 0-255, the earlier one first; sides of 16 to 4096 pixels.
            queries: 1 to 32 questions in plain words.
            mode: whether the answers give a reason.
            threshold: a pixel is changed at or above this probability, in [0.001, 0.999]; what the
                checkpoint says if not given.
            on_event: told about progress and about text as it is written.

        Returns:
            One detection a question, in order.

        Raises:
            InvalidInputError: images, questions or threshold are unusable.
        """
        queries = check_queries(queries)
        check_threshold(threshold)
        check_images(images, len(queries))
        threshold = self._threshold if threshold is None else threshold
        tell = on_event or (lambda event: None)
        clock = time.perf_counter

        started = clock()
        key = pair_key(images, self._encoder)
        tell(Event(stage="encode", done=0, total=1))
        tokens = self._cache.get_or_make(key, "overview", lambda: self._vision.encode_for_reasoning(images))
        tell(Event(stage="encode", done=1, total=1))
        encoded = clock()

        answers: list[ReasonDone] = []
        reason_s: list[float] = []
        for number, query in enumerate(queries):
            began = clock()
            answers.append(self._reason(tokens, query, mode, number, len(queries), tell))
            reason_s.append(clock() - began)

        began = clock()
        decoding = self._decode(images, key, answers, tell)
        shared = {"encode": encoded - started, "decode": clock() - began}

        detections = []
        columns = iter(range(len(queries)))
        for query, done, seconds in zip(queries, answers, reason_s, strict=True):
            column = next(columns) if done.seg_embedding else None
            timings = {**shared, "reason": seconds}
            detections.append(self._conclude(query, mode, done, decoding, column, threshold, timings))
        return detections

    def _reason(
        self,
        tokens: Tensor,
        query: str,
        mode: Mode,
        number: int,
        total: int,
        tell: Callable[[Event], None],
    ) -> ReasonDone:
        tell(Event(stage="reason", done=number, total=total, query=number))
        for event in self._reasoner.reason(tokens, query, mode):
            if isinstance(event, ReasonDone):
                tell(Event(stage="reason", done=number + 1, total=total, query=number))
                return event
            tell(Event(stage="reason", done=number, total=total, query=number, text=event.text))
        raise ReasonCDError("the reasoner stopped before the end of its answer; ask again")

    def _decode(
        self,
        images: NDArray[np.uint8],
        key: str,
        answers: Sequence[ReasonDone],
        tell: Callable[[Event], None],
    ) -> _Decoding:
        """Decode the questions with a `<SEG>` on every tile, all of them in one call a tile."""
        height, width = images.shape[1:3]
        rows = [done.seg_embedding.numpy() for done in answers if done.seg_embedding]
        if not rows:
            nothing = np.zeros((0, 0))
            empty = np.zeros((0, height, width), dtype=np.float32)
            return _Decoding(logits=empty, windows=(), presence=nothing, quality=nothing)
        embeddings = Tensor.from_numpy(np.stack(rows))
        probabilities = np.array([done.seg_probability for done in answers if done.seg_embedding])
        tiling = Tiling(height=height, width=width, side=self._side)
        total = len(tiling.windows)
        blend = Blend(tiling, len(rows))
        presence = np.zeros((total, len(rows)))
        quality = np.zeros_like(presence)
        for number, window in enumerate(tiling.windows):
            tell(Event(stage="decode", done=number, total=total))
            decoded = self._decoder.decode(self._fused(images, key, tiling, window), embeddings)
            check_decoded(decoded, len(rows), self._side)
            presence[number] = probabilities * decoded.presence
            quality[number] = decoded.quality
            absent = presence[number] < self._presence_threshold
            blend.add(window, np.where(absent[:, None, None], ABSENT_LOGIT, decoded.logits))
        tell(Event(stage="decode", done=total, total=total))
        return _Decoding(logits=blend.logits, windows=tiling.windows, presence=presence, quality=quality)

    def _fused(self, images: NDArray[np.uint8], key: str, tiling: Tiling, window: Window) -> Tensor:
        return self._cache.get_or_make(
            key,
            f"{window.top},{window.left}",
            lambda: self._vision.encode_for_decoding(tiling.cut(images, window)),
        )

    def _conclude(
        self,
        query: str,
        mode: Mode,
        done: ReasonDone,
        decoding: _Decoding,
        column: int | None,
        threshold: float,
        timings: dict[str, float],
    ) -> Detection:
        """Threshold once, outline, word; `column` is the question's place in the decoding, if it has one."""
        began = time.perf_counter()
        presence, confidence = 0.0, None
        if column is None:
            probability = np.zeros(decoding.logits.shape[1:], dtype=np.float32)
        else:
            presence = float(decoding.presence[:, column].max())
            probability = _logistic_in_place(decoding.logits[column])
        change_map = probability >= np.float32(threshold)
        if column is not None and change_map.any():
            confidence = self._confidence(decoding, column, change_map)
        places = find_places(change_map, probability)
        if column is None:
            answer = wording.refused(done.answer)
        elif places.count:
            fraction = float(change_map.mean())
            answer = wording.changed(done.answer, places=places.worth_telling, fraction=fraction)
        else:
            answer = wording.nothing(done.answer)
        return Detection(
            query=query,
            mode=mode,
            answer=answer,
            model_answer=done.answer,
            seg_emitted=column is not None,
            seg_probability=done.seg_probability if column is not None else 0.0,
            presence=presence,
            confidence=confidence,
            threshold=threshold,
            presence_threshold=self._presence_threshold,
            change_map=change_map,
            probability=probability,
            places=places,
            fingerprints=dict(self.fingerprints),
            timings_s={**timings, "outline": time.perf_counter() - began},
        )

    def _confidence(self, decoding: _Decoding, column: int, change_map: NDArray[np.bool_]) -> float:
        """Predicted quality, weighted by changed area over the tiles in which the change is present."""
        areas = [
            change_map[w.top : w.top + w.height, w.left : w.left + w.width].sum() for w in decoding.windows
        ]
        present = decoding.presence[:, column] >= self._presence_threshold
        # Absent tiles alone stay below every threshold, so a changed pixel lies in a present one.
        return float(np.average(decoding.quality[:, column], weights=np.array(areas) * present))


def _logistic_in_place(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits to probabilities, in the same memory: maps are large."""
    with np.errstate(over="ignore"):
        np.negative(logits, out=logits)
        np.exp(logits, out=logits)
        logits += np.float32(1)
        return np.reciprocal(logits, out=logits)
