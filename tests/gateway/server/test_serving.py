"""The server as a whole: health, reflection, its pages, ports, and an end without loss."""

import asyncio
import logging
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from numpy.typing import NDArray

from gateway.detection import Detection
from gateway.pipeline import Pipeline
from gateway.server.settings import ServerSettings
from reasoncd.errors import CheckpointError, InvalidInputError, ReasonCDError, UnavailableError
from reasoncd.ports import Description
from tests.gateway.server.bad_requests import GOOD, request
from tests.gateway.server.conftest import Held, channel_to, form, method_of, new_pipeline, served, until
from tests.gateway.server.error_table import assert_grpc, assert_http

pytestmark = pytest.mark.unit

SERVICE = "reasoncd.v1.ChangeDetection"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Sometimes:
    """A model that can be out of reach."""

    def __init__(self, inner: Pipeline) -> None:
        self._inner = inner
        self.error: ReasonCDError | None = None

    def describe(self) -> tuple[Description, Description, Description]:
        if self.error:
            raise self.error
        return self._inner.describe()

    def detect(self, images: NDArray[np.uint8], queries: Sequence[str], **told: Any) -> list[Detection]:
        return self._inner.detect(images, queries, **told)


def health(channel: grpc.Channel, service: str = SERVICE) -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    status: int = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30).status
    return status


def test_health_follows_the_model(pipeline: Pipeline) -> None:
    model = Sometimes(pipeline)
    model.error = UnavailableError("reasoner at nowhere:1 cannot be reached")
    with served(model) as running, channel_to(running.addresses.grpc) as channel:
        ready = running.addresses.http + "/readyz"
        until(lambda: "nowhere:1" in httpx.get(ready).text)
        assert health(channel) == health(channel, "") == NOT_SERVING
        assert_http("a service cannot be reached", httpx.get(ready))
        assert httpx.get(running.addresses.http + "/healthz").status_code == 200

        model.error = None
        until(lambda: health(channel) == SERVING)
        assert health(channel, "") == SERVING
        assert httpx.get(ready).text == "ok\n"

        model.error = CheckpointError("reasoner aa has seg_space x but mask_decoder bb has y")
        until(lambda: health(channel) == NOT_SERVING)
        assert_http("the services do not fit each other", httpx.get(ready))
        told = httpx.get(running.addresses.http + "/v1/describe")
        assert_http("the services do not fit each other", told)

        with pytest.raises(grpc.RpcError) as caught:
            health(channel, "some.Other")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_tells_the_contract(pipeline: Pipeline) -> None:
    with served(pipeline) as running, channel_to(running.addresses.grpc) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
        assert "reasoncd/v1/gateway.proto" in database.FindFileContainingSymbol(SERVICE).name


def test_running_requests_end_and_new_ones_are_refused_while_it_goes_down(held: Held) -> None:
    condition = "the gateway is going down"
    with served(held) as running, channel_to(running.addresses.grpc) as channel:
        until(lambda: health(channel) == SERVING)
        detect = method_of(channel)
        working = detect.future(request().SerializeToString(), timeout=60)
        assert held.began.acquire(timeout=30)
        draining = asyncio.run_coroutine_threadsafe(running.server.drain(), running.loop)
        until(lambda: health(channel) == NOT_SERVING)
        with pytest.raises(grpc.RpcError) as caught:
            detect(request().SerializeToString(), timeout=30)
        assert_grpc(condition, caught.value)
        for path in ("/v1/detect", "/v1/detect/stream"):
            refused = httpx.post(running.addresses.http + path, **form(GOOD))
            assert_http(condition, refused)
            assert refused.headers["retry-after"] == "1"
        assert_http(condition, httpx.get(running.addresses.http + "/readyz"))
        assert httpx.get(running.addresses.http + "/healthz").status_code == 200
        assert not draining.done()
        held.go.set()
        assert working.result()
        draining.result(30)


@pytest.mark.parametrize("hurried", [False, True])
def test_what_does_not_end_within_the_grace_is_given_up(held: Held, hurried: bool) -> None:
    with (
        served(held, grace_s=600.0 if hurried else 0.2) as running,
        channel_to(running.addresses.grpc) as channel,
    ):
        detect = method_of(channel)
        working = detect.future(request().SerializeToString(), timeout=60)
        assert held.began.acquire(timeout=30)
        draining = asyncio.run_coroutine_threadsafe(running.server.drain(), running.loop)
        if hurried:
            until(lambda: health(channel) == NOT_SERVING)
            running.loop.call_soon_threadsafe(running.server.hurry)
        draining.result(30)
        with pytest.raises(grpc.RpcError) as caught:
            working.result()
        # It was not the caller who gave up: it may ask another gateway.
        assert_grpc("the gateway is going down", caught.value)
        assert held.scopes[0].cancelled


