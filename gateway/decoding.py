"""Every question with a `<SEG>` on every tile, blended to maps of the image's size.

A tile whose presence is below the decoder's threshold contributes an empty map. K counts the questions that
have a `<SEG>`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.checks import check_decoded
from gateway.detection import Event
from gateway.pair_features import PairFeatures
from gateway.tiling import Blend, Tiling, Window
from reasoncd.ports import MaskDecoder, ReasonDone
from reasoncd.rpc.scope import CallScope
from reasoncd.tensors import Tensor

ABSENT_LOGIT = np.float32(-10.0)
"""What an absent tile contributes: probability 0.00005, below every threshold that may be asked for."""


@dataclass(kw_only=True, slots=True)
class Decoding:
    """All tiles of all questions that have a `<SEG>`."""

    logits: NDArray[np.float32]
    """(K, H, W), blended; whoever concludes a question may overwrite its row."""
    windows: tuple[Window, ...]
    presence: NDArray[np.float64]
    """(tiles, K), `seg_probability` included."""
    quality: NDArray[np.float64]
    """(tiles, K)."""


def decode_tiles(
    decoder: MaskDecoder,
    features: PairFeatures,
    tiling: Tiling,
    answers: Sequence[ReasonDone],
    *,
    presence_threshold: float,
    scope: CallScope,
    tell: Callable[[Event], None],
) -> Decoding:
    """Decode the questions with a `<SEG>`, all of them in one call a tile.

    Args:
        decoder: makes the masks.
        features: of the pair.
        tiling: of the pair.
        answers: of all questions, with and without `<SEG>`.
        presence_threshold: tiles below it are empty.
        scope: asked before each tile.
        tell: told about each tile.

    Raises:
        ReasonCDError: the decoder's reply could not be drawn.
    """
    rows = [done.seg_embedding.numpy() for done in answers if done.seg_embedding]
    if not rows:
        nothing = np.zeros((0, 0))
        empty = np.zeros((0, tiling.height, tiling.width), dtype=np.float32)
        return Decoding(logits=empty, windows=(), presence=nothing, quality=nothing)
    embeddings = Tensor.from_numpy(np.stack(rows))
    probabilities = np.array([done.seg_probability for done in answers if done.seg_embedding])
    total = len(tiling.windows)
    blend = Blend(tiling, len(rows))
    presence = np.zeros((total, len(rows)))
    quality = np.zeros_like(presence)
    for number, window in enumerate(tiling.windows):
        tell(Event(stage="decode", done=number, total=total))
        fused = features.tile(window)
        scope.check()
        decoded = decoder.decode(fused, embeddings)
        check_decoded(decoded, len(rows), tiling.side)
        presence[number] = probabilities * decoded.presence
        quality[number] = decoded.quality
        absent = presence[number] < presence_threshold
        blend.add(window, np.where(absent[:, None, None], ABSENT_LOGIT, decoded.logits))
    tell(Event(stage="decode", done=total, total=total))
    return Decoding(logits=blend.logits, windows=tiling.windows, presence=presence, quality=quality)
