"""A change map as polygons, in pixels or on the Earth.

Coordinates: pixel polygons count columns to the right and rows downwards from the upper left corner of the
image, so the first pixel is the square from (0, 0) to (1, 1). Regions are joined over edges, not over
corners, so every polygon is valid, and together they cover exactly the changed pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.features import shapes
from rasterio.warp import transform as warp_points
from shapely.geometry import MultiPolygon, Polygon, shape
from shapely.geometry.base import BaseGeometry

from gateway.images import Georeference

MAX_POLYGONS = 10_000
"""Most polygons drawn for one map, the largest ones; a map of noise has hundreds of thousands."""
SPECK = 16
"""Regions of fewer pixels are specks: in the map and among the polygons, but counted by no sentence."""
WGS84 = "EPSG:4326"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One connected changed region."""

    polygon: Polygon
    """In pixels."""
    area_px: int
    mean_probability: float
    """Mean of the map's probability over the region. In [0, 1]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """The regions of one map."""

    drawn: tuple[Place, ...]
    """Largest first, at most `MAX_POLYGONS`."""
    count: int
    """All regions, also those that are not drawn."""
    worth_telling: int = 0
    """Regions of at least `SPECK` pixels; 1 where all are smaller."""


def find_places(change_map: NDArray[np.bool_], probability: NDArray[np.float32]) -> Places:
    """Outline the connected regions of a map.

    Args:
        change_map: (H, W).
        probability: (H, W), in [0, 1].
    """
    if not change_map.any():
        return Places(drawn=(), count=0)
    regions = label_regions(change_map)
    areas = np.bincount(regions.ravel())
    sums = np.bincount(regions.ravel(), weights=probability.ravel())
    areas[0] = 0
    drawn = np.argsort(-areas, kind="stable")[: min(MAX_POLYGONS, len(areas) - 1)]
    # Outlining is what costs time and memory in a noisy map, so it sees the chosen regions only.
    if len(drawn) < len(areas) - 1:
        regions = np.where(np.isin(regions, drawn), regions, 0)
    outlined = shapes(regions, mask=regions > 0, connectivity=4)
    outlines = {int(region): geometry for geometry, region in outlined}
    return Places(
        drawn=tuple(
            Place(
                polygon=shape(outlines[int(region)]),
                area_px=int(areas[region]),
                mean_probability=float(sums[region] / areas[region]),
            )
            for region in drawn
        ),
        count=len(areas) - 1,
        worth_telling=max(int(np.count_nonzero(areas >= SPECK)), 1),
    )


def label_regions(change_map: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the regions that hang together over edges.

    Args:
        change_map: (H, W).

    Returns:
        (H, W): 0 where nothing changed, else the region's number from 1 on, in reading order.
    """
    height, width = change_map.shape
    # One unchanged column at each end keeps runs from reaching into the next row of the flat array.
    stride = width + 2
    flat = np.pad(change_map, ((0, 0), (1, 1))).ravel()
    edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    starts, ends = edges[::2], edges[1::2]
    # Runs of the next row that touch a run form a range, since runs are in order.
    first = np.searchsorted(ends, starts + stride, side="right")
    last = np.searchsorted(starts, ends + stride, side="left")
    touching = last - first
    upper = np.repeat(np.arange(len(starts)), touching)
    lower = np.arange(len(upper)) - np.repeat(np.cumsum(touching) - touching - first, touching)
    _, numbers = np.unique(_roots(len(starts), upper, lower), return_inverse=True)
    labels = np.zeros(flat.shape, dtype=np.int32)
    labels[flat] = np.repeat(numbers + 1, ends - starts)
    return np.ascontiguousarray(labels.reshape(height, stride)[:, 1:-1])


def _roots(count: int, upper: NDArray[np.int64], lower: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smallest member of each node's connected component, given the pairs that touch."""
    root = np.arange(count)
    while True:
        a, b = root[upper], root[lower]
        apart = a != b
        if not apart.any():
            return root
        upper, lower, a, b = upper[apart], lower[apart], a[apart], b[apart]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(root, above := root[root]):
            root = above


def feature_collection(places: Sequence[Place], georef: Georeference | None, query: str) -> dict[str, Any]:
    """The places of one query as GeoJSON.

    Where the coordinate reference system is known, coordinates are longitude and latitude (WGS 84, RFC 7946)
    and every feature has its true area in square metres, measured in an equal-area projection about the
    image. Else they are pixels and the member `coordinates` says so.

    Returns:
        What `json.dump` takes.
    """
    pixel = [place.polygon for place in places]
    on_earth = _to_earth(pixel, georef) if pixel and georef and georef.crs else None
    known = on_earth is not None or (not pixel and georef is not None and georef.crs is not None)
    geometries, areas = on_earth if on_earth is not None else (pixel, [None] * len(pixel))
    features = []
    for number, (place, geometry, area) in enumerate(zip(places, geometries, areas, strict=True), start=1):
        properties: dict[str, Any] = {"id": number, "area_px": place.area_px}
        if area is not None:
            properties["area_m2"] = round(area, 2)
        properties["mean_probability"] = round(place.mean_probability, 4)
        properties["query"] = query
        features.append(
            {"type": "Feature", "id": number, "geometry": _geometry(geometry), "properties": properties}
        )
    collection: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if not known:
        collection["coordinates"] = "pixels"
    return collection


def _geometry(polygon: BaseGeometry) -> dict[str, Any]:
    assert isinstance(polygon, (Polygon, MultiPolygon))
    return dict(shapely.geometry.mapping(polygon))


def _to_earth(
    polygons: Sequence[Polygon], georef: Georeference
) -> tuple[list[Polygon], list[float | None]] | None:
    """Polygons in degrees and their areas in square metres; None where the system has no way to WGS 84."""
    assert georef.crs is not None
    a, b, c, d, e, f = georef.transform
    affine = np.array([[a, d], [b, e]])
    source = np.asarray(polygons, dtype=object)
    try:
        degrees = shapely.transform(source, lambda xy: _warp(xy @ affine + (c, f), georef.crs, WGS84))
    except (RasterioError, CPLE_BaseError):
        return None
    bounds = shapely.total_bounds(degrees)
    if not np.isfinite(bounds).all() or np.abs(shapely.get_coordinates(degrees)[:, 1]).max() > 90:
        return None
    middle = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    equal_area = f"+proj=laea +lon_0={middle[0]} +lat_0={middle[1]} +datum=WGS84 +units=m"
    metres = shapely.transform(degrees, lambda xy: _warp(xy, WGS84, equal_area))
    # Seven decimals are a centimetre, finer than any pixel here.
    rounded = shapely.transform(degrees, lambda xy: np.round(xy, 7))
    oriented = shapely.orient_polygons(rounded, exterior_cw=False)
    return list(oriented), [float(area) for area in shapely.area(metres)]


def _warp(xy: NDArray[np.float64], source: str | None, target: str) -> NDArray[np.float64]:
    # GDAL's axes are kept in x, y order by rasterio: longitude comes first.
    assert source is not None
    xs, ys = warp_points(CRS.from_string(source), CRS.from_string(target), xy[:, 0], xy[:, 1])
    return np.column_stack([xs, ys])
