"""What a serving gateway is told: where to listen, how much to take on, and who may ask."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from gateway.jobs.settings import JobSettings
from gateway.server.tls import ServerTls
from reasoncd.errors import InvalidInputError
from reasoncd.rpc.channel import MESSAGE_BYTES


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """Settings of one gateway process; `reasoncd serve --help` names the options and environment variables.

    Memory that requests take at most: `held_bytes`, `receiving` messages that are on their way, the
    pixels and maps of `running` requests, and `kept_bytes`.

    Raises:
        InvalidInputError: a value is out of its range; the sentence names the option.
    """

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` or `::` for all."""
    grpc_port: int = 50051
    """0 for any that is free."""
    http_port: int = 8080
    """0 for any that is free."""
    running: int = 4
    """Requests in work at once."""
    waiting: int = 16
    """Requests held beyond those; more are refused."""
    held_bytes: int = 512 * 2**20
    """Bytes of all requests that are held."""
    receiving: int = 4
    """gRPC messages that are received at once: how large one is, is known when it is there."""
    decoding: int = 2
    """Threads that decode images."""
    kept_bytes: int = 96 * 2**20
    """Bytes of decoded images that are kept for further questions about them: one pair of the largest images;
    0 keeps none."""
    message_bytes: int = MESSAGE_BYTES
    """Bytes of one request, and of one gRPC response."""
    image_bytes: int = 64 * 2**20
    """Bytes of one image file."""
    request_timeout_s: float = 300.0
    """The longest that a request may take, in seconds; callers may set a nearer deadline."""
    receive_timeout_s: float = 60.0
    """Until a request must have arrived, in seconds."""
    look_s: float = 5.0
    """Between two looks whether the model answers, in seconds."""
    grace_s: float = 30.0
    """For running requests after the signal to stop, in seconds."""
    tokens: Path | None = None
    """TOML file of who may ask; None lets everybody."""
    tls: ServerTls | None = None
    """None for plain text."""
    jobs: JobSettings | None = None
    """None where no scenes are taken on."""

    def __post_init__(self) -> None:
        if not self.host:
            raise InvalidInputError("--host is empty; give an address, for example 127.0.0.1")
        for name in ("grpc_port", "http_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise _wrong(name, getattr(self, name), "0 to 65535")
        if self.grpc_port == self.http_port != 0:
            raise InvalidInputError(f"--grpc-port and --http-port are both {self.grpc_port}; give two ports")
        for name in ("running", "receiving", "decoding", "held_bytes", "message_bytes", "image_bytes"):
            if getattr(self, name) < 1:
                raise _wrong(name, getattr(self, name), "at least 1")
        for name in ("waiting", "kept_bytes"):
            if getattr(self, name) < 0:
                raise _wrong(name, getattr(self, name), "0 or more")
        for name in ("request_timeout_s", "receive_timeout_s", "look_s"):
            # Written so that NaN is refused too.
            if not getattr(self, name) > 0:
                raise _wrong(name.removesuffix("_s"), getattr(self, name), "a number of seconds above 0")
        if not self.grace_s >= 0:
            raise _wrong("grace", self.grace_s, "a number of seconds, 0 or more")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def _wrong(name: str, value: object, right: str) -> InvalidInputError:
    return InvalidInputError(f"--{name.replace('_', '-')} is {value}; give {right}")
