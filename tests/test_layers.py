"""The layer rules hold, and each of them would notice if it were broken."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.contract

ROOT = Path(__file__).resolve().parents[1]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
PACKAGES: list[str] = CONFIG["root_packages"]
CONTRACTS = {contract["id"] for contract in CONFIG["contracts"]}

BREAKS = [
    ("floors", "reasoncd/errors.py", "import services"),
    ("floors", "services/mask_decoder/config.py", "import training.data.labels"),
    ("floors", "services/reasoner/config.py", "import gateway.wording"),
    ("floors", "gateway/wording.py", "import training.data.labels"),
    ("floors", "training/data/labels.py", "import gateway.wording"),
    ("floors", "gateway/wording.py", "import benchmarks"),
    ("services", "services/reasoner/config.py", "import services.mask_decoder.config"),
    ("services", "services/mask_decoder/config.py", "import services.vision_encoder.config"),
    ("serving", "services/serving/health.py", "import services.reasoner.config"),
    ("one-way-in", "gateway/pipeline.py", "import services.reasoner.config"),
    ("no-torch", "reasoncd/tensors.py", "import torch"),
    ("no-torch", "gateway/pipeline.py", "import transformers"),
    ("models", "services/mask_decoder/model.py", "import grpc"),
    ("models", "services/reasoner/model.py", "import ray"),
    ("models", "services/mask_decoder/engine.py", "import services.serving.settings"),
]


def _lint(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    command += ["--no-cache", "--no-logo", "--config", str(ROOT / "pyproject.toml"), *options]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=300)


def _copy_sources(target: Path) -> None:
    for package in PACKAGES:
        for source in (ROOT / package).rglob("*.py"):
            copy = target / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)


def test_every_contract_is_kept() -> None:
    result = _lint(ROOT)
    assert result.returncode == 0, result.stdout


def test_every_contract_is_tried_here() -> None:
    assert {contract for contract, _, _ in BREAKS} == CONTRACTS


@pytest.mark.parametrize(("contract", "path", "line"), BREAKS)
def test_a_forbidden_import_is_noticed(tmp_path: Path, contract: str, path: str, line: str) -> None:
    _copy_sources(tmp_path)
    with (tmp_path / path).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    result = _lint(tmp_path, "--contract", contract)
    assert result.returncode == 1, result.stdout + result.stderr
    module = path.removesuffix(".py").replace("/", ".")
    assert "Contracts: 0 kept, 1 broken." in result.stdout
    assert f"{module} ->" in result.stdout


def test_importing_reasoncd_and_gateway_loads_no_torch() -> None:
    # import-linter cannot tell a lazy import from an eager one; running it can.
    code = """
import importlib, pkgutil, sys
for name in ("reasoncd", "gateway"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, prefix=f"{name}."):
        importlib.import_module(module.name)
assert "gateway.embedded" in sys.modules
heavy = {"torch", "transformers", "timm", "open_clip", "peft", "ray", "services"} & set(sys.modules)
raise SystemExit(f"loaded: {sorted(heavy)}" if heavy else 0)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_answering_in_this_process_needs_nothing_of_the_wire() -> None:
    code = """
import sys
import gateway.cli, gateway.embedded, gateway.outputs, gateway.pipeline
wire = {"grpc", "google.protobuf", "opentelemetry", "prometheus_client", "fastapi"} & set(sys.modules)
raise SystemExit(f"loaded: {sorted(wire)}" if wire else 0)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
