"""The options of a server, which `serve` and `up` share."""

from pathlib import Path
from typing import Annotated, Any

import typer

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def option(*flags: str, panel: str, metavar: str, text: str) -> Any:
    """An option that the environment can give too: `--grpc-port` as REASONCD_GRPC_PORT."""
    variable = "REASONCD_" + flags[0].removeprefix("--").replace("-", "_").upper()
    return typer.Option(*flags, metavar=metavar, envvar=variable, rich_help_panel=panel, help=text)


MODEL, _DOORS, _CALLERS, _BOUNDS = "The model", "Doors", "Who may ask", "Bounds"
_JOBS = "Whole scenes"

HostOption = Annotated[
    str, option("--bind", "--host", panel=_DOORS, metavar="ADDRESS", text="Where to listen.")
]
GrpcPortOption = Annotated[
    int, option("--grpc-port", panel=_DOORS, metavar="P", text="Of gRPC; 0 for any that is free.")
]
HttpPortOption = Annotated[
    int, option("--http-port", panel=_DOORS, metavar="P", text="Of HTTP; 0 for any that is free.")
]
CertOption = Annotated[
    Path | None,
    option("--tls-cert", panel=_DOORS, metavar="FILE", text="PEM certificate, for both doors."),
]
KeyOption = Annotated[
    Path | None, option("--tls-key", panel=_DOORS, metavar="FILE", text="Its PEM key, without a password.")
]
ClientCaOption = Annotated[
    Path | None,
    option(
        "--tls-client-ca",
        panel=_CALLERS,
        metavar="FILE",
        text="Callers must have a certificate by it (mTLS).",
    ),
]
TokensOption = Annotated[
    Path | None, option("--tokens", panel=_CALLERS, metavar="FILE", text="TOML file of bearer tokens.")
]
RunningOption = Annotated[
    int, option("--running", panel=_BOUNDS, metavar="N", text="Requests in work at once.")
]
WaitingOption = Annotated[
    int,
    option("--waiting", panel=_BOUNDS, metavar="N", text="Requests held beyond those; more are refused."),
]
HeldOption = Annotated[
    int, option("--held-mib", panel=_BOUNDS, metavar="N", text="MiB of all requests that are held.")
]
KeptOption = Annotated[
    int,
    option(
        "--kept-mib",
        panel=_BOUNDS,
        metavar="N",
        text="MiB of decoded images that are kept for further questions; 0 for none.",
    ),
]
TimeoutOption = Annotated[
    float,
    option(
        "--request-timeout",
        panel=_BOUNDS,
        metavar="S",
        text="Deadline of a request that brings none, in seconds.",
    ),
]
GraceOption = Annotated[
    float,
    option(
        "--grace",
        panel=_BOUNDS,
        metavar="S",
        text="For requests in work after the signal to stop, in seconds.",
    ),
]
JobsFolderOption = Annotated[
    Path | None,
    option(
        "--jobs-folder",
        panel=_JOBS,
        metavar="DIR",
        text="Keeps jobs: uploads, finished tiles, results. One of the user's data folder, by the HTTP port, "
        "if not given.",
    ),
]
JobsDatabaseOption = Annotated[
    str | None,
    option(
        "--jobs-database",
        panel=_JOBS,
        metavar="URL",
        text="Lists jobs, as SQLAlchemy names it; a SQLite file in the folder if not given.",
    ),
]
ScenesRootOption = Annotated[
    Path | None,
    option("--scenes-root", panel=_JOBS, metavar="DIR", text="GeoTIFFs under it may be named by callers."),
]
JobsRunningOption = Annotated[
    int, option("--jobs-running", panel=_JOBS, metavar="N", text="Jobs in work at once; 0 takes none on.")
]
UploadOption = Annotated[
    int, option("--upload-mib", panel=_JOBS, metavar="N", text="MiB of one submission's files.")
]
LogLevelOption = Annotated[
    str,
    typer.Option(metavar="LEVEL", envvar="REASONCD_LOG_LEVEL", help=", ".join(LEVELS) + "."),
]
