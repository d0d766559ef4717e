"""Features are named by digest where a service is likely to hold them, and sent where it is not."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from gateway.remote import RemoteModel, sent
from gateway.remote.sent import PAUSE, WINDOW, SentFeatures
from reasoncd.errors import ReasonCDError
from reasoncd.tensors import Tensor
from reasoncd.v1 import features_pb2
from tests.gateway.remote.wire import Replica, Wire

pytestmark = pytest.mark.unit

NEW, LOST = "new buildings", "lost buildings"
FEATURES = Tensor.from_numpy(np.arange(6, dtype=np.float32))


class Service:
    """Holds what the test says, and notes how it was asked."""

    def __init__(self) -> None:
        self.holds = True
        self.by_digest: list[bool] = []

    def ask(self, features: features_pb2.Features) -> str | None:
        digest = features.WhichOneof("source") == "digest"
        self.by_digest.append(digest)
        if digest:
            assert features.digest == FEATURES.digest
        return "answer" if self.holds or not digest else None


def offers(sent_features: SentFeatures, service: Service, holds: Iterable[bool]) -> list[bool]:
    """How the service was asked, over requests of which it holds the features or not."""
    service.by_digest.clear()
    for service.holds in holds:
        assert sent_features.offer(FEATURES, service.ask) == "answer"
    return list(service.by_digest)


def test_features_are_sent_once_and_then_named() -> None:
    assert offers(SentFeatures("reasoner"), Service(), [True] * 3) == [False, True, True]


def test_what_is_not_held_is_sent_again() -> None:
    assert offers(SentFeatures("reasoner"), Service(), [True, False, True]) == [False, True, False, True]


def test_few_misses_do_not_stop_digests() -> None:
    features, service = SentFeatures("reasoner"), Service()
    offers(features, service, [True])
    asked = offers(features, service, [False, True, True] * WINDOW)
    assert asked == [True, False, True, True] * WINDOW


def test_many_misses_stop_digests_for_a_while() -> None:
    features, service = SentFeatures("reasoner"), Service()
    offers(features, service, [True])
    offers(features, service, [False, True] * (WINDOW // 2))
    assert offers(features, service, [True] * PAUSE) == [False] * PAUSE
    assert offers(features, service, [True]) == [True]


def test_only_so_many_digests_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent, "REMEMBERED", 2)
    features, asked = SentFeatures("reasoner"), []

    def ask(message: features_pb2.Features) -> bool:
        asked.append(message.WhichOneof("source"))
        return True

    one, two, three = (Tensor.from_numpy(np.full(2, value, np.float32)) for value in range(3))
    for tensor in (one, two, one, three, one, two):
        features.offer(tensor, ask)
    assert asked == ["tensor", "tensor", "digest", "tensor", "digest", "tensor"]


def test_a_service_that_asks_for_what_it_was_sent_is_at_fault() -> None:
    with pytest.raises(ReasonCDError, match="reasoner asks for the features that it was just sent"):
        SentFeatures("reasoner").offer(FEATURES, lambda features: None)


def test_a_second_question_sends_no_features(
    wire: Wire, model: RemoteModel, make_scene: Callable[..., Any]
) -> None:
    images = make_scene(64, 64, (16, 24, 16, 20))
    model.detect(images, [NEW, LOST])
    model.detect(images, [NEW])
    assert wire.digests("Reason") == [False, True, True]
    assert wire.digests("Decode") == [False, True]


def test_a_service_that_lost_its_features_is_sent_them_once(
    wire: Wire, model: RemoteModel, make_scene: Callable[..., Any]
) -> None:
    images = make_scene(64, 64, (16, 24, 16, 20))
    (first,) = model.detect(images, [NEW])
    for application in ("reasoner", "mask-decoder"):
        wire.replicas[application][0].held.clear()
    (again,) = model.detect(images, [NEW])
    assert again.change_map.tobytes() == first.change_map.tobytes()
    assert wire.digests("Reason") == [False, True, False]
    assert wire.digests("Decode") == [False, True, False]


def test_replicas_that_do_not_share_features_cost_no_answer(
    wire: Wire, model: RemoteModel, reasoner: Any, make_scene: Callable[..., Any]
) -> None:
    """Each replica forgets at once, so that every digest is a miss."""
    wire.replicas["reasoner"] = [Replica(reasoner), Replica(reasoner)]
    images = make_scene(64, 64, (16, 24, 16, 20))
    for _ in range(2 * WINDOW):
        (found,) = model.detect(images, [NEW])
        assert found.change_map.any()
        for replica in wire.replicas["reasoner"]:
            replica.held.clear()
    digests = wire.digests("Reason")
    assert sum(digests) == WINDOW
    assert not any(digests[-WINDOW:])
