"""TLS and mTLS on both doors, with certificates made here."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.pipeline import Pipeline
from gateway.server.tls import ServerTls
from reasoncd.client import ReasonCDClient, Tls
from reasoncd.errors import InvalidInputError, NotFoundError, UnavailableError
from tests.gateway.server.conftest import served

pytestmark = pytest.mark.unit


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = (
            self._begin(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _begin(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
        )

    def pair(self, name: str, password: bytes | None = None) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            self._begin(subject, key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        made = Pair(certificate=self._folder / f"{name}.crt", key=self._folder / f"{name}.key")
        made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        encryption: serialization.KeySerializationEncryption = (
            serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        )
        form = serialization.PrivateFormat.PKCS8
        made.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
        return made


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("strangers"), "strangers")


def describe(target: str, tls: Tls | None) -> int:
    with ReasonCDClient(target, tls=tls, timeout_s=20) as client:
        return len(client.describe().components)


def ready(url: str, authority: Authority, pair: Pair | None = None) -> str:
    context = ssl.create_default_context(cafile=str(authority.path))
    if pair:
        context.load_cert_chain(pair.certificate, pair.key)
    return httpx.get(f"{url}/healthz", verify=context).text


def test_tls(pipeline: Pipeline, ours: Authority, strangers: Authority) -> None:
    server = ours.pair("server")
    tls = ServerTls(certificate=server.certificate, key=server.key)
    with served(pipeline, tls=tls) as running:
        target, url = running.addresses.grpc, running.addresses.http
        assert url.startswith("https://")
        assert describe(target, Tls.from_files(ca=ours.path)) == 3
        assert ready(url, ours) == "ok\n"
        for wrong in (None, Tls.from_files(ca=strangers.path)):
            with pytest.raises(UnavailableError):
                describe(target, wrong)
        with pytest.raises(httpx.ConnectError):
            ready(url, strangers)
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(url.replace("https", "http") + "/healthz")


def test_mutual_tls(pipeline: Pipeline, ours: Authority, strangers: Authority) -> None:
    server, client, stranger = ours.pair("server"), ours.pair("client"), strangers.pair("client")
    tls = ServerTls(certificate=server.certificate, key=server.key, client_ca=ours.path)
    with served(pipeline, tls=tls) as running:
        target, url = running.addresses.grpc, running.addresses.http
        known = Tls.from_files(ca=ours.path, certificate=client.certificate, key=client.key)
        assert describe(target, known) == 3
        assert ready(url, ours, client) == "ok\n"
        unknown = Tls.from_files(ca=ours.path, certificate=stranger.certificate, key=stranger.key)
        for wrong in (Tls.from_files(ca=ours.path), unknown):
            with pytest.raises(UnavailableError):
                describe(target, wrong)
        for pair in (None, stranger):
            # Whether the alert or the closed connection is seen first is a race.
            with pytest.raises(httpx.TransportError):
                ready(url, ours, pair)


def test_files_that_cannot_be_used_are_refused_at_the_start(
    pipeline: Pipeline, ours: Authority, tmp_path: Path
) -> None:
    good, other, locked = ours.pair("good"), ours.pair("other"), ours.pair("locked", password=b"secret")
    text = tmp_path / "text"
    text.write_text("no certificate")
    refused: list[tuple[ServerTls, type[Exception], str]] = [
        (
            ServerTls(certificate=tmp_path / "gone", key=good.key),
            NotFoundError,
            "tls-cert .*gone cannot be read",
        ),
        (ServerTls(certificate=good.certificate, key=tmp_path / "gone"), NotFoundError, "tls-key"),
        (ServerTls(certificate=good.certificate, key=other.key), InvalidInputError, "mismatch"),
        (ServerTls(certificate=text, key=good.key), InvalidInputError, "tls-cert .*text"),
        (ServerTls(certificate=locked.certificate, key=locked.key), InvalidInputError, "without a password"),
        (
            ServerTls(certificate=good.certificate, key=good.key, client_ca=text),
            InvalidInputError,
            "tls-client-ca .*text",
        ),
        (
            ServerTls(certificate=good.certificate, key=good.key, client_ca=tmp_path / "gone"),
            NotFoundError,
            "tls-client-ca",
        ),
    ]
    for tls, kind, match in refused:
        with pytest.raises(kind, match=match), served(pipeline, tls=tls):
            pass
