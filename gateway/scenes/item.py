"""`item.json`: the results as a STAC item, so that catalogues can hold them."""

import datetime as dt
import json
from typing import Any

import pystac
import shapely

from gateway.images import Georeference
from gateway.scenes.ground import Ground
from gateway.scenes.settings import SceneResult
from reasoncd import __version__
from reasoncd.errors import InvalidInputError

ITEM_FILE = "item.json"

_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_MEDIA: dict[str, tuple[str, list[str], str]] = {
    "change.tif": (_COG, ["data"], "Changed pixels: 1 changed, 0 not, 255 no data"),
    "probability.tif": (_COG, ["data"], "Probability of the asked change; -1 no data"),
    "changes.gpkg": ("application/geopackage+sqlite3", ["data"], "Changed places"),
    "changes.geojson": ("application/geo+json", ["data"], "Changed places, in longitude and latitude"),
    "changes.parquet": ("application/vnd.apache.parquet", ["data"], "Changed places"),
    "t1_view.tif": (_COG, ["visual"], "The earlier scene as the model saw it"),
    "t2_view.tif": (_COG, ["visual"], "The later scene as the model saw it"),
    "report.html": ("text/html", ["metadata"], "Report"),
}
_PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
_EARLIEST = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
_LATEST = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


def span(dates: tuple[dt.date | None, dt.date | None]) -> tuple[dt.datetime, dt.datetime]:
    """The interval between both scenes.

    Args:
        dates: of both. Where one is unknown, the interval reaches as far as pictures from above do, since the
            format allows for no open end.

    Raises:
        InvalidInputError: the later date is before the earlier one.
    """
    start = _midnight(dates[0]) or _EARLIEST
    end = _midnight(dates[1]) or _LATEST
    if end < start:
        raise InvalidInputError(
            f"the later scene is dated {end:%Y-%m-%d}, before {start:%Y-%m-%d}; "
            "exchange the two or mend the dates"
        )
    return start, end


def make_item(
    name: str,
    result: SceneResult,
    *,
    georef: Georeference | None,
    ground: Ground | None,
    dates: tuple[dt.date | None, dt.date | None],
) -> str:
    """The item as JSON text; equal runs give equal text.

    Args:
        name: the item's id.
        result: of the run; its files become the assets.
        georef: of the map.
        ground: the same as a place on the Earth; None without a coordinate reference system.
        dates: of both scenes, as `span` takes them.
    """
    start, end = span(dates)
    # A tenth of a metre is enough for an outline, and saves hundreds of points along straight edges.
    frame = ground.to_degrees([ground.frame])[0].simplify(1e-6) if ground else None
    item = pystac.Item(
        id=name,
        geometry=json.loads(json.dumps(shapely.geometry.mapping(frame))) if frame else None,
        bbox=[float(value) for value in frame.bounds] if frame else None,
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        properties={**_properties(result), **_projection(georef, result)},
        stac_extensions=[_PROJECTION] if georef else [],
    )
    for file in result.files:
        if file in _MEDIA:
            kind, roles, title = _MEDIA[file]
            item.add_asset(file, pystac.Asset(href=f"./{file}", title=title, media_type=kind, roles=roles))
    return json.dumps(item.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _properties(result: SceneResult) -> dict[str, Any]:
    return {
        "title": result.query,
        "description": result.answer,
        "processing:software": {"reasoncd": __version__},
        "reasoncd:query": result.query,
        "reasoncd:answer": result.answer,
        "reasoncd:threshold": result.threshold,
        "reasoncd:changed_fraction": result.changed_fraction,
        "reasoncd:confidence": result.confidence,
        "reasoncd:polygons": result.polygons,
        "reasoncd:failed_tiles": len(result.failed),
        "reasoncd:fingerprints": result.fingerprints,
    }


def _projection(georef: Georeference | None, result: SceneResult) -> dict[str, Any]:
    if georef is None:
        return {}
    known = georef.crs is not None and georef.crs.startswith("EPSG:")
    return {
        "proj:code": georef.crs if known else None,
        **({} if known or georef.crs is None else {"proj:wkt2": georef.crs}),
        "proj:shape": [result.height, result.width],
        "proj:transform": [*georef.transform, 0.0, 0.0, 1.0],
    }


def _midnight(date: dt.date | None) -> dt.datetime | None:
    return dt.datetime.combine(date, dt.time(), tzinfo=dt.UTC) if date else None
