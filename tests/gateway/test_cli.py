"""The command line: what it prints, how it ends, and that bad input leaves no trace."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rasterio import Affine
from typer.testing import CliRunner, Result

import reasoncd
from gateway import embedded
from gateway.cli import app
from gateway.pipeline import Pipeline
from reasoncd.errors import ReasonCDError

pytestmark = pytest.mark.unit

MakeScene = Callable[..., NDArray[np.uint8]]
MakeTiff = Callable[..., Path]
Run = Callable[..., Result]

ROOT = Path(__file__).resolve().parents[2]
BOX = "New buildings: 1 place, 5.0 % of the area."


@pytest.fixture(autouse=True)
def keep_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line replaces the hook for uncaught errors, which belongs to its own process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pipeline: Pipeline) -> Run:
    """Run `reasoncd` with the small engines, in an empty working folder."""
    monkeypatch.setattr(embedded, "build_pipeline", lambda checkpoint, **_: pipeline)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("reasoncd: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr
    assert list(Path.cwd().iterdir()) == []


def test_answers_are_printed_and_written(run: Run, pair_files: tuple[Path, Path]) -> None:
    result = run("detect", *pair_files, "new buildings", "lost buildings", "how is the weather?")
    assert result.exit_code == 0, result.output
    for line in (BOX, "Lost buildings: no such change is seen.", "This question is not about a change"):
        assert line in result.stdout
    folders = sorted(path.name for path in Path("reasoncd-out").iterdir())
    assert folders == ["01-new-buildings", "02-lost-buildings", "03-how-is-the-weather", "index.json"]
    change = np.asarray(Image.open("reasoncd-out/01-new-buildings/change_map.png"))
    assert (change.shape, change.dtype.name) == ((80, 96), "uint8")
    assert set(change.ravel().tolist()) == {0, 255}


def test_json_is_pure_and_equals_the_index(run: Run, pair_files: tuple[Path, Path]) -> None:
    result = run("detect", *pair_files, "new buildings", "--json", "--out", "there", "--explain")
    assert result.exit_code == 0, result.output
    index = json.loads(result.stdout)
    assert index == json.loads(Path("there/index.json").read_text())
    assert index["results"][0]["mode"] == "explained"
    assert index["results"][0]["answer"] == f"Roofs stand on what were fields. {BOX}"


def test_the_threshold_is_taken(run: Run, pair_files: tuple[Path, Path]) -> None:
    result = run("detect", *pair_files, "new buildings", "--json", "--threshold", "0.9999")
    assert_refused(result, "threshold is 0.9999")
    result = run("detect", *pair_files, "new buildings", "--json", "--threshold", "0.25")
    assert json.loads(result.stdout)["results"][0]["thresholds"]["probability"] == 0.25


def test_a_geotiff_gives_longitude_and_latitude(run: Run, make_scene: MakeScene, make_tiff: MakeTiff) -> None:
    images = make_scene(64, 64, (16, 24, 16, 20))
    place = {"crs": "EPSG:4326", "transform": Affine(0.001, 0, 7.5, 0, -0.001, 47.25)}
    paths = [make_tiff(f"{n}.tif", np.moveaxis(images[n], -1, 0), **place) for n in (0, 1)]
    result = run("detect", *paths, "new buildings", "--json")
    assert json.loads(result.stdout)["crs"] == "EPSG:4326"
    folder = Path("reasoncd-out/01-new-buildings")
    (feature,) = json.loads((folder / "changes.geojson").read_text())["features"]
    corners = np.array(feature["geometry"]["coordinates"][0])
    np.testing.assert_allclose(corners.min(axis=0), (7.524, 47.218), atol=1e-7)
    np.testing.assert_allclose(corners.max(axis=0), (7.544, 47.234), atol=1e-7)
    assert (folder / "change_map.tif").is_file()


BAD_IMAGES: dict[str, tuple[Any, str]] = {
    "missing.png": (None, "does not exist"),
    "empty.png": (b"", "is empty"),
    "random.png": (bytes(range(256)) * 8, "is not a PNG, JPEG or TIFF"),
    "photo.gif": ("GIF", "is not a PNG, JPEG or TIFF"),
    "photo.webp": ("WEBP", "is not a PNG, JPEG or TIFF"),
    "photo.bmp": ("BMP", "is not a PNG, JPEG or TIFF"),
    "cut.png": ("cut", "damaged or cut short"),
    "gray.png": (Image.new("L", (96, 80)), "grayscale"),
    "deep.png": (Image.fromarray(np.zeros((80, 96), np.uint16)), "16-bit"),
    "other-size.png": (Image.new("RGB", (97, 80)), "96 x 80"),
    "small.png": (Image.new("RGB", (15, 80)), "15 x 80"),
    "bomb.png": ("bomb", "20000 x 20000"),
    "folder.png": ("folder", "not a regular file"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
@pytest.mark.parametrize("place", [0, 1])
def test_bad_images_are_refused_in_one_sentence(
    run: Run, tmp_path: Path, pair_files: tuple[Path, Path], name: str, place: int
) -> None:
    content, words = BAD_IMAGES[name]
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, Image.Image):
        content.save(path)
    elif content == "folder":
        path.mkdir()
    elif content == "cut":
        path.write_bytes(pair_files[0].read_bytes()[:3000])
    elif content == "bomb":
        data = bytearray(pair_files[0].read_bytes())
        data[16:24] = (20_000).to_bytes(4, "big") * 2
        path.write_bytes(data)
    elif content:
        Image.open(pair_files[0]).save(path, content)
    paths = list(pair_files)
    paths[place] = path
    assert_refused(run("detect", *paths, "new buildings"), name, words)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "query is empty"),
        (" \n ", "query is empty"),
        ("x" * 10_000, "10000 characters"),
        ("a\0b", "control character"),
    ],
)
def test_bad_queries_are_refused(run: Run, pair_files: tuple[Path, Path], query: str, words: str) -> None:
    assert_refused(run("detect", *pair_files, "new buildings", query), words)


def test_a_folder_that_cannot_be_written_is_refused(run: Run, pair_files: tuple[Path, Path]) -> None:
    before = sorted(pair_files[0].parent.iterdir())
    assert_refused(run("detect", *pair_files, "new buildings", "--out", pair_files[0] / "out"), "before.png")
    assert_refused(run("detect", *pair_files, "new buildings", "--out", pair_files[0]), "not a folder")
    assert_refused(run("detect", *pair_files, "new buildings", "--out", pair_files[0].parent), "not empty")
    assert sorted(pair_files[0].parent.iterdir()) == before


def test_a_missing_checkpoint_is_refused(
    pair_files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    arguments = ["detect", *map(str, pair_files), "new buildings"]
    result = CliRunner().invoke(app, [*arguments, "--checkpoint", "gone"])
    assert_refused(result, "no checkpoint at gone")
    monkeypatch.setenv("REASONCD_CHECKPOINT", str(pair_files[0].parent))
    assert_refused(CliRunner().invoke(app, arguments), str(pair_files[0].parent))


def test_a_fault_of_ours_ends_with_1(
    run: Run, pair_files: tuple[Path, Path], pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ReasonCDError("the reasoner stopped before the end of its answer; ask again")

    monkeypatch.setattr(pipeline, "detect", fail)
    result = run("detect", *pair_files, "new buildings")
    assert result.exit_code == 1
    assert result.stderr == "reasoncd: the reasoner stopped before the end of its answer; ask again\n"
    assert not Path("reasoncd-out").exists()


CRASH = """
from gateway import cli, images
def fail(*_): raise ZeroDivisionError("secret detail")
images.read_pair = fail
cli.app()
"""


@pytest.mark.parametrize("debug", ["0", "1"])
def test_an_unexpected_fault_is_one_sentence_unless_debugging(tmp_path: Path, debug: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "REASONCD_DEBUG": debug}
    command = [sys.executable, "-c", CRASH, "detect", "a.png", "b.png", "new buildings"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert ("Traceback" in done.stderr) == (debug == "1")
    if debug == "0":
        assert done.stderr.startswith("reasoncd: this is a fault of the program (ZeroDivisionError)")
        assert done.stderr.count("\n") == 1


def test_help_and_version_start_without_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from gateway.cli import app\ntry: app()\nfinally: assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for option, expected in (("--version", f"reasoncd {reasoncd.__version__}"), ("--help", "fetch-base")):
        command = [sys.executable, "-c", program, option]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


def test_fetch_base_prints_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fetch(progress: Callable[[str], None]) -> Path:
        progress("downloading")
        return tmp_path / "base"

    monkeypatch.setattr(embedded, "fetch_base", fetch)
    result = CliRunner().invoke(app, ["fetch-base"])
    assert result.exit_code == 0
    assert result.stdout.strip() == str(tmp_path / "base")
    assert result.stderr == "downloading\n"


def test_too_few_arguments_end_with_2() -> None:
    assert CliRunner().invoke(app, ["detect", "a.png"]).exit_code == 2
