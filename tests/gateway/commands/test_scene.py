"""`reasoncd scene`: in process and by a gateway, its words and its exit statuses."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from typer.testing import CliRunner, Result

from gateway import embedded
from gateway.cli import app
from gateway.commands.scene import _time_left
from gateway.pipeline import Pipeline
from reasoncd.errors import UnavailableError
from tests.gateway.served import served

pytestmark = pytest.mark.unit

QUERY = "Where are new buildings?"
Scene = Callable[..., Result]


@pytest.fixture(autouse=True)
def keep_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line replaces the hook for uncaught errors, which belongs to its own process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


@pytest.fixture
def files(tmp_path: Path, make_scene: Callable[..., NDArray[np.uint8]]) -> tuple[Path, Path]:
    images = make_scene(200, 300, (20, 32, 60, 72), (112, 100, 48, 60))
    paths = tmp_path / "t1.tif", tmp_path / "t2.tif"
    for path, pixels in zip(paths, images, strict=True):
        with rasterio.open(
            path, "w", driver="GTiff", height=200, width=300, count=3, dtype="uint8", crs="EPSG:32632",
            transform=from_origin(500_000, 5_200_000, 0.5, 0.5),
        ) as sink:  # fmt: skip
            sink.write(np.moveaxis(pixels, -1, 0))
    return paths


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, files: tuple[Path, Path]) -> Scene:
    """Run the command over the two files, with the engines of the tests in this process."""
    parts = (pipeline._vision, pipeline._reasoner, pipeline._decoder)
    monkeypatch.setattr(embedded, "load_engines", lambda checkpoint: parts)
    return lambda *options: CliRunner().invoke(app, ["scene", *map(str, (*files, QUERY, *options))])


@pytest.fixture
def gateway(pipeline: Pipeline) -> Iterator[str]:
    with served(pipeline) as target:
        yield target


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_it_says_what_it_found_and_where(scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = scene("--out", out, "--tile", 128, "--parquet", "--views")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{QUERY}\n  New buildings: 2 places, ")
    assert str(out / "report.html") in result.stdout
    assert {path.name for path in out.iterdir()} == {
        "change.tif", "probability.tif", "t1_view.tif", "t2_view.tif", "changes.gpkg", "changes.geojson",
        "changes.parquet", "report.html", "item.json", "result.json", "run.json",
    }  # fmt: skip


def test_json_is_the_result(scene: Scene, tmp_path: Path) -> None:
    result = scene("--out", tmp_path / "out", "--tile", 128, "--json")
    assert json.loads(result.stdout) == json.loads((tmp_path / "out/result.json").read_text())


def test_a_gateway_gives_the_same_bytes(
    scene: Scene, gateway: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scene("--out", tmp_path / "here", "--tile", 128).exit_code == 0

    def refuse(*_: object) -> None:
        raise AssertionError("the engines were loaded in this process")

    monkeypatch.setattr(embedded, "load_engines", refuse)
    result = scene("--out", tmp_path / "there", "--tile", 128, "--gateway", gateway)
    assert result.exit_code == 0, result.output
    assert _digests(tmp_path / "there") == _digests(tmp_path / "here")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--bands", "3,2"), "give three numbers"),
        (("--bands", "3,2,9"), "band 9 is asked for"),
        (("--tile", "100"), "multiple of the model's 64"),
        (("--threshold", "2"), "threshold is 2.0"),
        (("--min-pixels", "0"), "min_pixels is 0"),
        (("--gateway", "localhost:1", "--checkpoint", "x"), "exclude each other"),
        (("--t1-date", "2024-05-01", "--t2-date", "2020-01-01"), "before 2024-05-01"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    options: tuple[str, ...], words: str, scene: Scene, tmp_path: Path
) -> None:
    result = scene("--out", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("reasoncd: ") and words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_failed_tiles_are_told_and_the_exit_status_is_1(
    scene: Scene, tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect, calls = Pipeline.detect, iter(range(100))

    def troubled(self: Pipeline, *arguments: Any, **options: Any) -> Any:
        if next(calls) in (1, 2, 3):
            raise UnavailableError("the decoder is away")
        return detect(self, *arguments, **options)

    monkeypatch.setattr(Pipeline, "detect", troubled)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    result = scene("--out", tmp_path / "out", "--tile", 128)
    assert result.exit_code == 1
    assert "1 of 6 tiles failed and hold no data (the decoder is away)" in result.stderr
    assert scene("--out", tmp_path / "out", "--tile", 128).exit_code == 0


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, ""), (0.0, "0:00 left"), (65.2, "1:05 left"), (7384.0, "2:03:04 left")]
)
def test_time_left_in_words(seconds: float | None, words: str) -> None:
    assert _time_left(seconds) == words
