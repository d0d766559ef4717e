"""Changed regions as features: GeoPackage, GeoJSON (RFC 7946) and GeoParquet, written as they are found.

All three hold the same attributes. The GeoPackage and the GeoParquet file lie in the scene's own coordinate
reference system, GeoJSON in longitude and latitude as its standard demands. Without a coordinate reference
system coordinates are pixels, x to the right and y downwards, and there is no area in square metres.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyogrio
import pyogrio.raw
import shapely
from numpy.typing import NDArray

from gateway.polygons import Place
from gateway.scenes.ground import Ground
from reasoncd.errors import InvalidInputError
from reasoncd.ontology import Target

GPKG_FILE = "changes.gpkg"
GEOJSON_FILE = "changes.geojson"
PARQUET_FILE = "changes.parquet"
LAYER = "changes"

CHUNK = 5000
"""Features that are written at a time."""

_FIXED_DATE = "2000-01-01T00:00:00Z"
"""The GeoPackage's own date of change: the time of writing would make equal results differ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What is the same for all regions of a run."""

    query: str
    target: Target | None
    """Of the answer, where it names one."""


class VectorWriter:
    """Collects regions and writes them in chunks; made by `vectors`."""

    def __init__(
        self, sinks: "list[_GeoPackage | _GeoJson | _Parquet]", ground: Ground | None, subject: Subject
    ) -> None:
        self._sinks, self._ground, self._subject = sinks, ground, subject
        self._waiting: list[Place] = []
        self.count = 0
        self.area_m2 = 0.0
        """Of what was written so far."""

    def add(self, place: Place) -> None:
        """Take one region, in pixels."""
        self._waiting.append(place)
        if len(self._waiting) == CHUNK:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        polygons = [place.polygon for place in self._waiting]
        areas = self._ground.areas_m2(polygons) if self._ground else None
        features = _Features(
            polygons=polygons,
            ids=np.arange(self.count + 1, self.count + 1 + len(polygons), dtype=np.int64),
            area_px=np.array([place.area_px for place in self._waiting], dtype=np.int64),
            area_m2=None if areas is None else np.round(areas, 2),
            mean_probability=np.round([place.mean_probability for place in self._waiting], 4),
            subject=self._subject,
        )
        for sink in self._sinks:
            sink.write(features)
        self.count += len(polygons)
        self.area_m2 += 0.0 if features.area_m2 is None else float(features.area_m2.sum())
        self._waiting.clear()


@contextmanager
def vectors(
    scratch: Path, *, ground: Ground | None, crs: str | None, subject: Subject, parquet: bool
) -> Iterator[VectorWriter]:
    """Open the files of a run in a folder for unfinished files.

    Args:
        scratch: the folder.
        ground: where the scene lies; None without a coordinate reference system.
        crs: of the scene.
        subject: of the run.
        parquet: whether GeoParquet is asked for.

    Raises:
        InvalidInputError: GeoParquet is asked for but cannot be written here.
        OSError: a file cannot be written.
    """
    with ExitStack() as opened:
        sinks: list[_GeoPackage | _GeoJson | _Parquet] = [_GeoPackage(scratch / GPKG_FILE, ground, crs)]
        file = opened.enter_context((scratch / GEOJSON_FILE).open("w", encoding="utf-8"))
        sinks.append(_GeoJson(file, ground))
        if parquet:
            sinks.append(opened.enter_context(_parquet(scratch / PARQUET_FILE, ground, crs)))
        writer = VectorWriter(sinks, ground, subject)
        yield writer
        writer.flush()
        for sink in sinks:
            sink.finish()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Features:
    """N regions with their attributes."""

    polygons: list[Any]
    ids: NDArray[np.int64]
    area_px: NDArray[np.int64]
    area_m2: NDArray[np.float64] | None
    mean_probability: NDArray[np.float64]
    subject: Subject

    def columns(self) -> dict[str, NDArray[Any]]:
        """Attributes by name, (N,) each."""
        count, target = len(self.polygons), self.subject.target
        columns: dict[str, NDArray[Any]] = {"id": self.ids, "area_px": self.area_px}
        if self.area_m2 is not None:
            columns["area_m2"] = self.area_m2
        columns["mean_probability"] = self.mean_probability
        columns["query"] = np.full(count, self.subject.query, dtype=object)
        # The columns are there in every file, so that files of several runs can be joined.
        columns["class"] = np.full(count, target.cls if target else None, dtype=object)
        columns["direction"] = np.full(count, target.direction if target else None, dtype=object)
        columns["to_class"] = np.full(count, target.to if target else None, dtype=object)
        return columns


