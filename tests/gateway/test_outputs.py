"""Results on the disk: what they hold, and that they are whole or not there."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image

from gateway import outputs
from gateway.images import Georeference, ImagePair
from gateway.outputs import Source, check_output, result_folder, write_results
from gateway.pipeline import Pipeline
from reasoncd.errors import OutputError

pytestmark = pytest.mark.unit

MakeScene = Callable[..., NDArray[np.uint8]]

SOURCE = Source(t1="before.png", t2="after.png")
NEW, LOST, OFF_TOPIC = "Where are new buildings?", "lost buildings", "how is the weather?"
FILES = ["change_map.png", "changes.geojson", "overlay.png", "probability.png", "result.json"]


@pytest.fixture
def pair(make_scene: MakeScene) -> ImagePair:
    return ImagePair(images=make_scene(80, 96, (32, 40, 16, 24)), georef=None)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_file_holds_what_was_found(pipeline: Pipeline, pair: ImagePair, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    found = pipeline.detect(pair.images, [NEW.lower(), OFF_TOPIC])
    index = write_results(out, SOURCE, pair, found)
    assert json.loads((out / "index.json").read_text()) == index
    assert [r["folder"] for r in index["results"]] == ["01-where-are-new-buildings", "02-how-is-the-weather"]
    assert index["inputs"] == {"t1": "before.png", "t2": "after.png"}
    folder = out / "01-where-are-new-buildings"
    assert sorted(p.name for p in folder.iterdir()) == FILES == index["results"][0]["files"]

    change = Image.open(folder / "change_map.png")
    assert (change.mode, change.size) == ("L", (96, 80))
    np.testing.assert_array_equal(np.asarray(change), found[0].change_map * np.uint8(255))
    probability = np.asarray(Image.open(folder / "probability.png"))
    assert np.abs(probability / 255 - found[0].probability).max() <= 0.5 / 255 + 1e-6

    result = json.loads((folder / "result.json").read_text())
    assert result["answer"] == found[0].answer
    assert result["changed_fraction"] == found[0].change_map.mean()
    assert result["thresholds"] == {"probability": 0.5, "presence": 0.5}
    assert (result["width"], result["height"], result["crs"]) == (96, 80, None)
    assert result["fingerprints"].keys() == {"vision_encoder", "reasoner", "mask_decoder"}
    assert result["seg_emitted"] is True
    features = json.loads((folder / "changes.geojson").read_text())["features"]
    assert sum(f["properties"]["area_px"] for f in features) == result["changed_pixels"]

    empty = json.loads((out / "02-how-is-the-weather" / "result.json").read_text())
    assert (empty["confidence"], empty["presence"], empty["seg_emitted"]) == (None, 0, False)


def test_georeferencing_reaches_map_and_polygons(pipeline: Pipeline, pair: ImagePair, tmp_path: Path) -> None:
    georef = Georeference(transform=(2, 0, 500_000, 0, -2, 5_200_000), crs="EPSG:32633")
    located = ImagePair(images=pair.images, georef=georef)
    write_results(tmp_path / "out", SOURCE, located, pipeline.detect(pair.images, [NEW.lower()]))
    folder = tmp_path / "out" / "01-where-are-new-buildings"
    with rasterio.open(folder / "change_map.tif") as source:
        assert source.crs.to_epsg() == 32633
        assert tuple(source.transform)[:6] == georef.transform
        np.testing.assert_array_equal(source.read(1), np.asarray(Image.open(folder / "change_map.png")))
    (feature,) = json.loads((folder / "changes.geojson").read_text())["features"]
    assert feature["properties"]["area_m2"] == pytest.approx(4 * feature["properties"]["area_px"], rel=0.002)
    assert json.loads((folder / "result.json").read_text())["crs"] == "EPSG:32633"


def test_a_second_run_replaces_the_first_and_leaves_other_files_alone(
    pipeline: Pipeline, pair: ImagePair, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write_results(out, SOURCE, pair, pipeline.detect(pair.images, [NEW, LOST]))
    (out / "map.qgz").write_text("mine")
    write_results(out, SOURCE, pair, pipeline.detect(pair.images, [LOST]))
    assert sorted(p.name for p in out.iterdir()) == ["01-lost-buildings", "index.json", "map.qgz"]
    assert [r["folder"] for r in json.loads((out / "index.json").read_text())["results"]] == [
        "01-lost-buildings"
    ]


def test_an_empty_folder_is_taken(pipeline: Pipeline, pair: ImagePair, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write_results(out, SOURCE, pair, pipeline.detect(pair.images, [LOST]))
    assert sorted(p.name for p in out.iterdir()) == ["01-lost-buildings", "index.json"]


@pytest.mark.parametrize("at", ["overlay.png", "index.json"])
@pytest.mark.parametrize("before", ["nothing", "empty", "results"])
def test_a_failure_midway_leaves_everything_as_it_was(
    pipeline: Pipeline, pair: ImagePair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, before: str
) -> None:
    out = tmp_path / "out"
    found = pipeline.detect(pair.images, [NEW, LOST])
    if before == "empty":
        out.mkdir()
    if before == "results":
        write_results(out, SOURCE, pair, found[:1])
    kept = tree(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if at == "overlay.png":
        monkeypatch.setattr(outputs, "overlay", fail)
    else:
        monkeypatch.setattr("os.replace" if before != "nothing" else "os.rename", fail)
    with pytest.raises(OutputError):
        write_results(out, SOURCE, pair, found)
    monkeypatch.undo()
    assert tree(tmp_path) == kept
    assert out.exists() == (before != "nothing")
    assert not any(p.name.startswith(".") for p in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "index",
    [None, "{}", "[1]", "no json", '{"format": "other", "results": []}', '{"format": "reasoncd-results"}'],
)
def test_a_folder_of_others_is_refused(tmp_path: Path, index: str | None) -> None:
    (tmp_path / "photo.png").write_bytes(b"mine")
    if index is not None:
        (tmp_path / "index.json").write_text(index)
    with pytest.raises(OutputError, match="not empty and was not written by reasoncd"):
        check_output(tmp_path, [NEW])


def test_a_folder_of_the_same_name_that_is_not_ours_is_refused(
    pipeline: Pipeline, pair: ImagePair, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write_results(out, SOURCE, pair, pipeline.detect(pair.images, [LOST]))
    (out / result_folder(1, NEW)).mkdir()
    with pytest.raises(OutputError, match="01-where-are-new-buildings was not written by reasoncd"):
        check_output(out, [NEW])


def test_an_edited_index_cannot_point_elsewhere(pipeline: Pipeline, pair: ImagePair, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    out = tmp_path / "out"
    index = write_results(out, SOURCE, pair, pipeline.detect(pair.images, [LOST]))
    index["results"] += [{"folder": "../precious"}, {"folder": str(precious)}]
    (out / "index.json").write_text(json.dumps(index))
    write_results(out, SOURCE, pair, pipeline.detect(pair.images, [LOST]))
    assert precious.is_dir()


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    blocking = tmp_path / "file"
    blocking.write_text("")
    with pytest.raises(OutputError, match="is not a folder"):
        check_output(blocking, [NEW])
    with pytest.raises(OutputError, match=r"file is a file; name another place|cannot be written"):
        check_output(blocking / "out" / "deep", [NEW])
    with pytest.raises(OutputError, match="cannot be written"):
        check_output(Path("/proc/self/out"), [NEW])
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(OutputError, match="is not a folder"):
        check_output(tmp_path / "link", [NEW])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "link"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("Where are new buildings?", "07-where-are-new-buildings"),
        ("../../etc/passwd", "07-etc-passwd"),
        ("Über Straßen", "07-uber-straen"),
        ("哪里有新建筑", "07-query"),
        ("x" * 2000, "07-" + "x" * 40),
    ],
)
def test_folder_names_are_plain(query: str, name: str) -> None:
    assert result_folder(7, query) == name
