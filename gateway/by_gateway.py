"""Questions answered by a running gateway, as detections like those of a pipeline in this process.

What a detection holds beyond the wire's answer is made here again from the maps, which cross the wire bit for
bit: so results written from it are those of the pipeline itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.detection import Detection, Meaning
from gateway.polygons import find_places
from reasoncd import client as library
from reasoncd.errors import ReasonCDError
from reasoncd.ports import Mode

Value = TypeVar("Value")

_COMPONENTS = ("vision_encoder", "reasoner", "mask_decoder")
_STAGES = ("encode", "decode", "reason", "outline")


def detect_by_gateway(
    gateway: library.ReasonCDClient,
    images: NDArray[np.uint8],
    queries: Sequence[str],
    *,
    mode: Mode,
    threshold: float | None,
    meanings: Sequence[Meaning] | None = None,
    show_stage: Callable[[str, int, int], None],
) -> list[Detection]:
    """Answer every question about one pair.

    Args:
        gateway: who answers.
        images: (2, H, W, 3), RGB 0-255, the earlier one first.
        queries: in plain words.
        mode: whether the answers give a reason.
        threshold: a pixel is changed at or above this probability; the model's own if not given.
        meanings: of the questions, as earlier detections gave them.
        show_stage: told a stage, how much of it is done, and how much there is.

    Returns:
        One detection a question, in order.

    Raises:
        ReasonCDError: as the client raises them.
    """
    found = []
    # As a stream: each answer is a message of its own, so many large maps are not too much for one.
    told = gateway.detect_stream(
        images[0],
        images[1],
        queries,
        mode=mode,
        threshold=threshold,
        meanings=meanings,
        with_probability=True,
    )
    for event in told:
        if isinstance(event, library.Progress):
            show_stage(event.stage, event.done, event.total)
        elif isinstance(event, library.Detected):
            found.append(_detection(event.detection, mode, images.shape[1:3]))
    return found


def _detection(answer: library.Detection, mode: Mode, size: tuple[int, ...]) -> Detection:
    if answer.probability is None or answer.change_map.shape != size:
        raise ReasonCDError(
            f"the gateway's map has shape {answer.change_map.shape}, the images {size}; check its version"
        )
    if answer.meaning is None:
        raise ReasonCDError("the gateway does not say what the question meant; check its version")
    return Detection(
        query=answer.query,
        mode=mode,
        answer=answer.answer,
        model_answer=answer.model_answer,
        seg_emitted=answer.seg_emitted,
        seg_probability=answer.seg_probability,
        presence=answer.presence,
        confidence=answer.confidence,
        threshold=answer.threshold,
        presence_threshold=answer.presence_threshold,
        change_map=answer.change_map,
        probability=answer.probability,
        places=find_places(answer.change_map, answer.probability),
        fingerprints=_ordered(answer.fingerprints, _COMPONENTS),
        timings_s=_ordered(answer.timings_s, _STAGES),
        meaning=answer.meaning,
    )


def _ordered(values: Mapping[str, Value], names: Sequence[str]) -> dict[str, Value]:
    """The pipeline's order, which maps lose on the wire; names that it does not have come last."""
    known = [name for name in names if name in values]
    return {name: values[name] for name in (*known, *sorted(values.keys() - set(known)))}
