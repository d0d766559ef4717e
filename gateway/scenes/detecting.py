"""Every tile of a scene through the model, each kept on the disk as soon as it is there.

A tile that fails is tried again, and given up and listed if it fails for good; what no other tile could do
better (a refused token, services that do not fit) ends the run at once. Between tiles the current scope is
asked whether somebody still waits.
"""

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from gateway.detection import Detection
from gateway.scenes.grid import SceneTiling
from gateway.scenes.kept_meaning import Understood
from gateway.scenes.model import SceneModel
from gateway.scenes.pair import ScenePair, ScenePart
from gateway.scenes.settings import FailedTile, SceneProgress, SceneSettings
from gateway.scenes.tile_store import NO_DATA, Tile, TileFacts, TileStore
from reasoncd.errors import CheckpointError, Code, ReasonCDError
from reasoncd.rpc.scope import current_scope

OVERVIEW_SIDE = 512
"""Longest side of what the question is read on, in pixels; the reasoner's encoder takes less."""

_PASSING = frozenset(
    {Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.DATA_LOSS}
)
"""What another try, or another tile, may not meet."""


def read_question(model: SceneModel, scene: ScenePair, query: str, settings: SceneSettings) -> Understood:
    """Have the model read the question on an overview of the scene.

    Returns:
        What it means, for all tiles.

    Raises:
        ReasonCDError: the model does not answer.
    """
    overview = scene.overview(OVERVIEW_SIDE)
    images = _at_least(overview.images, 16)

    def ask() -> Detection:
        return model.detect(images, [query], mode=settings.mode, threshold=settings.threshold)[0]

    found = _with_patience(ask, settings)
    return Understood(
        meaning=found.meaning, threshold=found.threshold, presence_threshold=found.presence_threshold
    )


def detect_tiles(
    model: SceneModel,
    scene: ScenePair,
    query: str,
    tiling: SceneTiling,
    store: TileStore,
    *,
    understood: Understood | None,
    fingerprints: Mapping[str, str],
    settings: SceneSettings,
    tell: Callable[[SceneProgress], None],
) -> tuple[FailedTile, ...]:
    """Detect the tiles that are not in the store yet.

    Args:
        model: detects.
        scene: is read by tiles.
        query: the question.
        tiling: of the scene.
        store: has the tiles of earlier runs, and is given the new ones.
        understood: the question, for all tiles; None to have it read anew on each.
        fingerprints: of the model; tiles of another one are refused.
        settings: of the run.
        tell: told about each tile.

    Returns:
        The tiles that were given up.

    Raises:
        CancelledError, DeadlineError: of the current scope, before the next tile.
        ReasonCDError: no tile can be detected.
        OSError: the disk takes no more tiles.
    """
    scope = current_scope()
    waiting = [window for window in tiling.windows if not store.has(window)]
    total = len(tiling.windows)
    done = total - len(waiting)
    failed: list[FailedTile] = []
    last: ReasonCDError | None = None
    began = time.monotonic()
    tell(SceneProgress(stage="tiles", done=done, total=total))
    for number, window in enumerate(waiting, start=1):
        scope.check()
        part = scene.read(window)
        try:
            store.put(window, _detect_tile(model, part, query, understood, fingerprints, settings))
        except ReasonCDError as error:
            scope.check()
            if error.code not in _PASSING:
                raise
            last = error
            failed.append(
                FailedTile(
                    top=window.top,
                    left=window.left,
                    height=window.height,
                    width=window.width,
                    reason=error.message,
                )
            )
        left = (time.monotonic() - began) / number * (len(waiting) - number)
        tell(SceneProgress(stage="tiles", done=done + number, total=total, seconds_left=left))
    if last is not None and not any(store.facts(window) for window in tiling.windows):
        raise last
    return tuple(failed)


def _detect_tile(
    model: SceneModel,
    part: ScenePart,
    query: str,
    understood: Understood | None,
    fingerprints: Mapping[str, str],
    settings: SceneSettings,
) -> Tile:
    if not part.valid.any():
        return Tile(probability=np.full(part.valid.shape, NO_DATA), facts=None)
    if understood and understood.meaning.seg_embedding is None:
        return _off_topic(part, understood)
    meanings = [understood.meaning] if understood else None

    def ask() -> Detection:
        return model.detect(
            part.images, [query], mode=settings.mode, threshold=settings.threshold, meanings=meanings
        )[0]

    found = _with_patience(ask, settings)
    for name, fingerprint in found.fingerprints.items():
        if fingerprints.get(name, fingerprint) != fingerprint:
            raise CheckpointError(
                f"{name} was replaced while the scene was worked on (now {fingerprint[:12]}); "
                "start again in a new folder, so that one model makes the whole map"
            )
    return Tile(
        probability=np.where(part.valid, found.probability, NO_DATA),
        facts=TileFacts(
            answer=found.model_answer,
            seg_emitted=found.seg_emitted,
            presence=found.presence,
            confidence=found.confidence,
            changed_pixels=int(np.count_nonzero(found.change_map & part.valid)),
            threshold=found.threshold,
            presence_threshold=found.presence_threshold,
        ),
    )


def _off_topic(part: ScenePart, understood: Understood) -> Tile:
    """What every tile of a question without a map holds; no model needs to be asked."""
    return Tile(
        probability=np.where(part.valid, np.float32(0), NO_DATA),
        facts=TileFacts(
            answer=understood.meaning.answer,
            seg_emitted=False,
            presence=0.0,
            confidence=None,
            changed_pixels=0,
            threshold=understood.threshold,
            presence_threshold=understood.presence_threshold,
        ),
    )


def _with_patience(ask: Callable[[], Detection], settings: SceneSettings) -> Detection:
    scope = current_scope()
    for attempt in range(1, settings.tries + 1):
        try:
            return ask()
        except ReasonCDError as error:
            scope.check()
            if error.code not in _PASSING or attempt == settings.tries:
                raise
            pause = settings.pause_s * 2 ** (attempt - 1)
            time.sleep(max(pause, getattr(error, "retry_after_s", 0.0)))
    raise AssertionError("the last attempt returns or raises")


def _at_least(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Repeat the last row and column of (2, H, W, 3) until both suffice: a scene may be a mere strip."""
    below, right = (max(0, side - extent) for extent in images.shape[1:3])
    return np.pad(images, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")
