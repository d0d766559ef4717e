"""Where the gateway is and how it is reached: address, TLS, token, deadline."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from reasoncd.errors import InvalidInputError, NotFoundError
from reasoncd.rpc.channel import MESSAGE_OPTIONS

TIMEOUT_S = 600.0
"""Until a call is given up, if nothing else is said: large images take minutes on a CPU."""

_HOST_PORT = re.compile(r"(?:[^\s/:\[\]]+|\[[0-9A-Fa-f:.%\w]+\]):([0-9]{1,5})")
_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "xds:")
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")

_RECONNECT = (
    # A call that is tried again is to find a new connection, not to wait out gRPC's one second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """What secures the channel; certificates and keys in PEM.

    Raises:
        InvalidInputError: a certificate without its key or the other way round, or a text that is no PEM.
    """

    ca: bytes | None = None
    """Who may have signed the gateway's certificate; the roots that gRPC brings if not given."""
    certificate: bytes | None = None
    """The caller's own, for a gateway that asks for one (mTLS)."""
    key: bytes | None = field(default=None, repr=False)
    """Of `certificate`."""
    server_name: str | None = None
    """The name in the gateway's certificate, where it is not the one in the address."""

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
        texts = {name: _read(path, f"TLS {name}") for name, path in given.items() if path is not None}
        return cls(server_name=server_name, **texts)

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC takes."""
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """How one gateway is reached.

    Raises:
        InvalidInputError: the target is no address, the token no token, or the timeout not positive.
    """

    target: str
    """HOST:PORT of the gateway's gRPC port, or a gRPC name such as `dns:///gateway:50051`."""
    tls: Tls | None = None
    """None for a channel in the clear."""
    token: str | None = field(default=None, repr=False)
    """Says who asks; see `docs/contract.md`."""
    timeout_s: float | None = TIMEOUT_S
    """Until a call is given up; None for never."""
    wait_when_busy: bool = False
    """Whether a call that a full gateway refuses is tried again within its timeout."""

    def __post_init__(self) -> None:
        if not self.target.startswith(_SCHEMES):
            match = _HOST_PORT.fullmatch(self.target)
            if match is None or not 0 < int(match[1]) < 65536:
                raise InvalidInputError(
                    f"gateway {self.target!r} is no address; give HOST:PORT of its gRPC port"
                )
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise InvalidInputError(
                "the token is empty, too long or holds spaces; give the one that the gateway knows"
            )
        check_timeout(self.timeout_s)

    @property
    def options(self) -> list[tuple[str, str | int]]:
        """Of the channel."""
        named = self.tls.server_name if self.tls else None
        override = [("grpc.ssl_target_name_override", named)] if named else []
        return [*MESSAGE_OPTIONS, *_RECONNECT, *override]

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every request."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()


def check_timeout(timeout_s: float | None) -> None:
    """Refuse a timeout that leaves no time.

    Raises:
        InvalidInputError: it is not above 0.
    """
    if timeout_s is not None and not timeout_s > 0:
        raise InvalidInputError(f"timeout_s is {timeout_s}; give a number of seconds above 0")


def token_from_file(path: Path) -> str:
    """The token that a file holds, space about it left out.

    Raises:
        NotFoundError, InvalidInputError: the file is not there, cannot be read, or holds no one line of text.
    """
    text = _read(path, "token file").strip()
    if not text or not text.isascii() or len(text.split()) != 1:
        raise InvalidInputError(f"token file {path} does not hold exactly one token; write one line")
    return text.decode("ascii")


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{what} {path} does not exist; check the path") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the path is not valid"
        raise InvalidInputError(f"{what} {path} cannot be read ({reason}); check the path") from error
