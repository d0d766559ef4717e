"""What a run writes, read by the tools that others read it with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin
from rasterio.warp import transform as warp
from rio_cogeo.cogeo import cog_validate

from gateway.images import Georeference
from gateway.pipeline import Pipeline
from gateway.scenes import ScenePair, SceneResult, SceneSettings, run_scene
from gateway.scenes.ground import Ground
from tests.gateway.scenes.conftest import ORIGIN, PIXEL, UTM, MakeFiles, WriteTiff

pytestmark = pytest.mark.unit

QUERY = 'Where are <b>"new"</b> buildings? & more'
BOXES = ((20, 32, 60, 72), (112, 100, 48, 60), (252, 352, 32, 40))
HEIGHT, WIDTH = 300, 420


def _run(model: Any, files: tuple[Path, Path], out: Path, **settings: Any) -> SceneResult:
    with ScenePair.open(*files) as scene:
        return run_scene(model, scene, QUERY, settings=SceneSettings(**{"tile": 128, **settings}), folder=out)


@pytest.fixture
def out(pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path) -> Path:
    """The folder of a run with everything that can be asked for."""
    _run(pipeline, make_files(HEIGHT, WIDTH, *BOXES), tmp_path / "out", parquet=True, views=True)
    return tmp_path / "out"


def _geojson(folder: Path) -> list[dict[str, Any]]:
    features: list[dict[str, Any]] = json.loads((folder / "changes.geojson").read_text())["features"]
    return features


@pytest.mark.parametrize("name", ["change.tif", "probability.tif", "t1_view.tif", "t2_view.tif"])
def test_rasters_are_cloud_optimized_on_the_earlier_scenes_grid(name: str, out: Path) -> None:
    valid, errors, warnings = cog_validate(out / name, strict=True)
    assert valid, (errors, warnings)
    with rasterio.open(out / name) as source:
        assert (source.height, source.width) == (HEIGHT, WIDTH)
        assert source.crs == rasterio.CRS.from_string(UTM)
        assert source.transform == from_origin(*ORIGIN, PIXEL, PIXEL)


def test_large_rasters_have_overviews(pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path) -> None:
    _run(pipeline, make_files(600, 1100, (50, 50, 100, 100)), tmp_path / "out", tile=256)
    with rasterio.open(tmp_path / "out/probability.tif") as source:
        assert source.overviews(1) and source.block_shapes == [(512, 512)]
    assert cog_validate(tmp_path / "out/probability.tif", strict=True)[0]


def test_geojson_is_as_its_standard_wants_it(out: Path) -> None:
    features = _geojson(out)
    assert [feature["id"] for feature in features] == [1, 2, 3]
    for feature in features:
        polygon = shapely.geometry.shape(feature["geometry"])
        assert polygon.is_valid and polygon.exterior.is_ccw
        assert all(not ring.is_ccw for ring in polygon.interiors)
        west, south, east, north = polygon.bounds
        assert 8.9 < west < east < 9.1 and 46.9 < south < north < 47
        properties = feature["properties"]
        assert properties["query"] == QUERY
        assert (properties["class"], properties["direction"]) == ("building", "gain")
        assert properties["area_m2"] == pytest.approx(properties["area_px"] * PIXEL**2 / 0.9996**2, rel=1e-3)
        assert 0.5 <= properties["mean_probability"] <= 1
    assert "crs" not in json.loads((out / "changes.geojson").read_text())


def test_polygons_fall_on_the_right_ground(out: Path) -> None:
    found = sorted(shapely.geometry.shape(one["geometry"]).bounds for one in _geojson(out))
    expected = []
    for top, left, rows, columns in BOXES:
        xs = [ORIGIN[0] + PIXEL * left, ORIGIN[0] + PIXEL * (left + columns)]
        ys = [ORIGIN[1] - PIXEL * (top + rows), ORIGIN[1] - PIXEL * top]
        lon, lat = warp(UTM, "EPSG:4326", xs, ys)
        expected.append((lon[0], lat[0], lon[1], lat[1]))
    # The decoder of the tests draws in squares of four pixels, whose place depends on the tile.
    degrees = 4.5 * PIXEL / 76_000
    assert np.abs(np.array(found) - sorted(expected)).max() < degrees


def test_all_vector_files_hold_the_same(out: Path) -> None:
    meta, _, wkb, columns = pyogrio.raw.read(out / "changes.gpkg", layer="changes")
    table = dict(zip(meta["fields"], columns, strict=True))
    properties = [feature["properties"] for feature in _geojson(out)]
    for name, values in table.items():
        assert [value or None for value in values.tolist()] == [one[name] for one in properties]
    assert meta["crs"] == UTM
    polygons = shapely.from_wkb(wkb)
    east, north, right, top = shapely.total_bounds(polygons)
    assert ORIGIN[0] <= east < right <= ORIGIN[0] + WIDTH * PIXEL
    assert ORIGIN[1] - HEIGHT * PIXEL <= north < top <= ORIGIN[1]
    geopandas = pytest.importorskip("geopandas")
    frame = geopandas.read_parquet(out / "changes.parquet")
    assert frame.crs == UTM and frame["id"].tolist() == [1, 2, 3]
    assert shapely.equals(np.asarray(frame.geometry), polygons).all()
    assert frame["area_m2"].tolist() == table["area_m2"].tolist()


def test_polygons_cover_the_map(out: Path) -> None:
    with rasterio.open(out / "change.tif") as source:
        changed = int(np.count_nonzero(source.read(1) == 1))
    assert sum(feature["properties"]["area_px"] for feature in _geojson(out)) == changed


def test_holes_are_kept(pipeline: Pipeline, write_tiff: WriteTiff, tmp_path: Path) -> None:
    earlier = np.full((300, 300, 3), 65, dtype=np.uint8)
    later = earlier.copy()
    later[32:260, 32:260] = 200
    later[96:200, 96:200] = 65
    files = write_tiff("t1.tif", earlier), write_tiff("t2.tif", later)
    # Where four of the model's squares meet at a corner, single pixels may stand alone.
    _run(pipeline, files, tmp_path / "out", min_pixels=16)
    (feature,) = _geojson(tmp_path / "out")
    assert len(feature["geometry"]["coordinates"]) == 2


def test_small_regions_are_in_the_map_only(pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path) -> None:
    files = make_files(HEIGHT, WIDTH, *BOXES)
    result = _run(pipeline, files, tmp_path / "out", min_pixels=2500)
    assert result.polygons == 2 and result.places == 3
    assert all(feature["properties"]["area_px"] >= 2500 for feature in _geojson(tmp_path / "out"))


def test_nothing_found_is_written_all_the_same(
    pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path
) -> None:
    result = _run(pipeline, make_files(HEIGHT, WIDTH), tmp_path / "out", parquet=True)
    assert result.answer == "New buildings: no such change is seen."
    assert _geojson(tmp_path / "out") == []
    meta, _, wkb, _ = pyogrio.raw.read(tmp_path / "out/changes.gpkg", layer="changes")
    assert len(wkb) == 0 and "area_m2" in meta["fields"]


def test_without_a_reference_system_coordinates_are_pixels(
    pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path
) -> None:
    files = make_files(HEIGHT, WIDTH, *BOXES, crs=None, transform=None)
    result = _run(pipeline, files, tmp_path / "out", parquet=True)
    assert result.area_m2 is None and result.crs is None
    collection = json.loads((tmp_path / "out/changes.geojson").read_text())
    assert collection["coordinates"] == "pixels"
    assert "area_m2" not in collection["features"][0]["properties"]
    assert json.loads((tmp_path / "out/item.json").read_text())["geometry"] is None
    assert pyogrio.raw.read(tmp_path / "out/changes.gpkg", layer="changes")[0]["crs"] is None


def test_views_show_what_the_model_saw(out: Path) -> None:
    with rasterio.open(out / "t2_view.tif") as source:
        assert source.count == 3 and source.profile["compress"] == "jpeg"
        assert abs(int(source.read(1)[50, 60]) - 200) < 12
        assert source.dataset_mask().min() == 255


def test_views_mask_what_is_not_valid(pipeline: Pipeline, write_tiff: WriteTiff, tmp_path: Path) -> None:
    later = np.full((300, 300, 3), 200, dtype=np.uint8)
    later[:, 200:] = 0
    earlier = np.full((300, 300, 3), 65, dtype=np.uint8)
    files = write_tiff("t1.tif", earlier), write_tiff("t2.tif", later, nodata=0)
    _run(pipeline, files, tmp_path / "out", views=True)
    with rasterio.open(tmp_path / "out/t1_view.tif") as source:
        mask = source.dataset_mask()
    assert (mask[:, :200] == 255).all() and (mask[:, 200:] == 0).all()


def test_the_catalogue_entry_is_a_valid_item(out: Path) -> None:
    import pystac

    item = pystac.Item.from_dict(json.loads((out / "item.json").read_text()))
    assert set(item.assets) == {path.name for path in out.iterdir()} - {
        "run.json",
        "result.json",
        "item.json",
    }
    assert all((out / asset.href).is_file() for asset in item.assets.values())
    west, south, east, north = item.bbox or []
    assert shapely.box(west, south, east, north).contains(
        shapely.union_all([shapely.geometry.shape(one["geometry"]) for one in _geojson(out)])
    )
    assert item.properties["proj:code"] == UTM
    # The dates are not known, and the format allows for no open interval.
    assert item.properties["datetime"] is None and item.properties["start_datetime"].startswith("1900")


def test_the_report_needs_nothing_else_and_quotes_safely(out: Path) -> None:
    page = (out / "report.html").read_text()
    assert "Where are &lt;b&gt;" in page and "<b>" not in page
    assert page.count("data:image/") >= 2
    for outside in ("http:", "https:", "<script", "<link", "@import", "url("):
        assert outside not in page
    result = SceneResult.from_json((out / "result.json").read_text())
    assert result.answer in page
    assert all(fingerprint in page for fingerprint in result.fingerprints.values())


def test_regions_over_the_antimeridian_are_cut() -> None:
    # The first UTM zone begins at 180 degrees; this scene lies on both sides of it.
    georef = Georeference(transform=(100.0, 0.0, 340_000.0, 0.0, -100.0, 7_200_000.0), crs="EPSG:32601")
    ground = Ground(georef, width=400, height=400)
    (cut,) = ground.to_degrees([shapely.box(0, 0, 400, 400)])
    west, _, east, _ = cut.bounds
    assert cut.geom_type == "MultiPolygon" and west == -180 and east == 180
    assert all(part.bounds[2] - part.bounds[0] < 2 for part in cut.geoms)
    assert ground.areas_m2([shapely.box(0, 0, 400, 400)])[0] == pytest.approx(400 * 400 * 100**2, rel=3e-3)
