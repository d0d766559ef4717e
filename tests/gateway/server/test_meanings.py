"""Meanings and clicks at both doors."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from reasoncd.client import Click, Detected, Meaning, ReasonCDClient
from reasoncd.v1 import gateway_pb2 as pb
from tests.gateway.server.bad_requests import GOOD, request
from tests.gateway.server.conftest import Served, channel_to, form, method_of, new_pipeline, scene, served
from tests.gateway.server.error_table import assert_grpc, assert_http

pytestmark = pytest.mark.unit

MEANING = "a meaning cannot be read, or is another model's"
CLICK = "a click cannot be read, lies beside the images, or there is not one map to correct"
IMAGES = scene(80, 112)
QUESTION = "new buildings"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(new_pipeline()) as running:
        yield running


def post(server: Served, *queries: str, path: str = "/v1/detect", **fields: Any) -> httpx.Response:
    return httpx.post(server.addresses.http + path, **form(IMAGES, *queries, **fields), timeout=60)


def test_an_answers_meaning_asks_the_same_again_at_both_doors(server: Served) -> None:
    (first,) = post(server, QUESTION, map_format="none").json()["detections"]
    # The question's words do not matter then: what it meant is sent along.
    (again,) = post(server, "the same", map_format="none", meaning=first["meaning"]).json()["detections"]
    assert (again["answer"], again["polygons"]["features"][0]["geometry"]) == (
        first["answer"],
        first["polygons"]["features"][0]["geometry"],
    )
    assert again["meaning"] == first["meaning"]
    streamed = post(server, QUESTION, path="/v1/detect/stream", meaning=first["meaning"])
    assert "event: text" not in streamed.text
    with ReasonCDClient(server.addresses.grpc) as client:
        (found,) = client.detect(*IMAGES, QUESTION)
        assert isinstance(found.meaning, Meaning)
        clicks = [Click(x=100.5, y=70, changed=True)]
        (more,) = client.detect(*IMAGES, QUESTION, meanings=[found.meaning], clicks=clicks)
        assert more.answer == found.answer
        events = list(client.detect_stream(*IMAGES, QUESTION, meanings=[found.meaning], clicks=clicks))
    (detected,) = [event for event in events if isinstance(event, Detected)]
    np.testing.assert_array_equal(detected.detection.change_map, more.change_map)
    text = json.dumps([{"x": 100.5, "y": 70, "changed": True}])
    response = post(server, QUESTION, clicks=text, meaning=first["meaning"])
    assert response.json()["detections"][0]["changed_fraction"] == more.changed_fraction


@pytest.mark.parametrize("meaning", ["nonsense!", "", "aaaa", "é"])
def test_meanings_that_cannot_be_read(server: Served, meaning: str) -> None:
    assert_http(MEANING, post(server, QUESTION, meaning=meaning))


CLICKS = [
    "near the river",
    "{}",
    "[1]",
    '[{"x": 1, "y": 2}]',
    '[{"x": 1, "y": 2, "changed": 1}]',
    '[{"x": true, "y": 2, "changed": true}]',
    '[{"x": 1, "y": 2, "changed": true, "z": 3}]',
    '[{"x": NaN, "y": 2, "changed": true}]',
    '[{"x": 1e400, "y": 2, "changed": true}]',
    '[{"x": 1' + "0" * 400 + ', "y": 2, "changed": true}]',
    '[{"x": 112, "y": 2, "changed": true}]',
    json.dumps([{"x": 1, "y": 2, "changed": True}] * 33),
    "[" * 50_000,
]


@pytest.mark.parametrize("clicks", CLICKS, ids=lambda text: text[:30])
def test_clicks_that_cannot_be_made(server: Served, clicks: str) -> None:
    assert_http(CLICK, post(server, QUESTION, clicks=clicks))


def test_what_cannot_be_used_over_grpc(server: Served) -> None:
    seg = {"dtype": 2, "shape": [2], "data": bytes(8)}
    other = pb.Meaning(seg_embedding=seg, seg_probability=0.5, fingerprint="ab", seg_space="other")
    cases: list[tuple[str, dict[str, Any]]] = [
        (MEANING, {"meanings": [other]}),
        (MEANING, {"meanings": [pb.Meaning()]}),
        (MEANING, {"meanings": [pb.Meaning(seg_embedding=dict(seg, shape=[3]), fingerprint="a")]}),
        (MEANING, {"meanings": [pb.Meaning(seg_probability=7, fingerprint="a", seg_space="space")]}),
        (CLICK, {"clicks": [pb.Click(x=-1)]}),
        (CLICK, {"clicks": [pb.Click(x=float("nan"))]}),
        (CLICK, {"clicks": [pb.Click()], "queries": ["new", "lost"]}),
        (CLICK, {"clicks": [pb.Click()], "queries": ["weather"]}),
    ]
    with channel_to(server.addresses.grpc) as channel:
        for condition, fields in cases:
            with pytest.raises(grpc.RpcError) as caught:
                method_of(channel)(request(**fields).SerializeToString(), timeout=30)
            assert_grpc(condition, caught.value)
        assert method_of(channel)(request(image_t1=GOOD[0]).SerializeToString(), timeout=30)
