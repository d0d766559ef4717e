"""What secures a channel, out of files in PEM."""

from dataclasses import dataclass, field
from pathlib import Path

import grpc

from reasoncd.errors import InvalidInputError, NotFoundError


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """What secures the channel; certificates and keys in PEM.

    Raises:
        InvalidInputError: a certificate without its key or the other way round, or a text that is no PEM.
    """

    ca: bytes | None = None
    """Who may have signed the server's certificate; the roots that gRPC brings if not given."""
    certificate: bytes | None = None
    """The caller's own, for a server that asks for one (mTLS)."""
    key: bytes | None = field(default=None, repr=False)
    """Of `certificate`."""
    server_name: str | None = None
    """The name in the server's certificate, where it is not the one in the address."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise InvalidInputError("a client certificate and its key go together; give both or neither")
        for name in ("ca", "certificate", "key"):
            text = getattr(self, name)
            if text is not None and b"-----BEGIN " not in text:
                raise InvalidInputError(f"the TLS {name} is not in PEM; convert it with openssl")

    @classmethod
    def from_files(
        cls,
        *,
        ca: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        server_name: str | None = None,
    ) -> "Tls":
        """The same, out of PEM files.

        Raises:
            NotFoundError, InvalidInputError: a file is not there, cannot be read or is no PEM.
        """
        given = {"ca": ca, "certificate": certificate, "key": key}
        texts = {name: read_file(path, f"TLS {name}") for name, path in given.items() if path is not None}
        return cls(server_name=server_name, **texts)

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC takes."""
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """Of the channel."""
        return (("grpc.ssl_target_name_override", self.server_name),) if self.server_name else ()


def read_file(path: Path, what: str) -> bytes:
    """The bytes of a file that a connection needs.

    Args:
        path: of the file.
        what: it is, for the sentence.

    Raises:
        NotFoundError, InvalidInputError: it is not there or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{what} {path} does not exist; check the path") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the path is not valid"
        raise InvalidInputError(f"{what} {path} cannot be read ({reason}); check the path") from error
