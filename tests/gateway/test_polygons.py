"""Polygons cover the changed pixels exactly, and lie where they should on the Earth."""

import json

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry import box, shape

from gateway import polygons
from gateway.images import Georeference
from gateway.polygons import feature_collection, find_places

UTM33 = Georeference(transform=(10, 0, 500_000, 0, -10, 5_000_000), crs="EPSG:32633")


pytestmark = pytest.mark.unit


def scene() -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    change = np.zeros((40, 50), bool)
    change[10:20, 5:25] = True
    change[12:15, 8:12] = False
    change[30:32, 40:50] = True
    return change, np.where(change, 0.75, 0.1).astype(np.float32)


def test_places_are_the_regions_with_their_holes_largest_first() -> None:
    places = find_places(*scene())
    assert places.count == 2
    first, second = places.drawn
    assert (first.area_px, second.area_px) == (188, 20)
    assert first.polygon.equals(box(5, 10, 25, 20).difference(box(8, 12, 12, 15)))
    assert second.polygon.equals(box(40, 30, 50, 32))
    assert first.mean_probability == pytest.approx(0.75)


def test_polygons_of_noise_are_valid_and_give_the_map_back() -> None:
    rng = np.random.default_rng(3)
    change = rng.random((60, 70)) > 0.5
    probability = rng.random((60, 70)).astype(np.float32)
    places = find_places(change, probability)
    assert places.count == len(places.drawn)
    assert all(place.polygon.is_valid for place in places.drawn)
    assert all(place.polygon.area == place.area_px for place in places.drawn)
    back = rasterize([place.polygon for place in places.drawn], out_shape=change.shape).astype(bool)
    np.testing.assert_array_equal(back, change)
    mean = sum(place.area_px * place.mean_probability for place in places.drawn) / change.sum()
    assert mean == pytest.approx(probability[change].mean(), rel=1e-5)


def test_only_the_largest_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polygons, "MAX_POLYGONS", 1)
    places = find_places(*scene())
    assert places.count == 2
    assert [place.area_px for place in places.drawn] == [188]


def test_an_empty_map_has_no_places() -> None:
    assert find_places(np.zeros((9, 9), bool), np.zeros((9, 9), np.float32)).count == 0


def test_pixel_coordinates_say_so() -> None:
    places = find_places(*scene())
    for georef in (None, Georeference(transform=UTM33.transform, crs=None)):
        collection = feature_collection(places.drawn, georef, "new buildings")
        assert collection["coordinates"] == "pixels"
        first = collection["features"][0]
        assert first["properties"] == {
            "id": 1,
            "area_px": 188,
            "mean_probability": 0.75,
            "query": "new buildings",
        }
        assert shape(first["geometry"]).equals(places.drawn[0].polygon)
        json.dumps(collection)


def northing(latitude: float) -> float:
    """UTM northing on the central meridian: 0.9996 of the WGS 84 meridian's length from the equator."""
    a, f = 6_378_137.0, 1 / 298.257223563
    e2 = f * (2 - f)
    angle = np.radians(np.linspace(0, latitude, 200_001))
    return 0.9996 * float(np.trapezoid(a * (1 - e2) / (1 - e2 * np.sin(angle) ** 2) ** 1.5, angle))


def test_utm_becomes_longitude_and_latitude_at_known_positions() -> None:
    # On the central meridian of zone 33 (15 degrees east) at northing 5,000,000.
    change = np.zeros((20, 20), bool)
    change[0:10, 0:10] = True
    collection = feature_collection(find_places(change, change.astype(np.float32)).drawn, UTM33, "q")
    assert "coordinates" not in collection
    (feature,) = collection["features"]
    ring = np.array(feature["geometry"]["coordinates"][0])
    west, south, east, north = shape(feature["geometry"]).bounds
    assert west == pytest.approx(15.0, abs=1e-6)
    assert northing(north) == pytest.approx(5_000_000, abs=0.05)
    # 100 m on the ground.
    assert (north - south) * 111_140 == pytest.approx(100, rel=0.002)
    assert (east - west) * 111_320 * np.cos(np.radians(45.15)) == pytest.approx(100, rel=0.003)
    assert shapely.is_ccw(shapely.LinearRing(ring))
    # A square metre of the grid is 1 / 0.9996 squared on the ground.
    assert feature["properties"]["area_m2"] == pytest.approx(10_000 / 0.9996**2, rel=1e-4)


