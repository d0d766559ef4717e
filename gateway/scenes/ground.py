"""From pixels of a scene to the ground: map coordinates, longitude and latitude, square metres."""

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as warp_points
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry

from gateway.images import Georeference
from reasoncd.errors import InvalidInputError

WGS84 = CRS.from_epsg(4326)
LONGEST_EDGE = 256
"""Pixels; longer edges get points between, since a straight line of one projection is bent in another."""

_PRECISION = 7
"""Decimals of degrees: a centimetre."""


class Ground:
    """Where the pixels of a scene lie.

    Args:
        georef: of the scene, with a coordinate reference system.
        width: in pixels.
        height: in pixels.

    Raises:
        InvalidInputError: the system has no way to longitude and latitude.
    """

    def __init__(self, georef: Georeference, *, width: int, height: int) -> None:
        assert georef.crs is not None
        self._georef = georef
        self._crs = CRS.from_string(georef.crs)
        self.frame = Polygon([(0, 0), (width, 0), (width, height), (0, height)])
        try:
            lon, lat = self._warp(self._placed(np.array([[width / 2, height / 2]])), self._crs, WGS84)[0]
            # Equal-area about the scene's middle: areas are true, and hardly any shape is bent.
            equal = CRS.from_proj4(f"+proj=laea +lon_0={lon} +lat_0={lat} +datum=WGS84 +units=m +no_defs")
            self._equal = equal
            corners = self.to_degrees([self.frame])
        except (RasterioError, CPLE_BaseError) as error:
            raise self._refusal() from error
        if not np.isfinite(shapely.bounds(corners[0])).all():
            raise self._refusal()

    def to_map(self, polygons: list[Polygon]) -> NDArray[np.object_]:
        """In the scene's own coordinate reference system."""
        placed: NDArray[np.object_] = shapely.transform(np.asarray(polygons, dtype=object), self._placed)
        return placed

    def point_degrees(self, x: float, y: float) -> tuple[float, float]:
        """Longitude and latitude of a place in pixels."""
        lon, lat = self._warp(self._placed(np.array([[x, y]])), self._crs, WGS84)[0]
        return float(lon), float(lat)

    def areas_m2(self, polygons: list[Polygon]) -> NDArray[np.float64]:
        """True areas in square metres."""
        dense = shapely.segmentize(np.asarray(polygons, dtype=object), LONGEST_EDGE)
        metres = shapely.transform(dense, lambda xy: self._warp(self._placed(xy), self._crs, self._equal))
        areas: NDArray[np.float64] = shapely.area(metres)
        return areas

    def to_degrees(self, polygons: list[Polygon]) -> list[BaseGeometry]:
        """As RFC 7946 wants it: WGS 84, outer rings counterclockwise, cut at the antimeridian."""
        dense = shapely.segmentize(np.asarray(polygons, dtype=object), LONGEST_EDGE)
        degrees = shapely.transform(dense, lambda xy: self._warp(self._placed(xy), self._crs, WGS84))
        whole = [_cut_at_antimeridian(one) for one in degrees]
        rounded = shapely.transform(np.asarray(whole, dtype=object), lambda xy: np.round(xy, _PRECISION))
        return list(shapely.orient_polygons(rounded, exterior_cw=False))

    def _placed(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        a, b, c, d, e, f = self._georef.transform
        placed: NDArray[np.float64] = xy @ np.array([[a, d], [b, e]]) + (c, f)
        return placed

    def _warp(self, xy: NDArray[np.float64], source: CRS, target: CRS) -> NDArray[np.float64]:
        # rasterio keeps x before y, so longitude comes first.
        xs, ys = warp_points(source, target, xy[:, 0], xy[:, 1])
        return np.column_stack([xs, ys])

    def _refusal(self) -> InvalidInputError:
        return InvalidInputError(
            "the coordinate reference system of the earlier scene has no way to longitude and latitude; "
            "reproject it, for example with `gdalwarp -t_srs EPSG:32632 IN OUT`"
        )


def _cut_at_antimeridian(polygon: Polygon) -> BaseGeometry:
    xs = shapely.get_coordinates(polygon)[:, 0]
    if xs.max() - xs.min() <= 180:
        return polygon
    # On one side of the globe a region is small: it jumped from 180 to -180.
    unrolled = shapely.transform(
        polygon, lambda xy: np.column_stack([np.where(xy[:, 0] < 0, xy[:, 0] + 360, xy[:, 0]), xy[:, 1]])
    )
    west = unrolled.intersection(box(0, -90, 180, 90))
    east = shapely.transform(unrolled.intersection(box(180, -90, 360, 90)), lambda xy: xy - (360, 0))
    parts = [part for side in (west, east) for part in shapely.get_parts(side) if isinstance(part, Polygon)]
    return MultiPolygon(parts)
