"""TLS for both ports: the server's certificate, and where asked for the callers' (mTLS)."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from reasoncd.errors import InvalidInputError, NotFoundError


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerTls:
    """PEM files of one server."""

    certificate: Path
    """The server's, with the chain up to whom callers trust."""
    key: Path
    """Of the certificate, without a password."""
    client_ca: Path | None = None
    """Who may have signed a caller's certificate; callers without one are turned away. None asks for none."""

    def for_grpc(self) -> grpc.ServerCredentials:
        """What the gRPC port takes.

        Raises:
            NotFoundError, InvalidInputError: as `for_http`.
        """
        # gRPC notices unusable files at the first handshake only; OpenSSL tells now.
        self.for_http()
        ca = None if self.client_ca is None else _read(self.client_ca, "tls-client-ca")
        chain = [(_read(self.key, "tls-key"), _read(self.certificate, "tls-cert"))]
        return grpc.ssl_server_credentials(chain, root_certificates=ca, require_client_auth=ca is not None)

    def for_http(self) -> ssl.SSLContext:
        """What the HTTP port takes.

        Raises:
            NotFoundError: a file is not there or cannot be read.
            InvalidInputError: a file holds no certificate or key, or the two do not belong together.
        """
        for path, name in ((self.certificate, "tls-cert"), (self.key, "tls-key")):
            _read(path, name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # A password would be asked for on the terminal; an empty one makes it an error.
            context.load_cert_chain(self.certificate, self.key, password=lambda: "")
        except (ssl.SSLError, ValueError) as error:
            raise InvalidInputError(
                f"tls-cert {self.certificate} and tls-key {self.key} cannot be used ({_reason(error)}); "
                "give a PEM certificate and its own key without a password"
            ) from None
        if self.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(cadata=_read(self.client_ca, "tls-client-ca").decode("ascii"))
            except (ssl.SSLError, ValueError) as error:
                raise InvalidInputError(
                    f"tls-client-ca {self.client_ca} cannot be used ({_reason(error)}); give PEM certificates"
                ) from None
        return context


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"{name} {path} cannot be read ({error.strerror}); check the path") from None


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return (reason or "not PEM").replace("_", " ").lower()
