"""docs/errors.md against the code: each row is provoked by a test, and says what the code does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gateway.detection import Detection
from gateway.pipeline import Pipeline
from gateway.server import errors
from reasoncd.errors import (
    CheckpointError,
    Code,
    CorruptDataError,
    InvalidInputError,
    NotFoundError,
    OutputError,
    OverloadedError,
    ReasonCDError,
    UnavailableError,
    UnimplementedError,
)
from reasoncd.ports import Description
from reasoncd.v1 import gateway_pb2 as pb
from tests.gateway.server.bad_requests import GOOD, encoded, request
from tests.gateway.server.conftest import channel_to, form, method_of, served
from tests.gateway.server.error_table import ROWS, assert_grpc, assert_http

pytestmark = pytest.mark.unit


def test_each_code_has_a_row_and_its_status() -> None:
    assert {row.grpc for row in ROWS.values()} - {None} == {code.value for code in Code}
    own = {*errors.OWN_STATUS.values()}
    for row in ROWS.values():
        if row.grpc and row.http and row.http not in own:
            assert errors.HTTP_STATUS[Code(row.grpc)] == row.http, row.condition
    assert errors.HTTP_STATUS.keys() == set(Code)


def test_each_row_is_provoked() -> None:
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py")]
    unseen = [row.condition for row in ROWS.values() if not any(row.condition in text for text in texts)]
    assert unseen == []


class Failing:
    """Fails with an error, which only comes up inside."""

    def __init__(self, inner: Pipeline) -> None:
        self._inner = inner
        self.error: Exception = RuntimeError("unset")

    def describe(self) -> tuple[Description, Description, Description]:
        return self._inner.describe()

    def detect(self, images: NDArray[np.uint8], queries: Sequence[str], **told: Any) -> list[Detection]:
        raise self.error


FAILURES: list[tuple[str, Exception]] = [
    (
        "a meaning holds numbers that are too large to compute with",
        InvalidInputError("seg_embeddings hold numbers that are too large to compute with"),
    ),
    ("a service has no room", OverloadedError("the reasoner's queue is full; ask later", retry_after_s=2.5)),
    ("a service cannot be reached", UnavailableError("reasoner at 127.0.0.1:9 cannot be reached")),
    ("the services do not fit each other", CheckpointError("reasoner aa has seg_space x but decoder bb y")),
    ("a service lacks a file", NotFoundError("there is no such base model")),
    ("a service's file is damaged", CorruptDataError("the weights were altered")),
    ("a service may not use a file", OutputError("the folder is read-only")),
    ("a service does not know the call", UnimplementedError("Decode is not known there; upgrade it")),
    ("a fault of ReasonCD", RuntimeError("secret of the inside")),
    ("a fault of ReasonCD", KeyError("/srv/secret.py")),
]


@pytest.mark.parametrize(("condition", "error"), FAILURES)
def test_failures_of_the_model(pipeline: Pipeline, condition: str, error: Exception) -> None:
    model = Failing(pipeline)
    model.error = error
    with served(model) as running, channel_to(running.addresses.grpc) as channel:
        calls = (
            method_of(channel).future(request().SerializeToString(), timeout=30).result,
            method_of(channel, "DetectStream", streams=True)(
                pb.DetectStreamRequest(detect=request()).SerializeToString(), timeout=30
            ).__next__,
        )
        for call in calls:
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert_grpc(condition, caught.value)
            assert "secret" not in str(caught.value.details())
        for path in ("/v1/detect", "/v1/detect/stream"):
            response = httpx.post(running.addresses.http + path, **form(GOOD))
            assert_http(condition, response)
            assert "secret" not in response.text
            if isinstance(error, ReasonCDError):
                assert response.json()["error"]["message"] == error.message


def test_too_many_questions_about_a_large_image(pipeline: Pipeline) -> None:
    condition = "too many questions about so large an image"
    image = encoded(Image.new("RGB", (4096, 4096)), "JPEG")
    with served(pipeline) as running, channel_to(running.addresses.grpc) as channel:
        asked = request(image_t1=image, image_t2=image, queries=["new"] * 9).SerializeToString()
        with pytest.raises(grpc.RpcError) as caught:
            method_of(channel)(asked, timeout=60)
        assert_grpc(condition, caught.value)
        response = httpx.post(
            running.addresses.http + "/v1/detect", **form((image, image), *["new"] * 9), timeout=60
        )
        assert_http(condition, response)


def test_an_answer_too_large_for_a_message(pipeline: Pipeline) -> None:
    with served(pipeline, message_bytes=40_000) as running, channel_to(running.addresses.grpc) as channel:
        asked = request(queries=["new"] * 2, with_probability=True)
        with pytest.raises(grpc.RpcError) as caught:
            method_of(channel)(asked.SerializeToString(), timeout=30)
        assert_grpc("the answer is too large for one message", caught.value)
