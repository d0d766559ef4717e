"""Ray and its Serve on this machine alone: started, filled with applications, and stopped again.

The one module beside the apps that drives Ray. One process owns the cluster; all dies with it.
"""

import logging
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc

from reasoncd.errors import ReasonCDError, UnavailableError
from reasoncd.rpc.channel import MESSAGE_BYTES
from reasoncd.v1 import describe_pb2
from services.serving.applications import (
    Application,
    application_of,
    deployment_options,
    grpc_options,
)

OBJECT_STORE_BYTES = 512 * 2**20
"""Messages of more than 100 KiB pass through it on their way; the largest pair of images is 96 MiB."""
RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray starts its workers at niceness 15: beside any busy process they would hardly run.
    "RAY_worker_niceness": "0",
    # Serve replaces a proxy that does not start in 15 s; on a busy machine importing takes longer.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "50",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30",
    # Of messages between proxy and replica, where Serve is told to use gRPC there; 4 MiB otherwise.
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(MESSAGE_BYTES),
    # Between proxy and replica: 2 ms a call less than Ray's own calls.
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    # Activations are freed and wanted again with each call: kept, they need not be mapped page by page anew.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
}
"""Of Ray's own processes and the replicas; what is set in the environment already goes first."""
REPLICA_CPUS = 0.01
"""What Ray counts for a replica: on one machine the threads setting shares out the cores, not Ray."""
POLL_S = 0.2
ANSWER_TIMEOUT_S = 10.0

_OUR_ERROR = re.compile(r"reasoncd\.errors\.\w+: (.+)")


