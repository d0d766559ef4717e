"""The services behind a wire answer like the engines in this process."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.pipeline import Pipeline
from gateway.remote import RemoteModel
from reasoncd.ports import Mode
from tests.gateway.remote.wire import Wire, same

pytestmark = pytest.mark.contract

NEW, LOST, OFF_TOPIC = "new buildings", "lost buildings", "how is the weather?"


def test_text_is_asked_for_where_somebody_reads_along(
    make_model: Callable[..., RemoteModel], make_scene: Callable[..., Any], wire: Wire
) -> None:
    model, images = make_model(), make_scene(64, 64, (4, 4, 12, 12))
    model.detect(images, [NEW])
    assert wire.wholes
    assert all(wire.wholes)
    wire.wholes.clear()
    model.detect(images, [NEW], on_event=lambda event: None)
    assert wire.wholes
    assert not any(wire.wholes)


@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (16, 30), (150, 100), (64, 300)])
@pytest.mark.parametrize("queries", [[NEW], [OFF_TOPIC], [LOST, OFF_TOPIC, NEW]])
@pytest.mark.parametrize("mode", list(Mode))
def test_answers_are_those_of_the_engines_in_this_process(
    pipeline: Pipeline,
    make_model: Callable[..., RemoteModel],
    make_scene: Callable[..., Any],
    concurrent: bool,
    size: tuple[int, int],
    queries: list[str],
    mode: Mode,
) -> None:
    images = make_scene(*size, (4, 4, 12, 12))
    model = make_model(concurrent=concurrent)
    expected = pipeline.detect(images, queries, mode=mode)
    for _ in range(2):
        found = model.detect(images, queries, mode=mode)
        assert all(same(one, other) for one, other in zip(found, expected, strict=True))
