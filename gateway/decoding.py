"""Every question with a `<SEG>` on every tile, blended to maps of the image's size.

A tile whose presence is below the decoder's threshold contributes an empty map, unless a person marked a
change in it. K counts the questions that have a `<SEG>`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.checks import check_decoded
from gateway.detection import Click, Event, Meaning
from gateway.pair_features import PairFeatures
from gateway.tiling import Blend, Tiling, Window
from reasoncd.ports import Clicks, DecodedMasks, MaskDecoder
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
    present: NDArray[np.bool_]
    """(tiles, K), whether the tile's map is taken: by its presence, or by a person's word."""
    quality: NDArray[np.float64]
    """(tiles, K)."""


def decode_tiles(
    decoder: MaskDecoder,
    features: PairFeatures,
    tiling: Tiling,
    meanings: Sequence[Meaning],
    *,
    clicks: Sequence[Click] = (),
    presence_threshold: float,
    scope: CallScope,
    tell: Callable[[Event], None],
) -> Decoding:
    """Decode the questions with a `<SEG>`, all of them in one call a tile.

    Args:
        decoder: makes the masks.
        features: of the pair.
        tiling: of the pair.
        meanings: of all questions, with and without `<SEG>`.
        clicks: corrections, in pixels of the pair, where there is one question only.
        presence_threshold: tiles below it are empty.
        scope: asked before each tile.
        tell: told about each tile.

    Raises:
        ReasonCDError: the decoder's reply could not be drawn.
    """
    rows = [meaning.seg_embedding for meaning in meanings if meaning.seg_embedding is not None]
    if not rows:
        nothing = np.zeros((0, 0))
        empty = np.zeros((0, tiling.height, tiling.width), dtype=np.float32)
        return Decoding(
            logits=empty, windows=(), presence=nothing, present=nothing.astype(np.bool_), quality=nothing
        )
    embeddings = Tensor.from_numpy(np.stack(rows))
    probabilities = np.array(
        [meaning.seg_probability for meaning in meanings if meaning.seg_embedding is not None]
    )
    total = len(tiling.windows)
    blend = Blend(tiling, len(rows))
    presence = np.zeros((total, len(rows)))
    present = np.zeros(presence.shape, dtype=np.bool_)
    quality = np.zeros_like(presence)
    for number, window in enumerate(tiling.windows):
        tell(Event(stage="decode", done=number, total=total))
        fused = features.tile(window)
        scope.check()
        decoded = decoder.decode(fused, embeddings)
        check_decoded(decoded, len(rows), tiling.side)
        marked = [click for click in clicks if _holds(window, click)]
        if marked:
            decoded = _corrected(
                decoder, fused, embeddings, decoded, window, marked, side=tiling.side, scope=scope
            )
        presence[number] = probabilities * decoded.presence
        quality[number] = decoded.quality
        seen = any(click.changed for click in marked)
        present[number] = (presence[number] >= presence_threshold) | seen
        blend.add(window, np.where(present[number][:, None, None], decoded.logits, ABSENT_LOGIT))
    tell(Event(stage="decode", done=total, total=total))
    return Decoding(
        logits=blend.logits, windows=tiling.windows, presence=presence, present=present, quality=quality
    )


def _corrected(
    decoder: MaskDecoder,
    fused: Tensor,
    embeddings: Tensor,
    decoded: DecodedMasks,
    window: Window,
    marked: Sequence[Click],
    *,
    side: int,
    scope: CallScope,
) -> DecodedMasks:
    """One round a click, as in training: the clicks so far, and the logits of the round before."""
    # A click's 0.5 is the middle of the first pixel, a prompt's 0.
    points = np.array([(c.x - window.left - 0.5, c.y - window.top - 0.5) for c in marked], dtype=np.float32)
    points = points.clip(min=0)
    labels = np.array([c.changed for c in marked], dtype=np.int64)
    for count in range(1, len(marked) + 1):
        scope.check()
        decoded = decoder.decode(
            fused,
            embeddings,
            clicks=Clicks(points=points[:count], labels=labels[:count]),
            previous_logits=decoded.logits,
        )
        check_decoded(decoded, embeddings.shape[0], side)
    return decoded


def _holds(window: Window, click: Click) -> bool:
    return 0 <= click.x - window.left < window.width and 0 <= click.y - window.top < window.height
