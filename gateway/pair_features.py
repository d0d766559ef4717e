"""The features of one pair while questions about it are answered: from the cache, or made when needed.

Where the encoders answer over a wire, tiles can be encoded ahead in threads while the reasoner is still at
work; which thread makes a tile changes no byte of it.
"""

from collections import deque
from concurrent.futures import Executor, Future
from contextvars import copy_context
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from gateway.features import FeatureCache, pair_key
from gateway.tiling import Tiling, Window
from reasoncd.ports import VisionEncoder
from reasoncd.rpc.scope import CallScope
from reasoncd.tensors import Tensor

AHEAD = 32
"""Tiles that are begun before their turn, at most. They lie ready beside the cache, outside of its bound."""


class PairFeatures:
    """What the encoders say about one pair. A context manager: leaving it drops what was not begun.

    Args:
        vision: makes the features.
        images: uint8 (2, H, W, 3), the earlier one first.
        tiling: of images of that size.
        cache: looked at first, and filled.
        scope: asked before each call.
        pool: threads that encode tiles ahead; None to make each when it is asked for.
    """

    def __init__(
        self,
        vision: VisionEncoder,
        images: NDArray[np.uint8],
        tiling: Tiling,
        *,
        cache: FeatureCache,
        scope: CallScope,
        pool: Executor | None = None,
    ) -> None:
        self._vision, self._images, self._tiling = vision, images, tiling
        self._cache, self._scope, self._pool = cache, scope, pool
        self._key = pair_key(images, vision.describe())
        self._later: deque[Window] = deque()
        self._ahead: dict[Window, Future[Tensor]] = {}

    def __enter__(self) -> "PairFeatures":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._later.clear()
        for ahead in self._ahead.values():
            ahead.cancel()
        self._ahead.clear()

    def begin(self) -> None:
        """Start to encode the first tiles if there are threads; others follow as those are taken."""
        if self._pool is not None:
            self._later.extend(self._tiling.windows)
            for _ in range(AHEAD):
                self._begin_next(self._pool)

    def overview(self) -> Tensor:
        """Of the whole images: bfloat16 (2, N, C), for the reasoner."""

        def make() -> Tensor:
            self._scope.check()
            return self._vision.encode_for_reasoning(self._images)

        return self._cache.get_or_make((self._key, "overview"), make)

    def tile(self, window: Window) -> Tensor:
        """Of one tile: bfloat16 (*fused_shape), for the mask decoder."""
        ahead = self._ahead.pop(window, None)
        if ahead is None and window in self._later:
            self._later.remove(window)
        elif self._pool is not None:
            self._begin_next(self._pool)
        # A tile that no thread has begun is made here: the threads may be busy with other pairs.
        if ahead is None or ahead.cancel():
            return self._make_tile(window)
        return ahead.result()

    def _begin_next(self, pool: Executor) -> None:
        if self._later:
            window = self._later.popleft()
            # A context can be entered by one thread at a time, so each tile has its own copy.
            self._ahead[window] = pool.submit(copy_context().run, self._make_tile, window)

    def _make_tile(self, window: Window) -> Tensor:
        def make() -> Tensor:
            self._scope.check()
            return self._vision.encode_for_decoding(self._tiling.cut(self._images, window))

        return self._cache.get_or_make((self._key, f"{window.top},{window.left}"), make)
