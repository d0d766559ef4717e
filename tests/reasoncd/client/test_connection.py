"""Addresses, tokens and TLS."""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from reasoncd.client import ReasonCDClient, Tls, token_from_file
from reasoncd.client.connection import Connection
from reasoncd.errors import InvalidInputError, NotFoundError, UnavailableError
from reasoncd.v1.gateway_pb2_grpc import add_ChangeDetectionServicer_to_server
from tests.reasoncd.client.scripted_gateway import ScriptedGateway

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("target", ["h:1", "10.0.0.1:65535", "[::1]:50051", "dns:///a.b:1", "unix:/a"])
def test_addresses(target: str) -> None:
    assert Connection(target=target).target == target


@pytest.mark.parametrize(
    "target",
    ["", "localhost", "localhost:", "localhost:0", "h:65536", "http://h:1", "a b:1", "::1:5", "h:1/x"],
)
def test_what_is_no_address(target: str) -> None:
    with pytest.raises(InvalidInputError, match="is no address; give HOST:PORT"):
        ReasonCDClient(target)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_leaves_time(timeout: float) -> None:
    with pytest.raises(InvalidInputError, match="timeout_s"):
        ReasonCDClient("h:1", timeout_s=timeout)


@pytest.mark.parametrize("token", ["", "a b", "a\n", "ä", "x" * 5000])
def test_a_token_is_one_word(token: str) -> None:
    with pytest.raises(InvalidInputError, match="token"):
        ReasonCDClient("h:1", token=token)


def test_secrets_stay_out_of_what_is_printed() -> None:
    tls = Tls(certificate=b"-----BEGIN CERTIFICATE", key=b"-----BEGIN PRIVATE KEY")
    assert "secret" not in repr(Connection(target="h:1", token="secret"))
    assert "PRIVATE" not in repr(Connection(target="h:1", tls=tls))


def test_a_token_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("\n s3cret \n")
    assert token_from_file(path) == "s3cret"
    for text in ("", "two words", "zwölf"):
        path.write_text(text)
        with pytest.raises(InvalidInputError, match="exactly one token"):
            token_from_file(path)
    with pytest.raises(NotFoundError, match="gone"):
        token_from_file(tmp_path / "gone")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        token_from_file(tmp_path)


def test_tls_files_are_checked(tmp_path: Path) -> None:
    pem = tmp_path / "pem"
    pem.write_text("-----BEGIN CERTIFICATE-----")
    other = tmp_path / "der"
    other.write_bytes(bytes(9))
    with pytest.raises(InvalidInputError, match="go together"):
        Tls.from_files(certificate=pem)
    with pytest.raises(InvalidInputError, match="TLS ca is not in PEM"):
        Tls.from_files(ca=other)
    with pytest.raises(NotFoundError, match="TLS key"):
        Tls.from_files(certificate=pem, key=tmp_path / "gone")


Certify = Callable[[str], tuple[Path, Path]]


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of a new authority; its key lies beside it."""
    folder = tmp_path_factory.mktemp("ca")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl(
        "req", "-x509", *curve, "-days", 2, "-subj", "/CN=test authority",
        "-keyout", folder / "ca.key", "-out", folder / "ca.pem",
    )  # fmt: skip
    return folder / "ca.pem"


@pytest.fixture(scope="module")
def certify(ca: Path) -> Certify:
    """A certificate and its key for a name, signed by the authority."""

    def certified(name: str) -> tuple[Path, Path]:
        certificate, key, request = (ca.parent / f"{name}.{end}" for end in ("pem", "key", "csr"))
        extensions = ca.parent / f"{name}.ext"
        extensions.write_text(f"subjectAltName=DNS:{name}")
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        _openssl("req", *curve, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        _openssl(
            "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca.with_suffix(".key"), "-CAcreateserial",
            "-days", 2, "-extfile", extensions, "-out", certificate,
        )  # fmt: skip
        return certificate, key

    return certified


@pytest.fixture(params=[False, True], ids=["tls", "mtls"])
def secured(
    request: pytest.FixtureRequest, gateway: ScriptedGateway, ca: Path, certify: Certify
) -> Iterator[tuple[str, bool]]:
    """The address of a gateway with a certificate for `gateway.test`, and whether it asks for one."""
    certificate, key = certify("gateway.test")
    mutual = bool(request.param)
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        root_certificates=ca.read_bytes() if mutual else None,
        require_client_auth=mutual,
    )
    server = grpc.server(ThreadPoolExecutor(2))
    add_ChangeDetectionServicer_to_server(gateway, server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield f"127.0.0.1:{port}", mutual
    server.stop(None).wait()


def test_tls_and_mtls(secured: tuple[str, bool], ca: Path, certify: Certify) -> None:
    target, mutual = secured
    certificate, key = certify("caller.test")
    whole = Tls.from_files(ca=ca, certificate=certificate, key=key, server_name="gateway.test")
    with ReasonCDClient(target, tls=whole, token="secret") as client:
        assert client.describe().version == "9.9"
    anonymous = Tls.from_files(ca=ca, server_name="gateway.test")
    with ReasonCDClient(target, tls=anonymous) as client:
        if mutual:
            with pytest.raises(UnavailableError):
                client.describe()
        else:
            assert client.describe().version == "9.9"
    for wrong in (Tls(server_name="gateway.test"), Tls.from_files(ca=ca), None):
        with ReasonCDClient(target, tls=wrong) as client, pytest.raises(UnavailableError):
            client.describe()
