"""The four Serve applications, and the configuration that runs them.

One table, from which come the files in `configs/`, what `launch` runs on one machine, and what Kubernetes is
checked against. Nothing is started here, and Ray is needed by `load` alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from reasoncd.errors import InvalidInputError

VISION_ENCODER = "reasoncd.v1.vision_encoder_pb2_grpc.add_VisionEncoderServicer_to_server"
REASONER = "reasoncd.v1.reasoner_pb2_grpc.add_ReasonerServicer_to_server"
MASK_DECODER = "reasoncd.v1.mask_decoder_pb2_grpc.add_MaskDecoderServicer_to_server"


@dataclass(frozen=True, kw_only=True, slots=True)
class Application:
    """One application: one deployment behind one gRPC service."""

    name: str
    """What callers put into the `application` metadata."""
    module: str
    """Its `app.py`."""
    variable: str
    """The bound application in the module."""
    deployment: str
    """Name of the deployment, and of its variable in the module."""
    servicer_function: str
    """What adds its rpcs to Serve's proxy."""
    max_requests: int
    """Requests that a replica holds, in work or waiting for its thread. Encoders take one pair after the
    other: more would only wait there instead of going to the next replica."""
    target_requests: int
    """Requests a replica at which autoscaling adds one."""

    @property
    def import_path(self) -> str:
        """Of the bound application, as Serve wants it."""
        return f"{self.module}:{self.variable}"

    @property
    def route_prefix(self) -> str:
        """An HTTP route on which nothing answers: without one Serve's proxy does not know an application."""
        return f"/{self.name}"

    @property
    def service(self) -> str:
        """Full name of its gRPC service."""
        package, function = self.servicer_function.split(".add_")
        return f"{package.rpartition('.')[0]}.{function.removesuffix('Servicer_to_server')}"

    def load(self) -> Any:
        """Import the deployment; needs Ray, but neither torch nor the part's libraries."""
        return getattr(import_module(self.module), self.deployment)


APPLICATIONS: dict[str, Application] = {
    application.name: application
    for application in (
        Application(
            name="clip",
            module="services.vision_encoder.app",
            variable="clip",
            deployment="Clip",
            servicer_function=VISION_ENCODER,
            max_requests=4,
            target_requests=2,
        ),
        Application(
            name="sam-fpn-fusion",
            module="services.vision_encoder.app",
            variable="sam_fpn_fusion",
            deployment="SamFpnFusion",
            servicer_function=VISION_ENCODER,
            max_requests=4,
            target_requests=2,
        ),
        Application(
            name="reasoner",
            module="services.reasoner.app",
            variable="app",
            deployment="Reasoner",
            servicer_function=REASONER,
            max_requests=16,
            target_requests=8,
        ),
        Application(
            name="mask-decoder",
            module="services.mask_decoder.app",
            variable="app",
            deployment="MaskDecoder",
            servicer_function=MASK_DECODER,
            max_requests=16,
            target_requests=8,
        ),
    )
}

MAX_QUEUED = 64
"""Requests that wait at Serve's proxy; one more is refused with RESOURCE_EXHAUSTED."""
REPLICAS = 2
"""At least, where a replica may die: the other answers while it is replaced."""
MAX_REPLICAS = 4


def application_of(name: str) -> Application:
    """The application of a name.

    Raises:
        InvalidInputError: there is none.
    """
    if name not in APPLICATIONS:
        raise InvalidInputError(f"application {name!r} is unknown; name one of {', '.join(APPLICATIONS)}")
    return APPLICATIONS[name]


def deployment_options(
    application: Application,
    *,
    environment: Mapping[str, str],
    replicas: int | None = None,
    cpus: float = 1,
    gpus: float = 0,
) -> dict[str, Any]:
    """How a deployment runs; `Deployment.options` and Serve's configuration files take the same names.

    Args:
        application: one of `APPLICATIONS`.
        environment: variables of its replicas, see `settings`. A change of them replaces the replicas.
        replicas: exactly so many; autoscaled if not given.
        cpus: that Ray reserves for a replica.
        gpus: that Ray reserves for a replica.
    """
    size: dict[str, Any] = {"num_replicas": replicas}
    if replicas is None:
        size = {
            "autoscaling_config": {
                "min_replicas": REPLICAS,
                "max_replicas": MAX_REPLICAS,
                "target_ongoing_requests": application.target_requests,
            }
        }
    return {
        **size,
        "max_ongoing_requests": application.max_requests,
        "max_queued_requests": MAX_QUEUED,
        # New replicas are ready before old ones stop: a single one, too, is replaced without a gap.
        "max_surge_percent": 100,
        "health_check_period_s": 5,
        "health_check_timeout_s": 30,
        "graceful_shutdown_timeout_s": 30,
        "ray_actor_options": {
            "num_cpus": cpus,
            "num_gpus": gpus,
            "runtime_env": {
                "env_vars": {"REASONCD_MAX_REQUESTS": str(application.max_requests), **environment}
            },
        },
    }


def grpc_options(applications: Iterable[Application], *, port: int) -> dict[str, Any]:
    """Options of Serve's gRPC proxy in front of the applications."""
    functions = dict.fromkeys(each.servicer_function for each in applications)
    return {"port": port, "grpc_servicer_functions": list(functions)}


def serve_config(
    names: Iterable[str],
    *,
    environment: Mapping[str, str],
    port: int = 9000,
    replicas: int | None = None,
    cpus: float = 1,
    gpus: float = 0,
) -> dict[str, Any]:
    """A configuration that `serve run`, `serve deploy` and KubeRay's `serveConfigV2` take.

    Args:
        names: the applications.
        environment: as `deployment_options`.
        port: of Serve's gRPC proxy.
        replicas: as `deployment_options`.
        cpus: as `deployment_options`.
        gpus: as `deployment_options`.

    Raises:
        InvalidInputError: an application is unknown.
    """
    applications = [application_of(name) for name in names]
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "127.0.0.1"},
        "grpc_options": grpc_options(applications, port=port),
        "applications": [
            {
                "name": each.name,
                "import_path": each.import_path,
                "route_prefix": each.route_prefix,
                "deployments": [
                    {
                        "name": each.deployment,
                        **deployment_options(
                            each, environment=environment, replicas=replicas, cpus=cpus, gpus=gpus
                        ),
                    }
                ],
            }
            for each in applications
        ],
    }
