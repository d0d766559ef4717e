import importlib
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
from ray.serve import Application as ServeApplication

from k8s.validation.checking import check
from k8s.validation.objects import of_kind
from k8s.validation.rendering import render
from k8s.validation.schemas import KUBERNETES
from k8s.validation.serve_configs import serve_config_of
from reasoncd.errors import InvalidInputError
from services.serving.applications import APPLICATIONS, serve_config
from services.serving.cluster import RAY_ENVIRONMENT
from tests.k8s.conftest import OVERLAYS, ROOT, Rendered

pytestmark = pytest.mark.contract

EXPECTED = {
    "vision-encoder": ["clip", "sam-fpn-fusion"],
    "reasoner": ["reasoner"],
    "mask-decoder": ["mask-decoder"],
}

# How long a proxy may take to start, and how nice it is, depend on the machine.
TOLD_EVERYWHERE = {
    "RAY_SERVE_USE_GRPC_BY_DEFAULT",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_has_no_problems(rendered: Rendered, overlay: str) -> None:
    assert [str(each) for each in check(rendered(overlay))] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_component_has_a_service_of_its_own(rendered: Rendered, overlay: str) -> None:
    found = {
        each["metadata"]["name"]: [app["name"] for app in serve_config_of(each)["applications"]]
        for each in of_kind(rendered(overlay), "RayService")
    }
    assert found == EXPECTED


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("service", EXPECTED)
def test_serve_files_say_what_the_code_would(overlay: str, service: str) -> None:
    text = (ROOT / "k8s" / "overlays" / overlay / "serve" / f"{service}.yaml").read_text(encoding="utf-8")
    config = serve_config_of({"spec": {"serveConfigV2": text}})
    actor = config["applications"][0]["deployments"][0]["ray_actor_options"]
    environment = dict(actor["runtime_env"]["env_vars"])
    environment.pop("REASONCD_MAX_REQUESTS")
    wanted = serve_config(
        EXPECTED[service],
        environment=environment,
        replicas=2,
        cpus=actor["num_cpus"],
        gpus=actor["num_gpus"],
    )
    # In a cluster the operator asks from another pod.
    wanted["http_options"]["host"] = "0.0.0.0"
    assert config == wanted


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlays_wire_applications_as_the_shipped_configurations_do(
    rendered: Rendered, overlay: str
) -> None:
    folder = ROOT / "services" / "serving" / "configs"
    for service in of_kind(rendered(overlay), "RayService"):
        config = serve_config_of(service)
        functions: set[str] = set()
        for application in config["applications"]:
            file = folder / f"{application['name']}.yaml"
            shipped = serve_config_of({"spec": {"serveConfigV2": file.read_text(encoding="utf-8")}})
            (alone,) = shipped["applications"]
            assert (application["name"], application["import_path"]) == (alone["name"], alone["import_path"])
            names = [[each["name"] for each in one["deployments"]] for one in (application, alone)]
            assert names[0] == names[1]
            functions.update(shipped["grpc_options"]["grpc_servicer_functions"])
        assert set(config["grpc_options"]["grpc_servicer_functions"]) == functions


@pytest.mark.parametrize("name", APPLICATIONS)
def test_what_the_manifests_import_is_there(name: str) -> None:
    application = APPLICATIONS[name]
    bound = getattr(importlib.import_module(application.module), application.variable)
    assert isinstance(bound, ServeApplication)
    assert bound._bound_deployment.name == application.deployment
    module, _, function = application.servicer_function.rpartition(".")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_built_in_kinds_fit_both_ends_of_the_supported_versions(rendered: Rendered, overlay: str) -> None:
    assert len(KUBERNETES) == 2
    checked = 0
    for each in rendered(overlay):
        if "." not in each["apiVersion"].partition("/")[0] or each["apiVersion"].startswith("networking"):
            for version in KUBERNETES:
                kubernetes_validate.validate(each, version, strict=True)
            checked += 1
    assert checked >= 15


def test_the_serve_files_are_not_applied_themselves(rendered: Rendered) -> None:
    names = [each["metadata"]["name"] for each in of_kind(rendered("cpu-small"), "ConfigMap")]
    assert names == ["grafana-dashboard"]


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [bad.yaml]\n")
    (tmp_path / "bad.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: bad, namespace: reasoncd}\n"
        "spec: {selector: {a: b}, ports: [{port: 1, prot: TCP}]}\n"
    )
    command = [sys.executable, "-m", "k8s.validation", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert "Service/bad: spec.ports.0" in done.stdout and "'prot' was unexpected" in done.stdout
    (tmp_path / "bad.yaml").unlink()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert "cannot be built" in done.stderr and "Traceback" not in done.stderr


def test_a_folder_without_objects_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: []\n")
    with pytest.raises(InvalidInputError, match=r"cannot be built|gives no Kubernetes objects"):
        render(tmp_path)


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", sorted(TOLD_EVERYWHERE))
def test_ray_is_told_what_it_is_told_on_one_machine(rendered: Rendered, overlay: str, name: str) -> None:
    services = list(of_kind(rendered(overlay), "RayService"))
    assert services
    for service in services:
        cluster = service["spec"]["rayClusterConfig"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            told = {e["name"]: e.get("value") for e in group["template"]["spec"]["containers"][0]["env"]}
            assert told.get(name) == RAY_ENVIRONMENT[name]
