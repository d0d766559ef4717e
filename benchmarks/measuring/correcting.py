"""Does correcting work? Simulated clicks on what is wrong with a map, through the decoder's port.

After each click the decoder gets all clicks so far and its logits of the round before, as a program that
shows the map to a user would do it. Presence has no say here: who corrects a map has decided that something
is there. Each click is in the middle of the largest error; training clicks anywhere in an error.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measuring.outcomes import Failure, stacked
from benchmarks.queries.questions import canonical_query
from gateway.pipeline import Pipeline
from reasoncd.errors import CheckpointError, ReasonCDError
from reasoncd.ontology import Target
from reasoncd.ports import Clicks, MaskDecoder, Mode, ReasonDone, Reasoner, VisionEncoder
from reasoncd.tensors import Tensor
from training.corrections import boxes_around, click_errors
from training.data.labels import LabelledPair, target_mask
from training.metrics import Confusion

ROUNDS = (0, 1, 3, 5)
"""After so many clicks the map is measured."""


class Engines(NamedTuple):
    """The three services by themselves, for what the pipeline does not offer."""

    vision: VisionEncoder
    reasoner: Reasoner
    decoder: MaskDecoder

    def pipeline(self) -> Pipeline:
        """The pipeline on top of them."""
        return Pipeline(*self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """How one map came closer to the truth."""

    pair: int
    target: Target
    iou: tuple[float, ...]
    """After each of `ROUNDS` clicks."""
    boxed: float
    """IoU with a box around all that truly changed, and no click."""
    clicks: int
    """How many were needed: at most the last of `ROUNDS`, fewer where nothing was wrong any more."""
    followed: int
    """Of these, how many clicked pixels are in the last map as the click says."""

    @property
    def gain(self) -> float:
        """IoU after three clicks less that before any."""
        return self.iou[ROUNDS.index(3)] - self.iou[0]

    def as_json(self) -> dict[str, Any]:
        """Numbers and texts only."""
        return {"pair": self.pair, "target": self.target.key, "iou": list(self.iou), "boxed": self.boxed,
                "clicks": self.clicks, "followed": self.followed}  # fmt: skip


def correction_test(
    engines: Engines, pair: LabelledPair, number: int, target: Target
) -> tuple[Correction, list[Failure]]:
    """Correct the map of a target's plain wording.

    Without a `<SEG>` there is no map to correct: all its figures are 0, as where the model fails.

    Args:
        engines: what is measured.
        pair: of the decoder's own size, images and labels.
        number: of the pair in its list.
        target: a change that is there.
    """
    images, query = stacked(pair), canonical_query(target)
    nothing = Correction(
        pair=number, target=target, iou=(0.0,) * len(ROUNDS), boxed=0.0, clicks=0, followed=0
    )
    try:
        tokens = engines.vision.encode_for_reasoning(images)
        seg = _seg_embedding(engines.reasoner, tokens, query)
        if seg is None:
            return nothing, []
        fused = engines.vision.encode_for_decoding(images)
        corrected = _corrected(nothing, engines.decoder, fused, seg, target_mask(pair, target))
    except (ReasonCDError, RuntimeError, ValueError, IndexError, KeyError) as error:
        # Whatever an engine stumbles over is a result of the measurement, not its end.
        return nothing, [Failure(query=query, reason=f"{type(error).__name__}: {error}")]
    return corrected, []


def _seg_embedding(reasoner: Reasoner, tokens: Tensor, query: str) -> Tensor | None:
    for event in reasoner.reason(tokens, query, Mode.SHORT):
        if isinstance(event, ReasonDone):
            seg = event.seg_embedding
            return None if seg is None else Tensor.from_numpy(seg.numpy()[None])
    raise ReasonCDError("the reasoner stopped before the end of its answer; ask again")


def _corrected(
    nothing: Correction, decoder: MaskDecoder, fused: Tensor, seg: Tensor, truth: NDArray[np.uint8]
) -> Correction:
    """The same pair and target, with figures."""
    threshold = decoder.describe().probability_threshold
    if threshold is None:
        raise CheckpointError("the mask decoder names no probability threshold; export the checkpoint again")
    cut = float(np.log(threshold / (1 - threshold)))

    def iou_of(logits: NDArray[np.float32]) -> float:
        return Confusion.of(logits[0] >= cut, truth).iou

    wanted = torch.from_numpy(np.array(truth))[None]
    logits = decoder.decode(fused, seg).logits
    found = [iou_of(logits)]
    points = np.zeros((0, 2), dtype=np.float32)
    labels = np.zeros(0, dtype=np.int64)
    for done in range(1, ROUNDS[-1] + 1):
        # The rule looks at the sign, the map at the threshold.
        place, kind = click_errors(torch.from_numpy(logits - np.float32(cut)), wanted, 1)
        if int(kind[0, 0]) >= 0:
            points = np.concatenate([points, place[0].numpy()])
            labels = np.concatenate([labels, kind[0].numpy()])
            clicks = Clicks(points=points, labels=labels)
            logits = decoder.decode(fused, seg, clicks=clicks, previous_logits=logits).logits
        if done in ROUNDS:
            found.append(iou_of(logits))
    boxes = boxes_around(wanted, jitter=0.0).numpy()
    x, y = points.astype(np.intp).T
    return replace(
        nothing,
        iou=tuple(found),
        boxed=iou_of(decoder.decode(fused, seg, boxes=boxes).logits),
        clicks=len(labels),
        followed=int(np.count_nonzero((logits[0, y, x] >= cut) == (labels == 1))),
    )
