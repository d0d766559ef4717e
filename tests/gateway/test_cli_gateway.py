"""`reasoncd detect --gateway`: the files, texts and exit statuses of the command without it."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio import Affine
from typer.testing import CliRunner, Result

from gateway import embedded
from gateway.cli import app
from gateway.pipeline import Pipeline
from reasoncd.errors import InvalidInputError, ReasonCDError
from tests.gateway.served import served

pytestmark = pytest.mark.unit

Run = Callable[..., Result]
QUESTIONS = ("new buildings", "lost buildings", "how is the weather?")


@pytest.fixture(autouse=True)
def keep_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line replaces the hook for uncaught errors, which belongs to its own process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `reasoncd detect` in an empty working folder; the engines must not be loaded."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the engines were loaded in this process")

    monkeypatch.setattr(embedded, "build_pipeline", refuse)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return lambda *arguments: CliRunner().invoke(app, ["detect", *map(str, arguments)])


@pytest.fixture
def gateway(pipeline: Pipeline) -> Iterator[str]:
    with served(pipeline) as target:
        yield target


def _here(monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, *arguments: object) -> Result:
    monkeypatch.setattr(embedded, "build_pipeline", lambda checkpoint, **_: pipeline)
    return CliRunner().invoke(app, ["detect", *map(str, arguments)])


def _without_times(value: Any) -> Any:
    for result in value.get("results", [value]):
        assert list(result.pop("timings_s")) == ["encode", "decode", "reason", "outline"]
    return value


def _same_files(one: Path, other: Path) -> None:
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    assert len(names) > 5
    for name in names:
        if name.name in ("index.json", "result.json"):
            first, second = (
                json.dumps(_without_times(json.loads((folder / name).read_text()))) for folder in (one, other)
            )
            assert first == second
        else:
            assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("options", [(), ("--explain", "--threshold", "0.25")])
def test_files_and_texts_are_those_of_this_process(
    run: Run,
    gateway: str,
    pipeline: Pipeline,
    pair_files: tuple[Path, Path],
    options: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    far = run(*pair_files, *QUESTIONS, "--gateway", gateway, "--out", "far", *options)
    assert (far.exit_code, far.stderr) == (0, "")
    here = _here(monkeypatch, pipeline, *pair_files, *QUESTIONS, "--out", "here", *options)
    assert far.stdout == here.stdout.replace("here", "far")
    _same_files(Path("far"), Path("here"))


def test_georeferenced_files_too(
    run: Run,
    gateway: str,
    pipeline: Pipeline,
    make_scene: Callable[..., NDArray[np.uint8]],
    make_tiff: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = make_scene(64, 64, (16, 24, 16, 20))
    place = {"crs": "EPSG:4326", "transform": Affine(0.001, 0, 7.5, 0, -0.001, 47.25)}
    paths = [make_tiff(f"{n}.tif", np.moveaxis(images[n], -1, 0), **place) for n in (0, 1)]
    far = run(*paths, "new buildings", "--json", "--gateway", gateway, "--out", "far")
    assert json.loads(far.stdout)["crs"] == "EPSG:4326"
    assert Path("far/01-new-buildings/change_map.tif").is_file()
    _here(monkeypatch, pipeline, *paths, "new buildings", "--out", "here")
    _same_files(Path("far"), Path("here"))


def assert_refused(result: Result, *words: str, status: int = 2) -> None:
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("reasoncd: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--gateway", "http://localhost:80"], "is no address; give HOST:PORT"),
        (["--gateway", ""], "is no address"),
        (
            ["--gateway", "localhost:1", "--checkpoint", "there"],
            "--checkpoint and --gateway exclude each other",
        ),
        (["--gateway", "localhost:1", "--timeout", "0"], "timeout_s is 0.0"),
        (["--gateway", "localhost:1", "--timeout", "nan"], "timeout_s is nan"),
        (["--gateway", "localhost:1", "--token-file", "gone"], "token file gone does not exist"),
        (["--gateway", "localhost:1", "--tls-ca", "gone"], "TLS ca gone does not exist"),
        (["--gateway", "localhost:1", "--tls-cert", __file__], "go together"),
        (["--gateway", "localhost:1", "--tls-ca", "/dev/null"], "TLS ca is not in PEM"),
        (["--token-file", "gone"], "--token-file is for asking a gateway"),
        (["--tls"], "--tls is for asking a gateway"),
        (["--tls-name", "a"], "--tls-name is for asking a gateway"),
        (["--timeout", "5"], "--timeout is for asking a gateway"),
    ],
)
def test_bad_options_are_refused_in_one_sentence(
    run: Run, pair_files: tuple[Path, Path], options: list[str], words: str
) -> None:
    assert_refused(run(*pair_files, "new buildings", *options), words)


def test_what_is_checked_here_is_not_sent(run: Run, pair_files: tuple[Path, Path]) -> None:
    nobody = ("--gateway", "127.0.0.1:1")
    assert_refused(run(pair_files[0], "gone.png", "a", *nobody), "gone.png does not exist")
    assert_refused(run(*pair_files, "", *nobody), "query is empty")
    assert_refused(run(*pair_files, "a", "--threshold", "2", *nobody), "threshold is 2")
    assert_refused(run(*pair_files, "a", "--out", pair_files[0], *nobody), "not a folder")


def test_nobody_at_the_address(run: Run, pair_files: tuple[Path, Path]) -> None:
    refused = run(*pair_files, "new buildings", "--gateway", "127.0.0.1:1")
    assert_refused(refused, "the gateway at 127.0.0.1:1 cannot be reached")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInputError("query 1 holds what the gateway refuses; ask otherwise"), 2),
        (ReasonCDError("the reasoner stopped before the end of its answer; ask again"), 1),
    ],
)
def test_the_gateways_sentence_and_the_exit_status_of_its_error(
    run: Run,
    gateway: str,
    pipeline: Pipeline,
    pair_files: tuple[Path, Path],
    error: ReasonCDError,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, "detect", fail)
    assert_refused(run(*pair_files, "new buildings", "--gateway", gateway), error.message, status=status)


def test_a_package_that_is_missing(
    run: Run, pair_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("reasoncd.client")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "grpc", None)
    assert_refused(run(*pair_files, "a", "--gateway", "h:1"), "needs the package grpc", "reasoncd[rpc]")