class LocalCluster:
    """Ray, Serve's gRPC proxy, and the applications, while the block runs.

    Args:
        port: of Serve's gRPC proxy.
        applications: what runs.
        replicas: of each.
        environment: variables of all replicas; see `services.serving.settings`.
        ray_environment: variables of Ray's own processes, besides `RAY_ENVIRONMENT`.
        verbose: print what replicas log; else it is in Ray's session folder alone.
    """

    def __init__(
        self,
        *,
        port: int,
        applications: tuple[Application, ...],
        replicas: int,
        environment: Mapping[str, str],
        ray_environment: Mapping[str, str] | None = None,
        verbose: bool = False,
    ) -> None:
        self._port = port
        self._applications = applications
        self._replicas = replicas
        self._environment = {each.name: dict(environment) for each in applications}
        self._ray_environment = dict(ray_environment or {})
        self._verbose = verbose

    def __enter__(self) -> "LocalCluster":
        """Start Ray and Serve, without applications."""
        _check_port(self._port)
        # Ray's processes inherit these. Whoever can reach Ray's ports could run code as this user: a token
        # that lives as long as the cluster, and is written nowhere, keeps others out.
        chosen = {**RAY_ENVIRONMENT, **self._ray_environment}
        os.environ.update({name: value for name, value in chosen.items() if name not in os.environ})
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        assert "ray" not in sys.modules, "Ray reads its environment when it is imported"
        import ray
        from ray import serve
        from ray.exceptions import RayError

        self._start_ray()
        try:
            serve.start(
                proxy_location="HeadOnly",
                # Nothing is served over HTTP, but Serve insists on a port.
                http_options={"host": "127.0.0.1", "port": _free_port()},
                grpc_options=grpc_options(self._applications, port=self._port),
            )
        except TimeoutError:
            # Serve itself waits for a minute; `run` goes on waiting for as long as it is told.
            pass
        except RayError as error:
            ray.shutdown()
            raise UnavailableError(
                f"Ray Serve's proxy does not start on port {self._port}: {_sentence([str(error)])}"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        import ray
        from ray import serve

        serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()

    def _start_ray(self) -> None:
        import ray

        for is_last in (False, True):
            try:
                ray.init(
                    address="local",
                    num_cpus=1,
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE_BYTES,
                    log_to_driver=self._verbose,
                    logging_level=logging.WARNING,
                    _node_ip_address="127.0.0.1",
                )
            except Exception as error:
                # Ray raises just that where its processes take more than 30 s, as on a busy machine.
                ray.shutdown()
                if is_last:
                    raise UnavailableError(f"Ray does not start: {_sentence([str(error)])}") from error
            else:
                return

    def run(self, *, timeout_s: float, interrupted: Callable[[], bool]) -> None:
        """Start all applications and wait until each has its replicas.

        Raises:
            UnavailableError: one does not come up; the sentence says why.
        """
        self._deploy(self._applications, timeout_s, interrupted)

    def redeploy(
        self, name: str, environment: Mapping[str, str], *, timeout_s: float, interrupted: Callable[[], bool]
    ) -> None:
        """Replace the replicas of one application by ones with other settings, without a gap.

        New replicas are ready before old ones stop. If they do not come up, the old ones stay.

        Raises:
            InvalidInputError: the application is unknown.
            UnavailableError: the new replicas do not come up.
        """
        application = application_of(name)
        if application not in self._applications:
            raise UnavailableError(f"application {name} does not run here; start it first")
        before = self._environment[name]
        self._environment[name] = {**before, **environment}
        try:
            self._deploy((application,), timeout_s, interrupted)
        except ReasonCDError:
            self._environment[name] = before
            self._deploy((application,), timeout_s, interrupted)
            raise

    def _deploy(
        self, applications: tuple[Application, ...], timeout_s: float, interrupted: Callable[[], bool]
    ) -> None:
        from ray import serve

        serve.run_many(
            [
                serve.RunTarget(target=self._target(each), name=each.name, route_prefix=each.route_prefix)
                for each in applications
            ],
            wait_for_ingress_deployment_creation=False,
            wait_for_applications_running=False,
        )
        self._wait(applications, timeout_s, interrupted)

    def _target(self, application: Application) -> Any:
        options = deployment_options(
            application,
            environment=self._environment[application.name],
            replicas=self._replicas,
            cpus=REPLICA_CPUS,
        )
        return application.load().options(**options).bind()

    def _wait(
        self, applications: tuple[Application, ...], timeout_s: float, interrupted: Callable[[], bool]
    ) -> None:
        from ray import serve

        end = time.monotonic() + timeout_s
        while not interrupted():
            found = serve.status().applications
            states = {each.name: found[each.name] for each in applications if each.name in found}
            for name, state in states.items():
                if state.status in ("DEPLOY_FAILED", "UNHEALTHY"):
                    messages = [state.message, *(each.message for each in state.deployments.values())]
                    raise UnavailableError(f"application {name} does not start: {_sentence(messages)}")
            late = [
                each.name
                for each in applications
                if each.name not in states or states[each.name].status != "RUNNING"
            ]
            # The proxy learns of an application some time after the controller calls it running.
            late = late or [each.name for each in applications if not _answers(each, self._port)]
            if not late:
                return
            if time.monotonic() > end:
                raise UnavailableError(
                    f"not ready after {timeout_s:.0f} s: {', '.join(late)}; allow more with --timeout"
                )
            time.sleep(POLL_S)


def _sentence(messages: list[str]) -> str:
    """Our own sentence out of the tracebacks that Serve reports; else its last line."""
    text = "\n".join(messages)
    if found := _OUR_ERROR.findall(text):
        return str(found[-1])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "Serve does not say why; see --verbose"


def _answers(application: Application, port: int) -> bool:
    """Whether the application says who it is."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        describe = channel.unary_unary(
            f"/{application.service}/Describe",
            request_serializer=describe_pb2.DescribeRequest.SerializeToString,
            response_deserializer=describe_pb2.DescribeResponse.FromString,
        )
        try:
            describe(
                describe_pb2.DescribeRequest(),
                metadata=(("application", application.name),),
                timeout=ANSWER_TIMEOUT_S,
            )
        except grpc.RpcError:
            return False
    return True


def _check_port(port: int) -> None:
    """Serve would try for minutes to take a port that another process has."""
    with socket.socket(socket.AF_INET6) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("::", port))
        except OSError as error:
            raise UnavailableError(f"port {port} cannot be taken: {error.strerror}; choose another") from None


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
