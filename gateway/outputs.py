"""What a run leaves on the disk: one folder a question and an index, whole or not at all.

A new output folder appears complete in one step. In a folder that an earlier run wrote, that run's result
folders are replaced, other files are left alone, and the index is exchanged last. A folder
that holds anything else is refused, since it is not ours to write into.
"""

import errno
import json
import os
import re
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image

from gateway.detection import Detection
from gateway.images import Georeference, ImagePair
from gateway.pictures import overlay
from gateway.polygons import feature_collection
from reasoncd import __version__
from reasoncd.errors import OutputError
from reasoncd.folders import whole_folder

INDEX = "index.json"
FORMAT = "reasoncd-results"
FORMAT_VERSION = 1
_MAX_INDEX_BYTES = 16 * 2**20
_FOLDER_NAME = re.compile(r"\d{2}-[a-z0-9-]{1,48}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where the images came from, as the user named them."""

    t1: str
    t2: str


def result_folder(number: int, query: str) -> str:
    """The name of a question's folder: 1 and "Where are new buildings?" give `01-where-are-new-buildings`."""
    plain = unicodedata.normalize("NFKD", query).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-")
    return f"{number:02d}-{slug or 'query'}"


def check_output(out: Path, queries: Sequence[str]) -> None:
    """Make sure, without writing anything, that results may go to `out`.

    Raises:
        OutputError: it is a file, cannot be written, or holds what ReasonCD did not write.
    """
    try:
        if out.is_dir():
            _check_existing(out, [result_folder(n, query) for n, query in enumerate(queries, start=1)])
            return
        if out.exists() or out.is_symlink():
            raise OutputError(f"{out} is not a folder; name another place with --out")
        above = next(parent for parent in out.absolute().parents if parent.exists())
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the path is not valid"
        raise OutputError(f"{out} cannot be written ({reason}); name another place with --out") from error
    if not above.is_dir():
        raise OutputError(f"{out} cannot be made because {above} is a file; name another place with --out")
    _check_writable(above, out)


def write_results(
    out: Path, source: Source, pair: ImagePair, detections: Sequence[Detection]
) -> dict[str, Any]:
    """Write one folder a detection and the index.

    Args:
        out: the output folder; see `check_output`.
        source: names of the images.
        pair: what the detections were made from.
        detections: in the order of the questions.

    Returns:
        What the index holds.

    Raises:
        OutputError: the folder cannot be written; what stood there before stands there still.
    """
    check_output(out, [detection.query for detection in detections])
    try:
        if not out.exists():
            with whole_folder(out) as staging:
                return _write(staging, source, pair, detections)
        # Inside the folder, not beside it: it may be a mount point, and renaming must stay on one disk.
        with tempfile.TemporaryDirectory(prefix=".reasoncd-", dir=out) as scratch:
            staging, replaced = Path(scratch, "new"), Path(scratch, "old")
            staging.mkdir()
            replaced.mkdir()
            index = _write(staging, source, pair, detections)
            _exchange(out, staging, replaced)
            return index
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        mend = "free some space" if full else "name another place with --out"
        raise OutputError(f"{out} cannot be written ({error.strerror or error}); {mend}") from error


def _check_existing(out: Path, wanted: Iterable[str]) -> None:
    _check_writable(out, out)
    names = {entry.name for entry in out.iterdir()}
    if not names:
        return
    old = _earlier_folders(out)
    if old is None:
        raise OutputError(
            f"{out} is not empty and was not written by reasoncd; name a new or an empty folder with --out"
        )
    if foreign := sorted(names.intersection(wanted).difference(old)):
        raise OutputError(f"{out / foreign[0]} was not written by reasoncd; name another folder with --out")


def _check_writable(folder: Path, out: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{out} cannot be written: {folder} is read-only; name another place with --out")


def _earlier_folders(out: Path) -> set[str] | None:
    """The result folders that the index in `out` lists; None if there is no index of ours."""
    path = out / INDEX
    try:
        if not path.is_file() or path.stat().st_size > _MAX_INDEX_BYTES:
            return None
        index = json.loads(path.read_bytes())
        if index["format"] != FORMAT:
            return None
        # The index could have been edited: only names that we could have given are ever touched.
        folders = {result["folder"] for result in index["results"]}
        return {name for name in folders if _FOLDER_NAME.fullmatch(name)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _exchange(out: Path, staging: Path, replaced: Path) -> None:
    """Move the old result folders aside and the new ones in, the index last; undo it all on failure."""
    moved: list[tuple[Path, Path]] = []
    try:
        for name in sorted(_earlier_folders(out) or ()):
            if (out / name).is_dir() and not (out / name).is_symlink():
                _move(out / name, replaced / name, moved)
        for folder in sorted(path for path in staging.iterdir() if path.is_dir()):
            _move(folder, out / folder.name, moved)
        (staging / INDEX).replace(out / INDEX)
    except BaseException:
        # Interrupted too: whatever stops us, the earlier results come back.
        for origin, place in reversed(moved):
            place.rename(origin)
        raise


def _move(origin: Path, place: Path, moved: list[tuple[Path, Path]]) -> None:
    origin.rename(place)
    moved.append((origin, place))


def _write(folder: Path, source: Source, pair: ImagePair, detections: Sequence[Detection]) -> dict[str, Any]:
    height, width = pair.images.shape[1:3]
    results = []
    for number, detection in enumerate(detections, start=1):
        name = result_folder(number, detection.query)
        (folder / name).mkdir()
        result = describe(detection, pair.georef)
        files = _write_result(folder / name, pair, detection, result)
        results.append({"folder": name, "files": files, **result})
    index = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "reasoncd_version": __version__,
        "inputs": asdict(source),
        "width": width,
        "height": height,
        "crs": pair.georef.crs if pair.georef else None,
        "results": results,
    }
    _write_json(folder / INDEX, index)
    return index


def describe(detection: Detection, georef: Georeference | None) -> dict[str, Any]:
    """What `result.json` holds, as JSON values."""
    height, width = detection.change_map.shape
    confidence = detection.confidence
    return {
        "query": detection.query,
        "answer": detection.answer,
        "model_answer": detection.model_answer,
        "mode": detection.mode.value,
        "presence": round(detection.presence, 6),
        "confidence": None if confidence is None else round(confidence, 6),
        "changed_fraction": detection.changed_fraction,
        "changed_pixels": int(detection.change_map.sum()),
        "polygons": len(detection.places.drawn),
        "places": detection.places.count,
        "seg_emitted": detection.seg_emitted,
        "seg_probability": round(detection.seg_probability, 6),
        "thresholds": {"probability": detection.threshold, "presence": detection.presence_threshold},
        "width": width,
        "height": height,
        "crs": georef.crs if georef else None,
        "fingerprints": detection.fingerprints,
        "timings_s": {stage: round(seconds, 4) for stage, seconds in detection.timings_s.items()},
    }


def _write_result(folder: Path, pair: ImagePair, detection: Detection, result: dict[str, Any]) -> list[str]:
    change = detection.change_map.astype(np.uint8) * 255
    Image.fromarray(change).save(folder / "change_map.png")
    Image.fromarray(np.rint(detection.probability * 255).astype(np.uint8)).save(folder / "probability.png")
    picture = overlay(pair.images, detection.change_map, query=detection.query, answer=detection.answer)
    picture.save(folder / "overlay.png")
    if pair.georef:
        _write_geotiff(folder / "change_map.tif", change, pair.georef)
    places = feature_collection(detection.places.drawn, pair.georef, detection.query)
    _write_json(folder / "changes.geojson", places, indent=None)
    _write_json(folder / "result.json", result)
    return sorted(path.name for path in folder.iterdir())


def _write_geotiff(path: Path, change: np.ndarray[Any, np.dtype[np.uint8]], georef: Georeference) -> None:
    profile = {
        "driver": "GTiff",
        "height": change.shape[0],
        "width": change.shape[1],
        "count": 1,
        "dtype": "uint8",
        "crs": georef.crs,
        "transform": rasterio.Affine(*georef.transform),
        "compress": "deflate",
    }
    with rasterio.open(path, "w", **profile) as sink:
        sink.write(change, 1)


def _write_json(path: Path, value: dict[str, Any], indent: int | None = 2) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
