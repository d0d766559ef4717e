"""A running gateway as the model of a scene: the scene stays here, its tiles cross the wire one by one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.by_gateway import detect_by_gateway
from gateway.detection import Detection, Meaning
from reasoncd.client import ReasonCDClient
from reasoncd.ports import Description, Mode


class GatewayModel:
    """Asks a gateway.

    Args:
        client: of the gateway; stays its maker's to close.
    """

    def __init__(self, client: ReasonCDClient) -> None:
        self._client = client

    def describe(self) -> tuple[Description, ...]:
        """Vision encoder, reasoner and mask decoder behind the gateway.

        Raises:
            ReasonCDError: the gateway does not answer.
        """
        return self._client.describe().components

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
        return detect_by_gateway(
            self._client,
            images,
            queries,
            mode=mode,
            threshold=threshold,
            meanings=meanings,
            show_stage=lambda stage, done, total: None,
        )
