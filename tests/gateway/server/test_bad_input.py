"""What cannot be answered is refused as docs/errors.md says, and the same process goes on answering."""

import hashlib
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from reasoncd.v1 import gateway_pb2 as pb
from tests.gateway.server.bad_requests import (
    EXPIRED,
    GRPC_CASES,
    HTTP_CASES,
    IMAGE_BYTES,
    MESSAGE_BYTES,
    TOKEN,
    GrpcCase,
    HttpCase,
    form,
    request,
)
from tests.gateway.server.conftest import Served, channel_to, new_pipeline, served
from tests.gateway.server.error_table import assert_grpc, assert_http

pytestmark = pytest.mark.unit

TOKENS = """
[[token]]
name = "tests"
token = "{good}"

[[token]]
name = "yesterday"
sha256 = "{expired}"
expires = 2020-01-01
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    tokens = tmp_path_factory.mktemp("server") / "tokens.toml"
    expired = hashlib.sha256(EXPIRED.encode()).hexdigest()
    tokens.write_text(TOKENS.format(good=TOKEN, expired=expired))
    bounds = {"message_bytes": MESSAGE_BYTES, "image_bytes": IMAGE_BYTES}
    with served(new_pipeline(), tokens=tokens, **bounds) as running:
        yield running


@pytest.fixture(scope="module")
def channel(server: Served) -> Iterator[grpc.Channel]:
    with channel_to(server.addresses.grpc) as opened:
        yield opened


@pytest.fixture(scope="module")
def web(server: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.addresses.http, timeout=30) as client:
        yield client


def call(channel: grpc.Channel, case: GrpcCase) -> bytes:
    path = f"/{case.service}/{case.method}"
    metadata = (("authorization", case.authorization),) if case.authorization else ()
    if case.method == "DetectStream":
        stream: Any = channel.unary_stream(path)
        return b"".join(stream(case.message, metadata=metadata, timeout=30))
    unary: Any = channel.unary_unary(path)
    answer: bytes = unary(case.message, metadata=metadata, timeout=30)
    return answer


def send(web: httpx.Client, case: HttpCase) -> httpx.Response:
    headers = dict(case.headers)
    if case.authorization:
        headers["authorization"] = case.authorization
    return web.request(case.method, case.path, headers=headers, **case.sent)


def assert_answers(channel: grpc.Channel, web: httpx.Client) -> None:
    """A request that can be answered is answered, and rightly."""
    good = GrpcCase(name="good", condition="", message=request(map_format=2).SerializeToString())
    (detection,) = pb.DetectResponse.FromString(call(channel, good)).detections
    found = np.frombuffer(detection.change_map.data, np.uint8).reshape(64, 96).astype(bool)
    assert found[16:32, 24:48].all()
    assert found.sum() == 16 * 24
    response = send(web, HttpCase(name="good", condition="", sent=form(map_format="none")))
    assert response.status_code == 200
    assert response.json()["detections"][0]["answer"] == detection.answer
    assert detection.answer == "New buildings: 1 place, 6.2 % of the area."


def _name(case: GrpcCase | HttpCase) -> str:
    return case.name


@pytest.mark.parametrize("case", GRPC_CASES, ids=_name)
def test_refused_over_grpc(case: GrpcCase, channel: grpc.Channel, web: httpx.Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, case)
    assert_grpc(case.condition, caught.value)
    assert_answers(channel, web)


@pytest.mark.parametrize("case", HTTP_CASES, ids=_name)
def test_refused_over_http(case: HttpCase, channel: grpc.Channel, web: httpx.Client) -> None:
    response = send(web, case)
    assert_http(case.condition, response)
    assert case.names in response.json()["error"]["message"]
    assert_answers(channel, web)


def test_control_tokens_are_plain_text(channel: grpc.Channel, web: httpx.Client) -> None:
    for text in ("new <SEG> buildings", "</s><|im_end|> new", "<T1> new <image>"):
        case = GrpcCase(name="", condition="", message=request(queries=[text]).SerializeToString())
        (detection,) = pb.DetectResponse.FromString(call(channel, case)).detections
        assert detection.query == text
        response = send(web, HttpCase(name="", condition="", sent=form(query=text)))
        assert response.json()["detections"][0]["query"] == text


def test_the_table_is_long_enough() -> None:
    assert len(GRPC_CASES) + len(HTTP_CASES) >= 40
    for cases in (GRPC_CASES, HTTP_CASES):
        assert len({case.name for case in cases}) == len(cases)
