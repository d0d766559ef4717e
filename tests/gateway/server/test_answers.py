"""Every way of asking gives the same answers: those of the pipeline."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from PIL import Image

from gateway.detection import Detection
from gateway.images import decode_image, pair_images
from gateway.pipeline import Pipeline
from gateway.server.http_models import DescribeModel, DetectionModel, DetectModel, ErrorBodyModel
from reasoncd.client import Detected, Progress, ReasonCDClient, Text
from reasoncd.ports import Mode
from reasoncd.rpc.meanings import meaning_from_proto, meaning_from_text
from reasoncd.v1 import gateway_pb2 as pb
from reasoncd.v1.gateway_pb2_grpc import ChangeDetectionStub
from tests.gateway.server.bad_requests import request
from tests.gateway.server.conftest import Served, channel_to, form, new_pipeline, scene, served

pytestmark = pytest.mark.unit

QUESTIONS = ["new buildings", "lost buildings", "how is the weather?"]
IMAGES = scene(80, 112)


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(new_pipeline()) as running:
        yield running


@pytest.fixture(scope="module")
def expected() -> list[Detection]:
    first, second = (decode_image(data, "image") for data in IMAGES)
    pair = pair_images(first, second, "a", "b")
    return new_pipeline().detect(pair.images, QUESTIONS, mode=Mode.EXPLAINED, threshold=0.4)


def post(server: Served, path: str = "/v1/detect", **fields: str) -> httpx.Response:
    fields = {"mode": "explained", "threshold": "0.4", **fields}
    return httpx.post(server.addresses.http + path, **form(IMAGES, *QUESTIONS, **fields), timeout=60)


def events_of(response: httpx.Response) -> list[tuple[str, Any]]:
    events = []
    for block in response.text.strip().split("\n\n"):
        name, data = block.split("\n")
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


def without_times(detection: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in detection.items() if name != "timings_s"}


def test_grpc_gives_the_pipelines_answers(server: Served, expected: list[Detection]) -> None:
    with ReasonCDClient(server.addresses.grpc) as client:
        found = client.detect(*IMAGES, QUESTIONS, mode="explained", threshold=0.4, with_probability=True)
    for one, other in zip(found, expected, strict=True):
        assert (one.query, one.answer, one.model_answer) == (other.query, other.answer, other.model_answer)
        assert (one.presence, one.confidence) == (other.presence, other.confidence)
        assert (one.threshold, one.presence_threshold) == (other.threshold, other.presence_threshold)
        assert one.changed_fraction == other.changed_fraction
        assert one.place_count == other.places.count
        assert len(one.polygons["features"]) == len(other.places.drawn)
        assert one.fingerprints == other.fingerprints
        assert one.timings_s.keys() == other.timings_s.keys()
        np.testing.assert_array_equal(one.change_map, other.change_map)
        assert one.probability is not None
        assert one.probability.tobytes() == other.probability.tobytes()


def test_a_grpc_stream_gives_the_same_in_order(server: Served, expected: list[Detection]) -> None:
    with ReasonCDClient(server.addresses.grpc) as client:
        events = list(client.detect_stream(*IMAGES, QUESTIONS, mode="explained", threshold=0.4))
    found = [event for event in events if isinstance(event, Detected)]
    assert [event.query for event in found] == [0, 1, 2]
    for event, other in zip(found, expected, strict=True):
        assert event.detection.answer == other.answer
        np.testing.assert_array_equal(event.detection.change_map, other.change_map)
    texts = ["".join(e.text for e in events if isinstance(e, Text) and e.query == n) for n in range(3)]
    assert texts == [other.model_answer for other in expected]
    stages = [event.stage for event in events if isinstance(event, Progress)]
    assert stages == sorted(stages, key=["encode", "reason", "decode"].index)


def test_http_says_what_grpc_says(server: Served) -> None:
    with channel_to(server.addresses.grpc) as channel:
        stub: Any = ChangeDetectionStub(channel)
        asked = request(
            image_t1=IMAGES[0],
            image_t2=IMAGES[1],
            queries=QUESTIONS,
            mode=2,
            threshold=0.4,
            with_probability=True,
            map_format=pb.MAP_FORMAT_TENSOR,
        )
        messages = stub.Detect(asked).detections
    response = post(server, with_probability="true", map_format="tensor")
    DetectModel.model_validate_json(response.text)
    detections = response.json()["detections"]
    names = {field.name for field in pb.Detection.DESCRIPTOR.fields} - {"polygons_geojson", "change_map_png"}
    for detection, message in zip(detections, messages, strict=True):
        assert detection.keys() == names | {"polygons"}
        for name in names - {
            "confidence",
            "change_map",
            "probability",
            "timings_s",
            "fingerprints",
            "meaning",
        }:
            assert detection[name] == getattr(message, name), name
        confidence = message.confidence if message.HasField("confidence") else None
        assert detection["confidence"] == confidence
        assert detection["fingerprints"] == dict(message.fingerprints)
        assert meaning_from_text(detection["meaning"]) == meaning_from_proto(message.meaning)
        assert detection["polygons"] == json.loads(message.polygons_geojson)
        for name, dtype in (("change_map", "uint8"), ("probability", "float32")):
            assert detection[name]["dtype"] == dtype
            assert detection[name]["shape"] == list(getattr(message, name).shape) == [80, 112]
            assert base64.b64decode(detection[name]["data"]) == getattr(message, name).data


def test_the_change_map_comes_as_png_unless_something_else_is_wanted(
    server: Served, expected: list[Detection]
) -> None:
    for detection, other in zip(post(server).json()["detections"], expected, strict=True):
        with Image.open(io.BytesIO(base64.b64decode(detection["change_map_png"]))) as picture:
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), other.change_map * np.uint8(255))
        assert "probability" not in detection
    for detection in post(server, map_format="none").json()["detections"]:
        assert not {"change_map", "change_map_png", "probability"} & detection.keys()


def test_server_sent_events_are_in_order_and_equal_the_whole_answer(server: Served) -> None:
    response = post(server, "/v1/detect/stream")
    assert response.headers["content-type"].startswith("text/event-stream")
    events = events_of(response)
    names = [name for name, _ in events]
    assert set(names) == {"progress", "text", "mask", "done"}
    assert names[-1] == "done"
    assert names.count("done") == 1
    assert events[-1][1] == {"detections": 3}
    masks = [value for name, value in events if name == "mask"]
    assert [mask["query"] for mask in masks] == [0, 1, 2]
    whole = post(server).json()["detections"]
    assert [without_times(mask["detection"]) for mask in masks] == [without_times(one) for one in whole]
    for mask in masks:
        DetectionModel.model_validate_json(json.dumps(mask["detection"]))
        text = "".join(
            value["text"] for name, value in events if name == "text" and value["query"] == mask["query"]
        )
        assert text == mask["detection"]["model_answer"]
        # A question's words come before its map.
        first_text = names.index("text")
        assert first_text < names.index("mask")


def test_both_doors_say_who_answers(server: Served) -> None:
    told = httpx.get(server.addresses.http + "/v1/describe")
    DescribeModel.model_validate_json(told.text)
    with ReasonCDClient(server.addresses.grpc) as client:
        described = client.describe()
    assert [part["fingerprint"] for part in told.json()["components"]] == [
        part.fingerprint for part in described.components
    ]
    limits = told.json()["limits"]
    assert limits == {name: getattr(described.limits, name) for name in limits}
    assert (limits["queries"], limits["image_side"], limits["requests"]) == (32, 4096, 4)


@pytest.mark.parametrize(("sent", "kept"), [("my-request_1.2", True), ("a b", False), ("x" * 65, False)])
def test_the_requests_id_comes_back(server: Served, sent: str, kept: bool) -> None:
    with channel_to(server.addresses.grpc) as channel:
        stub: Any = ChangeDetectionStub(channel)
        for asked in (request(), request(queries=[])):
            call = stub.Detect.future(asked, metadata=(("x-request-id", sent),))
            came = dict(call.initial_metadata())["x-request-id"]
            assert (came == sent) is kept
            assert len(came) == (len(sent) if kept else 32)
    for path in ("/v1/detect", "/healthz", "/nope"):
        response = httpx.get(server.addresses.http + path, headers={"x-request-id": sent})
        assert (response.headers["x-request-id"] == sent) is kept
        if response.status_code != 200:
            ErrorBodyModel.model_validate_json(response.text)
            assert response.json()["error"]["request_id"] == response.headers["x-request-id"]


def test_an_answer_may_be_asked_for_without_any_option(server: Served) -> None:
    with channel_to(server.addresses.grpc) as channel:
        stub: Any = ChangeDetectionStub(channel)
        (detection,) = stub.Detect(request()).detections
    assert detection.change_map_png.startswith(b"\x89PNG")
    assert not detection.HasField("probability")
    assert detection.threshold == 0.5


def test_calls_are_counted(server: Served, pipeline: Pipeline) -> None:
    def counts() -> dict[str, float]:
        text = httpx.get(server.addresses.http + "/metrics").text
        lines = [line for line in text.splitlines() if line.startswith("reasoncd_requests_total{")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    before = counts()
    post(server)
    post(server, threshold="7")
    httpx.get(server.addresses.http + "/somewhere/else")
    with channel_to(server.addresses.grpc) as channel:
        stub: Any = ChangeDetectionStub(channel)
        with pytest.raises(grpc.RpcError):
            stub.Detect(request(queries=[]))
    after = counts()
    grown = {name for name in after if after[name] != before.get(name, 0)}
    assert grown == {
        'reasoncd_requests_total{code="OK",method="POST /v1/detect",service="gateway"}',
        'reasoncd_requests_total{code="INVALID_ARGUMENT",method="POST /v1/detect",service="gateway"}',
        'reasoncd_requests_total{code="UNIMPLEMENTED",method="other",service="gateway"}',
        'reasoncd_requests_total{code="INVALID_ARGUMENT",method="Detect",service="gateway"}',
    }
