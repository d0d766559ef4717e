"""What an installation brings, read from metadata: nothing is installed or downloaded here."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, entry_points, packages_distributions, requires, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import reasoncd

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
HEAVY = {"torch", "torchvision", "transformers", "timm", "open-clip-torch", "peft", "deepspeed", "ray"}


def _declared(extras: set[str]) -> Iterator[Requirement]:
    """What this project asks for directly, references to its own extras resolved."""
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in EXTRAS[extra])]
    for requirement in map(Requirement, texts):
        if canonicalize_name(requirement.name) == "reasoncd":
            yield from _declared(requirement.extras)
        else:
            yield requirement


def _everything(extras: set[str]) -> set[str]:
    """Names of all distributions that `reasoncd[extras]` brings, directly or through others."""
    found: set[tuple[str, str]] = set()
    waiting = list(_declared(extras))
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            try:
                texts = requires(name) or []
            except PackageNotFoundError:
                pytest.skip(f"{name} is not installed; run `make tools`")
            waiting += [
                wanted
                for wanted in map(Requirement, texts)
                if wanted.marker is None or wanted.marker.evaluate({"extra": extra})
            ]
    return {name for name, _ in found}


def test_base_and_gateway_bring_no_torch() -> None:
    assert not _everything(set()) & HEAVY
    assert not _everything({"gateway"}) & HEAVY
    # The walk itself must be able to find torch, or the above would prove nothing.
    assert "torch" in _everything({"mask-decoder"})


def test_drawing_scenes_brings_no_torch() -> None:
    assert not _everything({"scenes"}) & HEAVY


@pytest.mark.parametrize(
    "extra", ["gateway", "vision-encoder", "reasoner", "mask-decoder", "serve", "scenes"]
)
def test_each_part_has_its_own_requirements(extra: str) -> None:
    own = [Requirement(text) for text in EXTRAS[extra]]
    assert own
    # Of this project's own extras only those that are no part of the model.
    shared = {one for requirement in own if requirement.name == "reasoncd" for one in requirement.extras}
    assert shared <= {"rpc", "observed"}


@pytest.mark.parametrize("extra", ["vision-encoder", "reasoner", "mask-decoder"])
def test_a_service_has_what_its_modules_import(extra: str) -> None:
    distributions = packages_distributions()
    waiting = list((ROOT / "services" / extra.replace("-", "_")).rglob("*.py"))
    seen: set[Path] = set()
    asked: set[str] = set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for name in _imported(file):
            own = ROOT / (name.replace(".", "/") + ".py")
            if own.is_file():
                # Modules that several services share; the wire and the rest of `reasoncd` is not a service's.
                waiting += [own] if own.is_relative_to(ROOT / "services") else []
            elif name.partition(".")[0] not in (*sys.stdlib_module_names, "reasoncd", "services"):
                asked.add(name.partition(".")[0])
    assert "torch" in asked
    brought = {canonicalize_name(r.name) for r in _declared({extra, "serve"})}
    # Several distributions may share a name, such as `google`.
    assert {
        name for name in asked if brought.isdisjoint(map(canonicalize_name, distributions[name]))
    } == set()


def _imported(file: Path) -> Iterator[str]:
    """Names of modules that a file imports, now or later."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


@pytest.mark.parametrize("extra", [extra for extra in EXTRAS if extra not in ("all", "dev")])
def test_all_holds_every_part(extra: str) -> None:
    assert {r.name for r in _declared({extra})} <= {r.name for r in _declared({"all"})}


def test_pins_are_exact_and_agree_with_each_other() -> None:
    pins: dict[str, set[str]] = {}
    for requirement in _declared(set(EXTRAS)):
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", str(requirement.specifier)), (
            f"{requirement} is no exact pin"
        )
        pins.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
    assert {name: pin for name, pin in pins.items() if len(pin) > 1} == {}


def test_pins_agree_with_what_is_installed() -> None:
    compared, wrong = 0, []
    for requirement in _declared(set(EXTRAS)):
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            continue  # an environment may hold some of the parts only
        compared += 1
        # A local label ("+cpu") names a build of the same version.
        if installed.partition("+")[0] not in requirement.specifier:
            wrong.append(f"{requirement} is asked for, {installed} is installed")
    assert compared > 10
    assert not wrong, "; ".join(wrong) + "; run `make tools`"


def test_version_and_commands() -> None:
    assert version("reasoncd") == reasoncd.__version__
    commands = {entry.name: entry.value for entry in entry_points(group="console_scripts")}
    assert PROJECT["scripts"].items() <= commands.items()


@pytest.mark.parametrize("name", PROJECT["scripts"])
def test_each_command_has_its_program(name: str) -> None:
    # In the source tree: what is installed may be older.
    module = PROJECT["scripts"][name].partition(":")[0]
    assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()


def test_each_package_is_marked_as_typed() -> None:
    for package in ("reasoncd", "services", "gateway", "training", "benchmarks"):
        assert (ROOT / package / "py.typed").is_file()


def test_changelog_speaks_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in text or f"## [{reasoncd.__version__}]" in text
