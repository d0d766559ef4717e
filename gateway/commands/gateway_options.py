"""The options that name a running gateway: its address, how the channel is secured, and who asks."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reasoncd.errors import InvalidInputError

if TYPE_CHECKING:
    from reasoncd.client import ReasonCDClient

_PANEL = "Ask a running gateway"

GatewayOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", rich_help_panel=_PANEL, help="Have this gateway answer instead of this process."
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", rich_help_panel=_PANEL, help="Holds the token that the gateway asks for."),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", rich_help_panel=_PANEL, help="Give up after so long; 600 if not given."),
]
TlsOption = Annotated[
    bool,
    typer.Option(
        "--tls", rich_help_panel=_PANEL, help="Secure the channel; the options below do so by themselves."
    ),
]
TlsCaOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PEM", rich_help_panel=_PANEL, help="Who signed its certificate, if no well-known authority."
    ),
]
TlsCertOption = Annotated[
    Path | None,
    typer.Option(metavar="PEM", rich_help_panel=_PANEL, help="Your certificate, for a gateway that asks."),
]
TlsKeyOption = Annotated[Path | None, typer.Option(metavar="PEM", rich_help_panel=_PANEL, help="Its key.")]
TlsNameOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", rich_help_panel=_PANEL, help="The name in the gateway's certificate, if not HOST."
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayOptions:
    """What was given on the command line."""

    gateway: str | None
    token_file: Path | None
    timeout: float | None
    tls: bool
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    tls_name: str | None

    def open(self, checkpoint: Path | None) -> "ReasonCDClient | None":
        """A client of the gateway, not yet connected; None where none was named.

        Args:
            checkpoint: named for this process, which a gateway has no use for.

        Raises:
            InvalidInputError, NotFoundError: an option cannot be used as given, or without --gateway.
        """
        if self.gateway is not None and checkpoint is not None:
            raise InvalidInputError("--checkpoint and --gateway exclude each other; the gateway has its own")
        if self.gateway is None:
            for name in ("token_file", "timeout", "tls", "tls_ca", "tls_cert", "tls_key", "tls_name"):
                if getattr(self, name) not in (None, False):
                    option = "--" + name.replace("_", "-")
                    raise InvalidInputError(f"{option} is for asking a gateway; name it with --gateway")
            return None
        try:
            from reasoncd.client import ReasonCDClient, Tls, token_from_file
            from reasoncd.client.connection import TIMEOUT_S
        except ImportError as error:
            raise InvalidInputError(
                f"--gateway needs the package {error.name}, which is not installed; install reasoncd[rpc]"
            ) from error
        secured = self.tls or any((self.tls_ca, self.tls_cert, self.tls_key, self.tls_name))
        tls = Tls.from_files(
            ca=self.tls_ca, certificate=self.tls_cert, key=self.tls_key, server_name=self.tls_name
        )
        return ReasonCDClient(
            self.gateway,
            tls=tls if secured else None,
            token=token_from_file(self.token_file) if self.token_file else None,
            timeout_s=TIMEOUT_S if self.timeout is None else self.timeout,
            wait_when_busy=True,
        )
