"""Tiles encoded before their turn: in order, each once, and no more of them than may lie ready."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.features import FeatureCache
from gateway.pair_features import AHEAD, PairFeatures
from gateway.tiling import Tiling
from reasoncd.rpc.scope import CallScope

pytestmark = pytest.mark.unit

P = ParamSpec("P")
T = TypeVar("T")


class Immediately(Executor):
    """Does what is submitted before it returns, so that a test need not wait for threads."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        done.set_running_or_notify_cancel()
        done.set_result(work(*args, **kwargs))
        return done


@pytest.fixture
def images(make_scene: Callable[..., NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return make_scene(300, 300, (40, 40, 60, 60))


def _features(encoder: Any, images: NDArray[np.uint8], pool: Executor | None) -> tuple[PairFeatures, Tiling]:
    tiling = Tiling(height=images.shape[1], width=images.shape[2], side=encoder.side)
    # The cache keeps nothing, so that every tile that is made is counted.
    return (
        PairFeatures(encoder, images, tiling, cache=FeatureCache(0), scope=CallScope(), pool=pool),
        tiling,
    )


def test_no_more_lie_ready_than_may(encoder: Any, images: NDArray[np.uint8]) -> None:
    features, tiling = _features(encoder, images, Immediately())
    total = len(tiling.windows)
    assert total > AHEAD + 2
    alone, _ = _features(type(encoder)(), images, None)
    with features:
        features.begin()
        for taken, window in enumerate(tiling.windows):
            assert len(encoder.calls) == min(taken + AHEAD, total)
            assert features.tile(window).data == alone.tile(window).data
    assert len(encoder.calls) == total


def test_a_tile_out_of_turn_is_made_once(encoder: Any, images: NDArray[np.uint8]) -> None:
    features, tiling = _features(encoder, images, Immediately())
    with features:
        features.begin()
        features.tile(tiling.windows[-1])
        assert len(encoder.calls) == AHEAD + 1
        for window in tiling.windows[:-1]:
            features.tile(window)
    assert len(encoder.calls) == len(tiling.windows)


def test_what_was_not_begun_is_dropped(encoder: Any, images: NDArray[np.uint8]) -> None:
    features, tiling = _features(encoder, images, Immediately())
    with features:
        features.begin()
    features.tile(tiling.windows[0])
    assert len(encoder.calls) == AHEAD + 1
