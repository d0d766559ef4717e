"""The table of applications, the files made from it, and the modules that it names."""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve import Deployment
from ray.serve.schema import ServeDeploySchema

from reasoncd.errors import InvalidInputError
from services.serving.applications import (
    APPLICATIONS,
    MASK_DECODER,
    VISION_ENCODER,
    application_of,
    deployment_options,
    grpc_options,
    serve_config,
)
from services.serving.settings import ServingSettings

pytestmark = pytest.mark.contract

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = ROOT / "services" / "serving" / "configs"


def _read(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    return config


def _environment(config: dict[str, Any]) -> dict[str, str]:
    options = config["applications"][0]["deployments"][0]["ray_actor_options"]
    environment: dict[str, str] = options["runtime_env"]["env_vars"]
    return environment


def test_there_is_a_file_for_each_application() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(APPLICATIONS)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_a_file_is_what_ray_takes_and_what_the_code_says(name: str) -> None:
    config = _read(name)
    model = ServeDeploySchema.model_validate(config)
    assert model.applications[0].deployments[0].name == APPLICATIONS[name].deployment
    environment = _environment(config)
    assert config == serve_config([name], environment=environment)
    ServingSettings.from_environment(environment)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_a_deployment_takes_the_options_of_the_table(name: str) -> None:
    application = APPLICATIONS[name]
    deployment = application.load()
    assert isinstance(deployment, Deployment)
    assert deployment.name == application.deployment
    options = deployment_options(application, environment={"A": "1"}, replicas=3, cpus=0.5, gpus=0.25)
    chosen = deployment.options(**options)
    assert chosen.num_replicas == 3
    assert chosen.max_ongoing_requests == application.max_requests
    assert chosen.ray_actor_options is not None
    assert chosen.ray_actor_options["runtime_env"]["env_vars"]["A"] == "1"


@pytest.mark.parametrize("name", APPLICATIONS)
def test_a_deployment_answers_every_rpc_of_its_service(name: str) -> None:
    application = APPLICATIONS[name]
    module = importlib.import_module(application.servicer_function.rpartition(".")[0])
    servicer = getattr(module, f"{application.service.rpartition('.')[2]}Servicer")
    rpcs = {method for method in vars(servicer) if method[0].isupper()}
    replica = application.load().func_or_class
    assert rpcs
    assert all(callable(getattr(replica, method, None)) for method in rpcs)


def test_applications_of_one_service_share_its_function() -> None:
    options = grpc_options(
        [APPLICATIONS[name] for name in ("clip", "sam-fpn-fusion", "mask-decoder")], port=9
    )
    assert options == {"port": 9, "grpc_servicer_functions": [VISION_ENCODER, MASK_DECODER]}
    assert APPLICATIONS["sam-fpn-fusion"].service == "reasoncd.v1.VisionEncoder"


def test_replicas_are_fixed_or_scaled_and_always_bounded() -> None:
    clip = APPLICATIONS["clip"]
    scaled = deployment_options(clip, environment={})
    assert scaled["autoscaling_config"]["min_replicas"] == 2
    assert "num_replicas" not in scaled
    fixed = deployment_options(clip, environment={}, replicas=1)
    assert "autoscaling_config" not in fixed
    for options in (scaled, fixed):
        assert 0 < options["max_queued_requests"] < 1000


def test_an_unknown_application_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="name one of clip, sam-fpn-fusion, reasoner, mask-decoder"):
        application_of("decoder")


def test_who_deploys_loads_no_torch() -> None:
    names = ", ".join(repr(application.module) for application in APPLICATIONS.values())
    code = f"""
import importlib, sys
for name in ({names}):
    importlib.import_module(name)
heavy = {{"torch", "transformers", "timm", "open_clip"}} & set(sys.modules)
raise SystemExit(f"loaded: {{sorted(heavy)}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
