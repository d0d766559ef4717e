"""The model as jobs use it: each call waits for its turn, so that requests are answered between tiles."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.detection import Detection, Meaning
from reasoncd.errors import CancelledError, ReasonCDError
from reasoncd.observability import metrics
from reasoncd.ports import Description, Mode

Turn = Callable[[], AbstractContextManager[None]]
"""Waits, in a thread, until there is room to work, and gives it back; raises where the scope is over."""


class Answering(Protocol):
    """What is needed of `Pipeline` or `RemoteModel`."""

    def describe(self) -> tuple[Description, Description, Description]:
        """Vision encoder, reasoner and mask decoder."""
        ...

    def detect(
        self,
        images: NDArray[np.uint8],
        queries: Sequence[str],
        *,
        mode: Mode = Mode.SHORT,
        threshold: float | None = None,
        meanings: Sequence[Meaning] | None = None,
    ) -> list[Detection]:
        """As `Pipeline.detect`."""
        ...


class JobModel:
    """Implements `gateway.scenes.model.SceneModel` for one run.

    Args:
        model: who answers.
        turn: see `Turn`.
    """

    def __init__(self, model: Answering, turn: Turn) -> None:
        self._model, self._turn = model, turn

    def describe(self) -> tuple[Description, Description, Description]:
        """Vision encoder, reasoner and mask decoder."""
        return self._model.describe()

    def detect(
        self,
        images: NDArray[np.uint8],
        queries: Sequence[str],
        *,
        mode: Mode = Mode.SHORT,
        threshold: float | None = None,
        meanings: Sequence[Meaning] | None = None,
    ) -> list[Detection]:
        """As `Pipeline.detect`, in its turn."""
        with self._turn():
            try:
                found = self._model.detect(images, queries, mode=mode, threshold=threshold, meanings=meanings)
            except CancelledError:
                raise
            except ReasonCDError:
                metrics.job_tiles.labels("failed").inc()
                raise
        metrics.job_tiles.labels("done").inc()
        return found
