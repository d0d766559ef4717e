"""Where the gateway is and how it is reached: address, TLS, token, deadline."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from reasoncd.errors import InvalidInputError
from reasoncd.rpc.channel import MESSAGE_OPTIONS
from reasoncd.rpc.tls import Tls, read_file

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
        return [*MESSAGE_OPTIONS, *_RECONNECT, *(self.tls.options if self.tls else ())]

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
    text = read_file(path, "token file").strip()
    if not text or not text.isascii() or len(text.split()) != 1:
        raise InvalidInputError(f"token file {path} does not hold exactly one token; write one line")
    return text.decode("ascii")
