"""What stands behind the front door."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.detection import Click, Detection, Event, Meaning
from reasoncd.ports import Description, Mode


class Model(Protocol):
    """What `gateway.pipeline.Pipeline` and `gateway.remote.RemoteModel` have in common. Threads share it."""

    def describe(self) -> tuple[Description, Description, Description]:
        """Vision encoder, reasoner and mask decoder, which answer now and fit each other.

        Raises:
            ReasonCDError: one does not answer, or they do not fit.
        """
        ...

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
        """Answer every question about one pair, under the current scope; see `Pipeline.detect`."""
        ...
