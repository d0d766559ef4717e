"""From addresses to a model: waiting, and what is said where there is nothing to wait for."""

import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.remote import APPLICATIONS, Application, RemoteConfig, connect
from reasoncd.errors import CheckpointError, InvalidInputError, UnavailableError
from reasoncd.rpc.tls import Tls
from tests.gateway.remote.wire import Replica, Wire, edition, fails, hang, serving

pytestmark = pytest.mark.contract


@pytest.fixture
def nobody() -> Any:
    """An address that is taken but answers no one."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_a_connected_model_answers(wire: Wire, make_scene: Callable[..., Any]) -> None:
    with connect(RemoteConfig(target=wire.target)) as model:
        (found,) = model.detect(make_scene(64, 64, (16, 24, 16, 20)), ["new buildings"])
        assert found.fingerprints == model.fingerprints
        components = [description.component for description in model.describe()]
    assert components == ["vision_encoder", "reasoner", "mask_decoder"]


def test_services_may_come_later(wire: Wire) -> None:
    wire.script["Describe"] = [None, fails(grpc.StatusCode.NOT_FOUND), fails(grpc.StatusCode.UNAVAILABLE)]
    told: list[str] = []
    connect(RemoteConfig(target=wire.target), progress=told.append).close()
    assert told == [
        f"waiting: {wire.target} serves no sam-fpn-fusion; deploy it or check the address",
        f"waiting: clip cannot be reached at {wire.target}; see whether it runs",
    ]


def test_a_service_that_does_not_come_is_named(wire: Wire, nobody: str) -> None:
    config = RemoteConfig(target=wire.target, targets={"mask-decoder": nobody}, wait_s=0.5)
    with pytest.raises(UnavailableError, match=f"no answer within 0.5 s: mask-decoder cannot be .* {nobody}"):
        connect(config)


def test_a_hung_service_does_not_hold_up_for_ever(wire: Wire) -> None:
    released = threading.Event()
    wire.script["Describe"] = [lambda context: hang(released)]
    try:
        with pytest.raises(UnavailableError, match=r"no answer within 0\.5 s: clip did not answer"):
            connect(RemoteConfig(target=wire.target, wait_s=0.5))
    finally:
        released.set()


def test_services_that_do_not_fit_are_not_waited_for(wire: Wire, reasoner: Any) -> None:
    wire.replicas["reasoner"] = [Replica(edition(reasoner, "x", seg_space="elsewhere"))]
    with pytest.raises(CheckpointError, match="seg_space elsewhere"):
        connect(RemoteConfig(target=wire.target, wait_s=60))
    assert wire.count("Describe") == 4


def test_every_application_may_have_its_own_address(wire: Wire, nobody: str) -> None:
    apart: dict[Application, str] = dict.fromkeys(APPLICATIONS, wire.target)
    connect(RemoteConfig(targets=apart)).close()
    connect(RemoteConfig(target=nobody, targets=apart)).close()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({}, "the target of clip is ''; give HOST:PORT"),
        ({"target": "localhost"}, "the target of clip is 'localhost'"),
        ({"target": "a:1", "targets": {"reasoner": "b:x"}}, "the target of reasoner is 'b:x'"),
        ({"target": "a:1", "targets": {"llm": "b:1"}}, "targets names 'llm'; the applications are clip, "),
        ({"target": "a:1", "wait_s": 0}, "wait_s is 0; give a positive time"),
        ({"target": "a:1", "call_timeout_s": -1}, "call_timeout_s is -1"),
        ({"target": "a:1", "retry_ratio": 2.0}, "retry_ratio is 2.0"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        RemoteConfig(**settings)


@pytest.fixture
def identity(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for `services.test` that signs itself, and its key."""
    certificate, key = tmp_path / "services.pem", tmp_path / "services.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=services.test"),
            *("-addext", "subjectAltName=DNS:services.test", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_channels_may_be_encrypted_on_both_sides(
    wire: Wire, identity: tuple[Path, Path], make_scene: Callable[..., Any]
) -> None:
    certificate, key = identity
    pem = certificate.read_bytes()
    server = serving(wire)
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), pem)], root_certificates=pem, require_client_auth=True
    )
    target = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()
    try:
        mutual = Tls.from_files(ca=certificate, certificate=certificate, key=key, server_name="services.test")
        with connect(RemoteConfig(target=target, tls=mutual)) as model:
            assert model.detect(make_scene(64, 64), ["new buildings"])
        for tls in (None, Tls(server_name="services.test"), Tls(ca=pem, server_name="services.test")):
            with pytest.raises(UnavailableError, match="clip cannot be reached"):
                connect(RemoteConfig(target=target, tls=tls, wait_s=0.3))
    finally:
        server.stop(0).wait()
