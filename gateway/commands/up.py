"""`reasoncd up`: services and gateway on this machine, until Ctrl-C."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands import serve as serving
from gateway.commands import serve_options as options
from gateway.commands.job_settings import job_settings
from gateway.commands.terminal import one_sentence

SERVICES_PORT = 9000
ServicesPortOption = Annotated[
    int, typer.Option("--services-port", metavar="P", help="Of the services, on loopback.")
]


def up(
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The model; REASONCD_CHECKPOINT or checkpoints/mini if not given."),
    ] = None,
    port: Annotated[int, typer.Option(metavar="P", help="Of the gateway's gRPC; 0 for any free.")] = 50051,
    http_port: options.HttpPortOption = 8080,
    services_port: ServicesPortOption = SERVICES_PORT,
    replicas: Annotated[int, typer.Option(metavar="N", help="Processes of each service.")] = 1,
    threads: Annotated[int | None, typer.Option(metavar="N", help="Of torch in each process.")] = None,
    host: options.HostOption = "127.0.0.1",
    running: options.RunningOption = 4,
    waiting: options.WaitingOption = 16,
    request_timeout: options.TimeoutOption = 300.0,
    grace: options.GraceOption = 30.0,
    tokens: options.TokensOption = None,
    tls_cert: options.CertOption = None,
    tls_key: options.KeyOption = None,
    tls_client_ca: options.ClientCaOption = None,
    jobs_folder: options.JobsFolderOption = None,
    jobs_database: options.JobsDatabaseOption = None,
    scenes_root: options.ScenesRootOption = None,
    jobs_running: options.JobsRunningOption = 1,
    upload_mib: options.UploadOption = 4096,
    log_level: options.LogLevelOption = "WARNING",
) -> None:
    """Start local Ray, the services and the gateway; say when and where they answer; stop all on Ctrl-C."""
    with one_sentence():
        from gateway.embedded import default_checkpoint
        from gateway.local_services import LocalServices

        settings = serving.server_settings(
            host=host,
            grpc_port=port,
            http_port=http_port,
            running=running,
            waiting=waiting,
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

        def services_ended() -> None:
            typer.echo("reasoncd: the services ended by themselves; stopping the gateway", err=True)
            os.kill(os.getpid(), signal.SIGTERM)

        typer.echo("starting Ray and the services", err=True)
        local = LocalServices(
            checkpoint=checkpoint or default_checkpoint(),
            port=services_port,
            replicas=replicas,
            threads=threads,
            ended=services_ended,
        )
        with _signals_as_exit(), ExitStack() as stack:
            services = stack.enter_context(local)
            serving.run(stack, settings, services=services.target, level=log_level)
            typer.echo("stopping the services", err=True)


class _signals_as_exit:  # noqa: N801 - reads as contextlib's do
    """SIGTERM ends what waits at the start as Ctrl-C does, so that children are stopped."""

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGTERM, self._exit)

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    @staticmethod
    def _exit(number: int, frame: object) -> None:
        raise SystemExit(128 + number)