def _on_map(polygons: list[Any], ground: Ground | None) -> NDArray[np.object_]:
    return ground.to_map(polygons) if ground else np.asarray(polygons, dtype=object)


class _GeoPackage:
    def __init__(self, path: Path, ground: Ground | None, crs: str | None) -> None:
        self._path, self._ground, self._crs = path, ground, crs
        self._begun = False
        path.unlink(missing_ok=True)

    def write(self, features: _Features) -> None:
        placed = (
            self._ground.to_map(features.polygons)
            if self._ground
            else np.asarray(features.polygons, dtype=object)
        )
        self._write(shapely.to_wkb(placed), features.columns())

    def finish(self) -> None:
        if not self._begun:
            nothing = _Features(
                polygons=[],
                ids=np.zeros(0, dtype=np.int64),
                area_px=np.zeros(0, dtype=np.int64),
                area_m2=np.zeros(0) if self._ground else None,
                mean_probability=np.zeros(0),
                subject=Subject(query="", target=None),
            )
            self._write(np.zeros(0, dtype=object), nothing.columns())

    def _write(self, wkb: NDArray[Any], columns: dict[str, NDArray[Any]]) -> None:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _FIXED_DATE})
        try:
            with warnings.catch_warnings():
                # Of a missing reference system, of which the user knows.
                warnings.simplefilter("ignore", UserWarning)
                pyogrio.raw.write(
                    self._path,
                    wkb,
                    list(columns.values()),
                    list(columns),
                    layer=LAYER,
                    driver="GPKG",
                    geometry_type="Polygon",
                    crs=self._crs,
                    append=self._begun,
                )
        except pyogrio.errors.DataSourceError as error:
            raise OSError(f"GDAL cannot write {GPKG_FILE}: {error}") from error
        finally:
            pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
        self._begun = True


class _GeoJson:
    def __init__(self, file: IO[str], ground: Ground | None) -> None:
        self._file, self._ground = file, ground
        self._begun = False
        head: dict[str, Any] = {"type": "FeatureCollection"}
        if ground is None:
            head["coordinates"] = "pixels"
        file.write(json.dumps(head)[:-1] + ', "features": [')

    def write(self, features: _Features) -> None:
        geometries = self._ground.to_degrees(features.polygons) if self._ground else features.polygons
        columns = {name: values.tolist() for name, values in features.columns().items()}
        for number, geometry in enumerate(geometries):
            properties = {name: values[number] for name, values in columns.items()}
            feature = {
                "type": "Feature",
                "id": properties["id"],
                "geometry": shapely.geometry.mapping(geometry),
                "properties": properties,
            }
            self._file.write(",\n" if self._begun else "\n")
            self._file.write(json.dumps(feature, ensure_ascii=False, allow_nan=False))
            self._begun = True

    def finish(self) -> None:
        self._file.write("\n]}\n")


class _Parquet:
    def __init__(self, sink: Any, schema: Any, ground: Ground | None) -> None:
        self._sink, self._schema, self._ground = sink, schema, ground

    def write(self, features: _Features) -> None:
        import pyarrow as pa

        placed = (
            self._ground.to_map(features.polygons)
            if self._ground
            else np.asarray(features.polygons, dtype=object)
        )
        columns = {**features.columns(), "geometry": shapely.to_wkb(placed)}
        arrays = [pa.array(columns[field.name].tolist(), field.type) for field in self._schema]
        self._sink.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def finish(self) -> None:
        """The parquet writer is closed by its context."""


@contextmanager
def _parquet(path: Path, ground: Ground | None, crs: str | None) -> Iterator[_Parquet]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InvalidInputError(
            f"GeoParquet needs the package {error.name}, which is not installed; install reasoncd[parquet]"
        ) from error
    fields = [("id", pa.int64()), ("area_px", pa.int64())]
    if ground is not None:
        fields.append(("area_m2", pa.float64()))
    fields += [("mean_probability", pa.float64())]
    fields += [(name, pa.string()) for name in ("query", "class", "direction", "to_class")]
    fields += [("geometry", pa.binary())]
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": _projjson(crs)}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    schema = pa.schema(fields, metadata={"geo": json.dumps(geo)})
    with pq.ParquetWriter(path, schema, compression="zstd") as sink:
        yield _Parquet(sink, schema, ground)


def _projjson(crs: str | None) -> Any:
    """A coordinate reference system as the format names it; null where it is unknown."""
    from rasterio.crs import CRS

    return CRS.from_string(crs).to_dict(projjson=True) if crs else None
