"""Corrections over the wire are those of the engines in this process."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.detection import Click
from gateway.pipeline import Pipeline
from gateway.remote import RemoteModel
from tests.gateway.clicked_decoder import ClickedDecoder
from tests.gateway.remote.wire import same

pytestmark = pytest.mark.contract

NEW = "new buildings"


@pytest.fixture
def decoder() -> ClickedDecoder:
    return ClickedDecoder()


def test_meanings_and_clicks_as_in_this_process(
    pipeline: Pipeline, model: RemoteModel, reasoner: Any, make_scene: Callable[..., Any]
) -> None:
    images = make_scene(64, 160, (16, 8, 16, 20))
    places = ((20.0, 50.0, True), (90.0, 10.0, True), (100.0, 12.0, False))
    clicks = [Click(x=x, y=y, changed=changed) for x, y, changed in places]
    (first,) = pipeline.detect(images, [NEW])
    expected = pipeline.detect(images, [NEW], meanings=[first.meaning], clicks=clicks)[0]
    assert same(model.detect(images, [NEW], clicks=clicks)[0], expected)
    reasoner.reason = None
    assert same(model.detect(images, [NEW], meanings=[first.meaning], clicks=clicks)[0], expected)