def test_ports_that_are_taken_are_named(pipeline: Pipeline) -> None:
    with served(pipeline) as running:
        taken = {
            "grpc": int(running.addresses.grpc.rpartition(":")[2]),
            "http": int(running.addresses.http.rpartition(":")[2]),
        }
        for name, port in taken.items():
            with (
                pytest.raises(
                    UnavailableError, match=f"127.0.0.1:{port} cannot be listened on.*--{name}-port"
                ),
                served(pipeline, **{f"{name}_port": port}),
            ):
                pass


def test_everybody_may_ask_beyond_this_machine_only_with_a_warning(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    with served(pipeline):
        assert "everybody" not in caplog.text
    with caplog.at_level(logging.WARNING), served(pipeline, host="0.0.0.0") as running:
        assert "everybody who reaches 0.0.0.0 may ask" in caplog.text
        port = running.addresses.http.rpartition(":")[2]
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").text == "ok\n"


def test_the_page_needs_nothing_from_elsewhere(pipeline: Pipeline) -> None:
    with served(pipeline) as running, httpx.Client(base_url=running.addresses.http) as web:
        page = web.get("/docs")
        assert "script" not in page.text
        assert all(
            target.startswith("#") or target == "openapi.json"
            for target in re.findall(r'(?:src|href)="([^"]*)"', page.text)
        )
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        described = web.get("/openapi.json").json()
        for path, methods in described["paths"].items():
            for method in methods:
                assert f"{method.upper()} {path}" in page.text
        assert set(described["paths"]) >= {"/v1/detect", "/v1/detect/stream", "/v1/describe", "/readyz"}
        fields = described["paths"]["/v1/detect"]["post"]["requestBody"]["content"]["multipart/form-data"]
        assert set(fields["schema"]["properties"]) == {
            "t1", "t2", "query", "mode", "threshold", "meaning", "clicks", "with_probability", "map_format",
        }  # fmt: skip
        assert "content-security-policy" in web.get("/").headers or "make page" in web.get("/").text


def test_slow_readers_of_health_do_not_pile_up_looks() -> None:
    """Many who ask who answers, at a model that hangs, share one look."""
    go, looks = threading.Event(), []

    class Hanging(Sometimes):
        def describe(self) -> tuple[Description, Description, Description]:
            looks.append(1)
            go.wait(30)
            return super().describe()

    with (
        served(Hanging(new_pipeline()), look_s=60.0) as running,
        channel_to(running.addresses.grpc) as channel,
    ):
        until(lambda: len(looks) == 1)
        describe = method_of(channel, "Describe")
        calls = [describe.future(b"", timeout=60) for _ in range(20)]
        late = httpx.get(running.addresses.http + "/v1/describe", headers={"reasoncd-timeout-ms": "200"})
        assert late.status_code == 504
        go.set()
        assert all(call.result() for call in calls)
        assert len(looks) == 1


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"host": ""}, "--host is empty"),
        ({"grpc_port": 70000}, "--grpc-port is 70000; give 0 to 65535"),
        ({"http_port": -1}, "--http-port is -1"),
        ({"grpc_port": 9, "http_port": 9}, "are both 9"),
        ({"running": 0}, "--running is 0; give at least 1"),
        ({"waiting": -1}, "--waiting is -1"),
        ({"held_bytes": 0}, "--held-bytes is 0"),
        ({"request_timeout_s": 0.0}, "--request-timeout is 0.0"),
        ({"request_timeout_s": float("nan")}, "--request-timeout is nan"),
        ({"grace_s": -1.0}, "--grace is -1.0"),
        ({"grace_s": float("nan")}, "--grace is nan"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        ServerSettings(**settings)


def test_the_documented_bounds_are_the_defaults() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "gateway.md").read_text(encoding="utf-8")
    told = {name: int(value) for name, value in re.findall(r"^\| `--([a-z-]+)` \| (\d+) \|", page, re.M)}
    bounds = ServerSettings()
    assert told == {
        "running": bounds.running,
        "waiting": bounds.waiting,
        "held-mib": bounds.held_bytes // 2**20,
        "kept-mib": bounds.kept_bytes // 2**20,
        "request-timeout": bounds.request_timeout_s,
    }
    assert f"at most {bounds.message_bytes // 2**20} MiB, one image {bounds.image_bytes // 2**20} MiB" in page
    assert f"has to arrive within {bounds.receive_timeout_s:g} s" in page
    assert f"`--grace` seconds, {bounds.grace_s:g} if not said" in page


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("10.0.0.1", False), ("gateway.internal", False)],
)  # fmt: skip
def test_loopback(host: str, loopback: bool) -> None:
    assert ServerSettings(host=host).loopback is loopback
