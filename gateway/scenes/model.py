"""What a run over a scene needs of a model."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.detection import Detection, Meaning
from reasoncd.ports import Description, Mode


class SceneModel(Protocol):
    """`Pipeline`, `RemoteModel` or `scenes.by_gateway.GatewayModel`."""

    def describe(self) -> tuple[Description, ...]:
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
