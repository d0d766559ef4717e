"""The container files, as far as they can be checked without building them."""

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from k8s.validation.objects import of_kind
from k8s.validation.pods import pods
from tests.k8s.conftest import OVERLAYS, ROOT, Rendered

pytestmark = pytest.mark.contract

FOLDER = ROOT / "k8s" / "containers"
FILES = sorted(FOLDER.glob("*.Dockerfile"))
OWN = ("reasoncd", "services", "gateway", "training", "benchmarks")

# What runs in each image: nothing that these import may be missing there.
ENTRIES = {
    "gateway": ["gateway.cli", "gateway.commands", "gateway.remote"],
    "mask-decoder": ["services.mask_decoder.app", "services.serving.replica"],
    "reasoner": ["services.reasoner.app", "services.serving.replica"],
    "training": ["training.__main__", "training.cli", "services.reasoner.engine"],
    "vision-encoder": ["services.vision_encoder.app", "services.serving.replica"],
}
# One stage of the reasoner's file fetches the base model by the gateway's command, and is thrown away.
FINAL_ONLY = {"reasoner": ("gateway",)}
# `gateway.embedded` is asked for by `serve --checkpoint` and `detect`, which this image does not offer.
LEFT_OUT = {"gateway": ("services", "training", "benchmarks")}


def instructions(file: Path) -> list[tuple[str, str]]:
    parser = DockerfileParser(path=str(file))
    return [
        (each["instruction"], each["value"]) for each in parser.structure if each["instruction"] != "COMMENT"
    ]


def copied(file: Path) -> Iterator[str]:
    """What is copied out of the build context."""
    for name, value in instructions(file):
        if name == "COPY" and "--from" not in value:
            yield from value.split()[:-1]


def part(file: Path) -> str:
    return file.name.partition(".")[0]


def test_each_component_has_a_file() -> None:
    assert {part(file) for file in FILES} == set(ENTRIES)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_image_of_the_manifests_has_a_file(rendered: Rendered, overlay: str) -> None:
    images = {each["image"] for pod in pods(rendered(overlay)) for each in pod.containers}
    assert images == {f"reasoncd/{part(file)}:0.1.0" for file in FILES}
    for file in FILES:
        assert f"-t reasoncd/{part(file)}:0.1.0 ." in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES, ids=part)
def test_the_linter_is_content(file: Path) -> None:
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.is_file() else shutil.which("hadolint")
    assert hadolint is not None, "hadolint is not installed; `make tools` brings it"
    command = [hadolint, "--no-color", "--config", str(FOLDER / "hadolint.yaml"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_would_notice(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python:latest\nRUN cd /tmp && sudo pip install x\n")
    command = [
        str(Path(sys.executable).with_name("hadolint")),
        "--no-color",
        "--config",
        str(FOLDER / "hadolint.yaml"),
        str(bad),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "DL3007" in done.stdout and "DL3004" in done.stdout


@pytest.mark.parametrize("file", FILES, ids=part)
def test_what_is_copied_is_there_and_in_the_context(file: Path) -> None:
    kept = [
        line.removeprefix("!").rstrip("/")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    ]
    sources = list(copied(file))
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        path = source.rstrip("/")
        assert any(fnmatch(path, each) or path.startswith(f"{each}/") for each in kept), source


def test_the_context_holds_nothing_else() -> None:
    lines = [
        line
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert lines[0] == "*"
    for name in (".venv", "shared", "checkpoints", "runs", ".git"):
        assert not any(line.startswith(f"!{name}") for line in lines)


@pytest.mark.parametrize("file", FILES, ids=part)
def test_only_the_parts_own_extras_are_installed(file: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    installs = [value for name, value in instructions(file) if name == "RUN" and 'pip install ".' in value]
    asked = installs[0].partition("[")[2].partition("]")[0].split(",")
    assert all(each in extras for each in asked)
    assert set(asked) == ({"gateway-server"} if part(file) == "gateway" else {part(file), "serve"})


@pytest.mark.parametrize("file", FILES, ids=part)
def test_images_run_as_nobody_in_particular_and_hold_no_secret(file: Path) -> None:
    steps = instructions(file)
    assert [value for name, value in steps if name == "USER"] == ["10001:10001"]
    bases = [value.split()[0] for name, value in steps if name == "FROM"]
    # What is built and what runs have one Python; the gateway's page is built before, by Node.
    assert {base for base in bases if base.startswith("python:")} == {"python:3.11-slim-bookworm"}
    assert bases[-1].startswith("python:")
    assert len(bases) >= 2, "built in a stage of its own"
    assert "HEALTHCHECK" in {name for name, _ in steps}
    assert "ADD" not in {name for name, _ in steps}
    for name, value in steps:
        if name in ("ARG", "ENV"):
            assert not any(word in value.upper() for word in ("TOKEN", "PASSWORD", "SECRET")), value


def test_users_of_images_and_pods_agree(rendered: Rendered) -> None:
    for pod in pods(rendered("cpu-small")):
        assert pod.spec["securityContext"]["runAsUser"] == 10001


@pytest.mark.parametrize("file", FILES, ids=part)
def test_nothing_that_is_imported_is_left_out(file: Path) -> None:
    inside = [source.rstrip("/") for source in copied(file) if source not in FINAL_ONLY.get(part(file), ())]
    waiting = list(ENTRIES[part(file)])
    seen: set[str] = set()
    missing: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen or module.partition(".")[0] in LEFT_OUT.get(part(file), ()):
            continue
        seen.add(module)
        source = module_file(module)
        if source is None:
            continue
        name = str(source.relative_to(ROOT))
        if not any(name == each or name.startswith(f"{each}/") for each in inside):
            missing.add(module)
            continue
        waiting += [each for each in imports(source, module) if each.partition(".")[0] in OWN]
    assert missing == set()
    assert len(seen) > 5


def module_file(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


def imports(source: Path, module: str) -> Iterator[str]:
    """Modules that a file may import, now or later, and the packages around them."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            steps = name.split(".")
            yield from (".".join(steps[: end + 1]) for end in range(len(steps)))


def test_training_is_asked_for_with_options_that_it_has(rendered: Rendered) -> None:
    from typer.testing import CliRunner

    from training.cli import app

    (job,) = of_kind(rendered("gpu"), "RayJob")
    words = job["spec"]["entrypoint"].split()
    command = words[words.index("training") + 1 :]
    assert command[0] == "fit"
    options = [word for word in command if word.startswith("--")]
    help_text = CliRunner().invoke(app, ["fit", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    assert options and all(option in help_text for option in options)
    gpus = job["spec"]["entrypointNumGpus"]
    assert words[words.index("--nproc-per-node") + 1] == str(gpus)
    (container,) = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == str(gpus)


def test_the_gateway_is_asked_for_with_options_that_it_has(rendered: Rendered) -> None:
    from typer.testing import CliRunner

    from gateway.cli import app

    (deployment,) = of_kind(rendered("gpu"), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    command, *arguments = container["args"]
    help_text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    options = [each.partition("=")[0] for each in arguments]
    assert options and [each for each in options if each not in help_text] == []
