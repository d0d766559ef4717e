"""A decoder that draws where it was clicked."""

from dataclasses import replace
from typing import Any

from reasoncd.ports import Clicks, DecodedMasks
from reasoncd.tensors import Tensor
from tests.gateway.conftest import SignDecoder


class ClickedDecoder(SignDecoder):
    """Draws a square of 8 pixels about each click on top of the logits before, and remembers its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds: list[tuple[list[list[float]], list[int]]] = []

    def decode(self, fused: Tensor, seg_embeddings: Tensor, **told: Any) -> DecodedMasks:
        clicks: Clicks | None = told.get("clicks")
        decoded = super().decode(fused, seg_embeddings)
        if clicks is None:
            assert "previous_logits" not in told
            return decoded
        self.rounds.append((clicks.points.tolist(), clicks.labels.tolist()))
        logits = told["previous_logits"].copy()
        # Only the newest: the earlier ones are there if the logits of the round before came along.
        (x, y), label = clicks.points[-1].astype(int), clicks.labels[-1]
        logits[:, max(y - 4, 0) : y + 4, max(x - 4, 0) : x + 4] = 5 if label else -5
        return replace(decoded, logits=logits)
