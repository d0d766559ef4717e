"""Features that a service holds already are named by their digest instead of being sent again.

The rule: features that were sent before are tried by digest first; a service that lacks them says so and is
sent them. Behind one address there may be several replicas, and what one was sent another may lack. So the
outcomes of the last `WINDOW` tries are kept; where half of them or more were misses, the next `PAUSE`
requests about features that were sent before send them at once, and then digests are tried anew.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from reasoncd.errors import ReasonCDError
from reasoncd.observability import metrics
from reasoncd.rpc.tensors import tensor_to_proto
from reasoncd.tensors import Tensor
from reasoncd.v1 import features_pb2

WINDOW = 8
PAUSE = 64
REMEMBERED = 4096
"""Digests; the least recently used are forgotten first, and their features sent again."""

Response = TypeVar("Response")


class SentFeatures:
    """What one service was sent. Threads may share it.

    Args:
        service: its name, for sentences.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._digests: OrderedDict[str, None] = OrderedDict()
        self._missed: deque[bool] = deque(maxlen=WINDOW)
        self._pause = 0
        self._lock = Lock()
        # Shown as 0 from the start: a rate needs a value before the first event.
        self._transfers = {
            outcome: metrics.feature_transfers.labels(service, outcome)
            for outcome in ("digest", "missing", "sent")
        }

    def offer(self, features: Tensor, ask: Callable[[features_pb2.Features], Response | None]) -> Response:
        """Make a request about features, by their digest where that is likely to do.

        Args:
            features: what the request is about.
            ask: makes the request; None where the service answers that it needs the features.

        Returns:
            What `ask` gave in the end.

        Raises:
            ReasonCDError: the service asks for what it was just sent; whatever `ask` raises.
        """
        digest = features.digest
        if self._worth_trying(digest):
            response = ask(features_pb2.Features(digest=digest))
            self._note(missed=response is None)
            self._transfers["digest" if response is not None else "missing"].inc()
            if response is not None:
                return response
        response = ask(features_pb2.Features(tensor=tensor_to_proto(features)))
        if response is None:
            raise ReasonCDError(f"{self._service} asks for the features that it was just sent")
        self._transfers["sent"].inc()
        self._remember(digest)
        return response

    def _worth_trying(self, digest: str) -> bool:
        with self._lock:
            if digest not in self._digests:
                return False
            if self._pause:
                self._pause -= 1
                return False
            self._digests.move_to_end(digest)
            return True

    def _note(self, *, missed: bool) -> None:
        with self._lock:
            self._missed.append(missed)
            if len(self._missed) == WINDOW and 2 * sum(self._missed) >= WINDOW:
                self._pause = PAUSE
                self._missed.clear()

    def _remember(self, digest: str) -> None:
        with self._lock:
            self._digests[digest] = None
            self._digests.move_to_end(digest)
            while len(self._digests) > REMEMBERED:
                self._digests.popitem(last=False)
