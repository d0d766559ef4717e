"""`serveConfigV2` of each RayService: to KubeRay a string, so that nothing else looks into it in time.

Checked against Ray's own schema, which lets unknown fields pass, and against the applications that this
project has. Ray's schema is imported, Ray is not started.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

from pydantic import BaseModel, ValidationError

from k8s.validation.objects import Object, Problem, of_kind, title
from k8s.validation.pods import pods, ray_cluster
from k8s.validation.strict_yaml import load_all
from reasoncd.base_models import CACHE_VARIABLE
from reasoncd.errors import InvalidInputError
from services.serving.applications import APPLICATIONS, Application
from services.serving.settings import VARIABLES, ServingSettings

LEAST_REPLICAS = 2
"""One that dies must leave another."""


def check_serve_configs(objects: Sequence[Object]) -> Iterator[Problem]:
    """What is wrong with the Serve configurations."""
    served: dict[str, str] = {}
    services = list(of_kind(objects, "RayService"))
    for each in services:
        where = title(each)
        try:
            config = serve_config_of(each)
        except InvalidInputError as error:
            yield Problem(where=where, what=error.message)
            continue
        for application in config["applications"]:
            name = application["name"]
            if name in served:
                yield Problem(where=where, what=f"application {name} is served by {served[name]} already")
            served[name] = where
        for what in (*_agreement(config), *_ports(each, config), *_room(each, config)):
            yield Problem(where=where, what=f"serveConfigV2: {what}")
    if services and (missing := [name for name in APPLICATIONS if name not in served]):
        yield Problem(where="RayService", what=f"no service has the application {', '.join(missing)}")


def serve_config_of(service: Object) -> dict[str, Any]:
    """The Serve configuration of a RayService, as data.

    Raises:
        InvalidInputError: it is not what Ray takes, or has fields that Ray does not know.
    """
    from ray.serve.schema import ServeDeploySchema

    documents = load_all(service["spec"].get("serveConfigV2", ""), where="serveConfigV2")
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise InvalidInputError("serveConfigV2 must be one YAML mapping")
    config: dict[str, Any] = documents[0]
    try:
        model = ServeDeploySchema.model_validate(config)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(step) for step in first["loc"])
        raise InvalidInputError(f"serveConfigV2: {path}: {first['msg']}") from None
    if unknown := sorted(_unknown(config, model, "")):
        raise InvalidInputError(f"serveConfigV2: Ray does not know {', '.join(unknown)}")
    return config


def _unknown(given: object, model: object, path: str) -> Iterator[str]:
    """Paths of fields that the model has not taken."""
    if isinstance(given, Mapping) and isinstance(model, BaseModel):
        for name, value in given.items():
            if name not in type(model).model_fields:
                yield f"{path}{name}"
            else:
                yield from _unknown(value, getattr(model, name), f"{path}{name}.")
    elif isinstance(given, list) and isinstance(model, list):
        for position, (value, part) in enumerate(zip(given, model, strict=True)):
            yield from _unknown(value, part, f"{path}{position}.")


def _agreement(config: Mapping[str, Any]) -> Iterator[str]:
    """Whether what is configured is what the code has."""
    known = [APPLICATIONS[each["name"]] for each in config["applications"] if each["name"] in APPLICATIONS]
    functions = {each.servicer_function for each in known}
    if set(config.get("grpc_options", {}).get("grpc_servicer_functions", [])) != functions:
        yield f"grpc_servicer_functions must be {', '.join(sorted(functions))}"
    for each in config["applications"]:
        application = APPLICATIONS.get(each["name"])
        if application is None:
            yield f"application {each['name']!r} is unknown; use one of {', '.join(APPLICATIONS)}"
            continue
        if each["import_path"] != application.import_path:
            yield f"import_path of {application.name} must be {application.import_path}"
        names = [deployment["name"] for deployment in each.get("deployments", [])]
        if names != [application.deployment]:
            yield f"{application.name} must have the one deployment {application.deployment}, not {names}"
            continue
        yield from _deployment(application, each["deployments"][0])


def _deployment(application: Application, deployment: Mapping[str, Any]) -> Iterator[str]:
    name = application.deployment
    if deployment.get("max_ongoing_requests") != application.max_requests:
        yield f"{name}: max_ongoing_requests must be {application.max_requests}"
    if not deployment.get("max_queued_requests", -1) > 0:
        yield f"{name}: max_queued_requests must be bounded"
    if _replicas(deployment) < LEAST_REPLICAS:
        yield f"{name}: give at least {LEAST_REPLICAS} replicas, so that one may die"
    environment = _environment(deployment)
    if unknown := sorted(set(environment) - {*VARIABLES, CACHE_VARIABLE}):
        yield f"{name}: variable {', '.join(unknown)} is unknown"
    try:
        settings = ServingSettings.from_environment(environment)
    except InvalidInputError as error:
        yield f"{name}: {error.message}"
        return
    for variable in ("REASONCD_DEVICE", "REASONCD_DTYPE", "REASONCD_THREADS"):
        if variable not in environment:
            yield f"{name}: set {variable}"
    if (settings.device != "cpu") != (_actor(deployment).get("num_gpus", 0) > 0):
        yield f"{name}: REASONCD_DEVICE is {settings.device}, which does not go with num_gpus"


def _ports(service: Object, config: Mapping[str, Any]) -> Iterator[str]:
    """Whether the pods say what Serve does, and the operator reaches Serve."""
    if config.get("http_options", {}).get("host") != "0.0.0.0":
        yield "http_options.host must be 0.0.0.0, or the operator takes the proxy for dead"
    port = config.get("grpc_options", {}).get("port")
    for pod in pods([service]):
        if pod.ports.get("serve-grpc") != port:
            named = pod.ports.get("serve-grpc")
            yield f"grpc_options.port is {port}, but the {pod.role} name {named} serve-grpc"
        if "serve" not in pod.ports:
            yield f"the {pod.role} name no port serve"


def _room(service: Object, config: Mapping[str, Any]) -> Iterator[str]:
    """Whether the workers have room for the replicas, and for the new ones while they are replaced."""
    groups = (ray_cluster(service) or {}).get("workerGroupSpecs", [])
    cpus = sum(each["replicas"] * float(each["rayStartParams"].get("num-cpus", 0)) for each in groups)
    gpus = sum(each["replicas"] * _gpus(each["template"]["spec"]) for each in groups)
    for what, has, option in (("CPUs", cpus, "num_cpus"), ("GPUs", gpus, "num_gpus")):
        needs = sum(
            _most(deployment) * _actor(deployment).get(option, 0)
            for application in config["applications"]
            for deployment in application.get("deployments", [])
        )
        if needs > has:
            yield f"replicas and their successors ask for {needs:g} {what}; the workers have {has:g}"
    head = (ray_cluster(service) or {}).get("headGroupSpec", {})
    if head.get("rayStartParams", {}).get("num-cpus") != "0":
        yield 'the head must have num-cpus "0", or replicas land on it'


def _replicas(deployment: Mapping[str, Any]) -> int:
    scaling: Mapping[str, Any] = deployment.get("autoscaling_config") or {}
    return int(scaling.get("min_replicas", deployment.get("num_replicas") or 1))


def _most(deployment: Mapping[str, Any]) -> int:
    """Replicas at the height of a replacement."""
    scaling: Mapping[str, Any] = deployment.get("autoscaling_config") or {}
    most = int(scaling.get("max_replicas", deployment.get("num_replicas") or 1))
    return most + ceil(most * float(deployment.get("max_surge_percent", 0)) / 100)


def _actor(deployment: Mapping[str, Any]) -> Mapping[str, Any]:
    actor: Mapping[str, Any] = deployment.get("ray_actor_options") or {}
    return actor


def _environment(deployment: Mapping[str, Any]) -> Mapping[str, str]:
    environment: Mapping[str, str] = _actor(deployment).get("runtime_env", {}).get("env_vars", {})
    return environment


def _gpus(spec: Mapping[str, Any]) -> float:
    return sum(
        float(each.get("resources", {}).get("limits", {}).get("nvidia.com/gpu", 0))
        for each in spec.get("containers", ())
    )