def test_degrees_stay_as_they_are() -> None:
    georef = Georeference(transform=(0.001, 0, 7.5, 0, -0.001, 47.25), crs="EPSG:4326")
    change = np.zeros((20, 20), bool)
    change[5:10, 4:8] = True
    (feature,) = feature_collection(find_places(change, change.astype(np.float32)).drawn, georef, "q")[
        "features"
    ]
    assert shape(feature["geometry"]).bounds == pytest.approx((7.504, 47.240, 7.508, 47.245), abs=1e-7)


def test_area_is_true_where_the_projection_stretches() -> None:
    # Web Mercator at 60 degrees north: every length is twice too long, so areas are four times too large.
    georef = Georeference(transform=(1, 0, 0, 0, -1, 8_399_737.89), crs="EPSG:3857")
    change = np.ones((100, 100), bool)
    (feature,) = feature_collection(find_places(change, change.astype(np.float32)).drawn, georef, "q")[
        "features"
    ]
    assert feature["properties"]["area_m2"] == pytest.approx(2_500, rel=0.01)


def test_holes_run_against_the_outline() -> None:
    (feature, _) = feature_collection(find_places(*scene()).drawn, UTM33, "q")["features"]
    outer, hole = feature["geometry"]["coordinates"]
    assert shapely.is_ccw(shapely.LinearRing(outer))
    assert not shapely.is_ccw(shapely.LinearRing(hole))


def test_coordinates_that_lie_nowhere_on_earth_fall_back_to_pixels() -> None:
    georef = Georeference(transform=(1, 0, 1e12, 0, -1, 1e12), crs="EPSG:32633")
    collection = feature_collection(find_places(*scene()).drawn, georef, "q")
    assert collection["coordinates"] == "pixels"
    assert "area_m2" not in collection["features"][0]["properties"]


def spiral(side: int) -> NDArray[np.bool_]:
    """One long path that winds inwards, and the ground between its arms."""
    path = np.zeros((side, side), bool)
    row, column, step = 0, 0, (0, 1)
    path[0, 0] = True
    for length in sorted([*range(side - 1, 0, -2), *range(side - 1, 0, -2)], reverse=True):
        for _ in range(length):
            row, column = row + step[0], column + step[1]
            path[row, column] = True
        step = (step[1], -step[0])
    return path


@pytest.mark.parametrize("density", [0.02, 0.4, 0.6, 0.9, 1.0])
def test_labels_agree_with_another_implementation(density: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="scipy is not installed to compare with")
    change = np.random.default_rng(5).random((70, 90)) < density
    expected, count = ndimage.label(change)
    labels = polygons.label_regions(change)
    assert labels.max() == count
    # The same regions, whatever their numbers.
    assert len(np.unique(np.stack([labels, expected]).reshape(2, -1), axis=1).T) == len(np.unique(expected))


def test_a_winding_region_is_one() -> None:
    for change in (spiral(41), spiral(41).T, spiral(41)[::-1], spiral(41)[:, ::-1]):
        assert polygons.label_regions(change).max() == 1


def test_specks_are_drawn_but_not_told() -> None:
    change_map = np.zeros((40, 40), dtype=bool)
    change_map[2:6, 2:6] = True
    change_map[20:23, 20:25] = True
    change_map[30, 30] = True
    places = find_places(change_map, change_map.astype(np.float32))
    assert places.count == len(places.drawn) == 3
    assert places.worth_telling == 1
    only_specks = np.zeros((40, 40), dtype=bool)
    only_specks[3, 3] = only_specks[9, 9] = True
    assert find_places(only_specks, only_specks.astype(np.float32)).worth_telling == 1
