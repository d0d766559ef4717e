"""`reasoncd serve`: the gateway as a server, over the services or over the engines in this process."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.job_settings import job_settings
from gateway.commands.serve_options import (
    LEVELS,
    MODEL,
    CertOption,
    ClientCaOption,
    GraceOption,
    GrpcPortOption,
    HeldOption,
    HostOption,
    HttpPortOption,
    JobsDatabaseOption,
    JobsFolderOption,
    JobsRunningOption,
    KeptOption,
    KeyOption,
    LogLevelOption,
    RunningOption,
    ScenesRootOption,
    TimeoutOption,
    TokensOption,
    UploadOption,
    WaitingOption,
    option,
)
from gateway.commands.terminal import one_sentence
from reasoncd.errors import InvalidInputError

if TYPE_CHECKING:
    from gateway.jobs.settings import JobSettings
    from gateway.remote import RemoteConfig
    from gateway.server.model import Model
    from gateway.server.serving import Addresses
    from gateway.server.settings import ServerSettings


def serve(
    services: Annotated[
        str | None,
        option("--services", panel=MODEL, metavar="HOST:PORT", text="Where the services are."),
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=HOST:PORT",
            rich_help_panel=MODEL,
            help="Where one is, if elsewhere: clip, sam-fpn-fusion, reasoner or mask-decoder.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=MODEL,
            help="Without services: loaded into this process; REASONCD_CHECKPOINT or checkpoints/mini if "
            "not given.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=MODEL, help="Without services: torch's threads."),
    ] = None,
    host: HostOption = "127.0.0.1",
    grpc_port: GrpcPortOption = 50051,
    http_port: HttpPortOption = 8080,
    tls_cert: CertOption = None,
    tls_key: KeyOption = None,
    tls_client_ca: ClientCaOption = None,
    tokens: TokensOption = None,
    running: RunningOption = 4,
    waiting: WaitingOption = 16,
    held_mib: HeldOption = 512,
    kept_mib: KeptOption = 96,
    request_timeout: TimeoutOption = 300.0,
    grace: GraceOption = 30.0,
    jobs_folder: JobsFolderOption = None,
    jobs_database: JobsDatabaseOption = None,
    scenes_root: ScenesRootOption = None,
    jobs_running: JobsRunningOption = 1,
    upload_mib: UploadOption = 4096,
    log_level: LogLevelOption = "INFO",
) -> None:
    """Answer over gRPC and HTTP until SIGTERM or Ctrl-C."""
    with one_sentence(), ExitStack() as stack:
        if (services or service) and (checkpoint is not None or threads is not None):
            raise InvalidInputError(
                "--checkpoint and --threads are for serving without services; leave them out"
            )
        settings = server_settings(
            host=host,
            grpc_port=grpc_port,
            http_port=http_port,
            running=running,
            waiting=waiting,
            held_mib=held_mib,
            kept_mib=kept_mib,
            request_timeout=request_timeout,
            grace=grace,
            tokens=tokens,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_client_ca=tls_client_ca,
            jobs=job_settings(
                folder=jobs_folder,
                database=jobs_database,
                scenes_root=scenes_root,
                running=jobs_running,
                upload_mib=upload_mib,
                http_port=http_port,
            ),
        )
        run(
            stack,
            settings,
            services=services,
            service=service or (),
            checkpoint=checkpoint,
            threads=threads,
            level=log_level,
        )


def server_settings(
    *,
    host: str,
    grpc_port: int,
    http_port: int,
    running: int,
    waiting: int,
    held_mib: int = 512,
    kept_mib: int = 96,
    request_timeout: float,
    grace: float,
    tokens: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    jobs: "JobSettings | None" = None,
) -> "ServerSettings":
    """The options of a server as its settings.

    Raises:
        InvalidInputError: an option is out of its range or lacks its partner, or a package is missing.
    """
    try:
        from gateway.server import serving as _  # noqa: F401 - with all that it needs
        from gateway.server.settings import ServerSettings
        from gateway.server.tls import ServerTls
    except ImportError as error:
        raise InvalidInputError(
            f"a server needs the package {error.name}, which is not installed; "
            "install reasoncd[gateway-server]"
        ) from error

    if (tls_cert is None) != (tls_key is None) or (tls_client_ca is not None and tls_cert is None):
        raise InvalidInputError("--tls-cert and --tls-key go together, and --tls-client-ca with them")
    tls = None
    if tls_cert is not None and tls_key is not None:
        tls = ServerTls(certificate=tls_cert, key=tls_key, client_ca=tls_client_ca)
    return ServerSettings(
        host=host,
        grpc_port=grpc_port,
        http_port=http_port,
        running=running,
        waiting=waiting,
        held_bytes=held_mib * 2**20,
        kept_bytes=kept_mib * 2**20,
        request_timeout_s=request_timeout,
        grace_s=grace,
        tokens=tokens,
        tls=tls,
        jobs=jobs,
    )


def run(
    stack: ExitStack,
    settings: "ServerSettings",
    *,
    services: str | None = None,
    service: Sequence[str] = (),
    checkpoint: Path | None = None,
    threads: int | None = None,
    level: str = "INFO",
) -> None:
    """Serve until a signal.

    Args:
        stack: gets what has to be ended afterwards.
        settings: of the server.
        services: HOST:PORT of the services; without it, and without `service`, the engines are loaded.
        service: NAME=HOST:PORT of services that are elsewhere.
        checkpoint: of the engines.
        threads: of the engines.
        level: of the log.

    Raises:
        ReasonCDError: as `load_engines` and `serving.serve`.
    """
    from gateway.server import serving
    from reasoncd.observability import process

    if level.upper() not in LEVELS:
        raise InvalidInputError(f"--log-level is {level}; give one of {', '.join(LEVELS)}")
    serving.check(settings)
    remote = _remote(services, service) if services or service else None
    stack.callback(process.start("gateway", log_level=level.upper(), also=("uvicorn.error",)))
    model = _connected(stack, remote) if remote else _embedded(checkpoint, threads)
    serving.serve(model, settings, _say)


def _remote(services: str | None, service: Sequence[str]) -> "RemoteConfig":
    from gateway.remote import RemoteConfig

    targets: dict[Any, str] = {}
    for text in service:
        name, equals, target = text.partition("=")
        if not equals:
            raise InvalidInputError(f"--service is {text!r}; give NAME=HOST:PORT")
        targets[name] = target
    return RemoteConfig(target=services, targets=targets)


def _connected(stack: ExitStack, config: "RemoteConfig") -> "Model":
    from gateway.remote import connect

    return stack.enter_context(connect(config, progress=lambda words: typer.echo(words, err=True)))


def _embedded(checkpoint: Path | None, threads: int | None) -> "Model":
    from gateway.embedded import load_engines
    from gateway.features import FeatureCache
    from gateway.observed import ObservedPipeline

    engines = load_engines(checkpoint, threads=threads, progress=lambda words: typer.echo(words, err=True))
    return ObservedPipeline(*engines, cache=FeatureCache())


def _say(addresses: "Addresses") -> None:
    typer.echo(f"ready: gRPC at {addresses.grpc}, HTTP at {addresses.http} (its page: {addresses.http})")
