"""One question about one pair of scenes: from two files to a folder of results.

A run is resumed where it was cut off, and gives the same bytes as one that was not: the meaning of the
question and the finished tiles lie on the disk, and everything after them is made from them in a fixed order.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gateway.checks import check_queries
from gateway.polygons import SPECK, Place
from gateway.scenes import rasters
from gateway.scenes.answering import Answer, conclude
from gateway.scenes.detecting import detect_tiles, read_question
from gateway.scenes.folder import WORK, RunFolder, run_folder
from gateway.scenes.grid import SceneTiling, scene_tiling
from gateway.scenes.ground import Ground
from gateway.scenes.item import ITEM_FILE, make_item, span
from gateway.scenes.kept_meaning import Understood, keep_meaning, kept_meaning
from gateway.scenes.model import SceneModel
from gateway.scenes.pair import ScenePair
from gateway.scenes.regions import RegionFinder
from gateway.scenes.report import PICTURE_SIDE, REPORT_FILE, LargestPlaces, write_report
from gateway.scenes.settings import FailedTile, Reasoning, SceneProgress, SceneResult, SceneSettings
from gateway.scenes.stitching import block_count, stitch
from gateway.scenes.thumbnail import Thumbnail
from gateway.scenes.tile_store import TileStore
from gateway.scenes.vectors import GEOJSON_FILE, GPKG_FILE, PARQUET_FILE, Subject, vectors
from gateway.tiling import Window
from reasoncd.ports import Description
from reasoncd.rpc.scope import current_scope

HISTOGRAM_BINS = 20

Tell = Callable[[SceneProgress], None]


def run_scene(
    model: SceneModel,
    scene: ScenePair,
    query: str,
    *,
    settings: SceneSettings,
    folder: Path,
    tell: Tell = lambda progress: None,
) -> SceneResult:
    """Answer one question about a scene and write the results.

    Args:
        model: detects the tiles.
        scene: both dates.
        query: one question in plain words.
        settings: of the run.
        folder: new, empty, or of the same run: what is finished there is not made again.
        tell: told how far the run is.

    Returns:
        What was found. Tiles that failed for good are listed in it and hold no data; the same run in the
        same folder tries them again.

    Raises:
        InvalidInputError: the question, the settings or a scene are unusable.
        OutputError: the folder belongs to something else or cannot be written.
        CheckpointError: the model was replaced meanwhile.
        CancelledError, DeadlineError: of the current scope, before the next piece of work.
        ReasonCDError: the model does not answer at all.
    """
    (query,) = check_queries([query])
    tell(SceneProgress(stage="check", done=0, total=1))
    parts = model.describe()
    tiling = scene_tiling(scene.height, scene.width, _side(parts), settings)
    georef = scene.georef
    ground = Ground(georef, width=scene.width, height=scene.height) if georef and georef.crs else None
    dates = settings.t1_date or scene.dates[0], settings.t2_date or scene.dates[1]
    span(dates)
    run = _Run(
        model=model,
        scene=scene,
        query=query,
        settings=settings,
        tiling=tiling,
        ground=ground,
        fingerprints={part.component: part.fingerprint for part in parts},
        tell=tell,
    )
    values = run.identity()
    tell(SceneProgress(stage="check", done=1, total=1))
    with run_folder(folder, values) as place:
        finished = place.finished()
        if finished is not None:
            return finished
        place.begin()
        store = TileStore(place.tiles, place.key)
        understood = _understand(run, place)
        failed = detect_tiles(
            model,
            scene,
            query,
            tiling,
            store,
            understood=understood,
            fingerprints=run.fingerprints,
            settings=settings,
            tell=tell,
        )
        known = [facts for window in tiling.windows if (facts := store.facts(window)) is not None]
        answer = conclude(understood.meaning if understood else None, known)
        found = _write_maps(run, place, store, answer)
        result = _result(run, answer, found, failed)
        place.write(ITEM_FILE, make_item(values["id"], result, georef=georef, ground=ground, dates=dates))
        page = write_report(
            result,
            scene,
            settings,
            change=found.thumbnail,
            largest=found.largest.rows(ground),
            facts=_facts(run),
        )
        place.write(REPORT_FILE, page)
        place.end(result)
        return result


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Run:
    """What stays the same during a run."""

    model: SceneModel
    scene: ScenePair
    query: str
    settings: SceneSettings
    tiling: SceneTiling
    ground: Ground | None
    fingerprints: dict[str, str]
    tell: Tell

    def identity(self) -> dict[str, Any]:
        """Everything that decides what is written, as JSON values."""
        sides = {"tile": self.tiling.side, "overlap": self.tiling.overlap}
        t1, t2 = self.scene.digests
        return {
            "id": f"reasoncd-{t1[:8]}-{t2[:8]}",
            "query": self.query,
            "inputs_sha256": {"t1": t1, "t2": t2},
            "settings": {**self.settings.of_outputs(), **sides},
            "fingerprints": self.fingerprints,
        }


@dataclass(kw_only=True, slots=True, eq=False)
class _Found:
    """What is counted while the map passes by."""

    thumbnail: Any
    largest: LargestPlaces = field(default_factory=LargestPlaces)
    histogram: Any = field(default_factory=lambda: np.zeros(HISTOGRAM_BINS, dtype=np.int64))
    valid: int = 0
    changed: int = 0
    regions: int = 0
    worth_telling: int = 0
    polygons: int = 0
    area_m2: float | None = None


def _side(parts: tuple[Description, ...]) -> int:
    # A model that states no size was refused when it was built.
    return next(part.image_size for part in parts if part.component == "mask_decoder" and part.image_size)


def _understand(run: _Run, place: RunFolder) -> Understood | None:
    """The question, read once for all tiles; None where each tile reads it, as a scene of one tile does."""
    if run.settings.reasoning is not Reasoning.ONCE or len(run.tiling.windows) == 1:
        return None
    path = place.path / WORK / "meaning.json"
    understood = kept_meaning(path)
    if understood is None:
        run.tell(SceneProgress(stage="reason", done=0, total=1))
        understood = read_question(run.model, run.scene, run.query, run.settings)
        keep_meaning(path, understood)
    run.tell(SceneProgress(stage="reason", done=1, total=1))
    return understood


def _write_maps(run: _Run, place: RunFolder, store: TileStore, answer: Answer) -> _Found:
    """Stitch the tiles, and write rasters and polygons on the way: the map is never in memory as a whole."""
    scene, settings, scope = run.scene, run.settings, current_scope()
    size = {"height": scene.height, "width": scene.width}
    found = _Found(thumbnail=None)
    thumbnail = Thumbnail(scene.height, scene.width, scene.overview(PICTURE_SIDE).valid.shape)
    windows: list[Window] = []
    with ExitStack() as opened:
        sinks = [
            opened.enter_context(rasters.raster(kind, place.scratch, georef=scene.georef, **size))
            for kind in (rasters.CHANGE, rasters.PROBABILITY)
        ]
        regions_out = opened.enter_context(
            vectors(
                place.scratch,
                ground=run.ground,
                crs=scene.georef.crs if scene.georef else None,
                subject=Subject(query=run.query, target=answer.target),
                parquet=settings.parquet,
            )
        )

        def take(region: Place) -> None:
            found.regions += 1
            found.worth_telling += region.area_px >= SPECK
            if region.area_px >= settings.min_pixels:
                regions_out.add(region)
                found.largest.add(region)

        regions = RegionFinder(scene.width, take)
        total = block_count(run.tiling)
        for done, block in enumerate(stitch(run.tiling, store)):
            run.tell(SceneProgress(stage="stitch", done=done, total=total))
            scope.check()
            valid = block.probability >= 0
            change = block.probability >= np.float32(answer.threshold)
            sinks[0].write(
                block.window, np.where(valid, change, rasters.CHANGE_NO_DATA).astype(np.uint8)[None]
            )
            sinks[1].write(block.window, block.probability[None])
            regions.add(block.window, change, block.probability)
            thumbnail.add(block.window, change)
            found.histogram += np.histogram(block.probability[valid], HISTOGRAM_BINS, (0, 1))[0]
            found.valid += int(np.count_nonzero(valid))
            found.changed += int(np.count_nonzero(change))
            windows.append(block.window)
        regions.finish()
        run.tell(SceneProgress(stage="stitch", done=total, total=total))
    found.thumbnail = thumbnail.change
    found.polygons = regions_out.count
    found.area_m2 = round(regions_out.area_m2, 2) if run.ground else None
    run.tell(SceneProgress(stage="write", done=0, total=1))
    if settings.views:
        rasters.write_views(place.scratch, scene, windows)
    for kind in rasters.outputs_of(settings):
        place.publish(f"cog-{kind.name}", kind.name)
    for name in _vector_files(settings):
        place.publish(name, name)
    run.tell(SceneProgress(stage="write", done=1, total=1))
    return found


def _vector_files(settings: SceneSettings) -> tuple[str, ...]:
    return (GPKG_FILE, GEOJSON_FILE, *((PARQUET_FILE,) if settings.parquet else ()))


def _result(run: _Run, answer: Answer, found: _Found, failed: tuple[FailedTile, ...]) -> SceneResult:
    scene, settings = run.scene, run.settings
    worth = max(found.worth_telling, 1) if found.regions else 0
    fraction = found.changed / found.valid if found.valid else 0.0
    names = [kind.name for kind in rasters.outputs_of(settings)]
    return SceneResult(
        query=run.query,
        mode=settings.mode,
        answer=answer.text(places=worth, fraction=fraction),
        model_answer=answer.model_answer,
        seg_emitted=answer.seg_emitted,
        presence=round(answer.presence, 6),
        confidence=None if answer.confidence is None or not found.changed else round(answer.confidence, 6),
        threshold=answer.threshold,
        presence_threshold=answer.presence_threshold,
        width=scene.width,
        height=scene.height,
        crs=scene.georef.crs if scene.georef else None,
        valid_pixels=found.valid,
        changed_pixels=found.changed,
        places=worth,
        polygons=found.polygons,
        area_m2=found.area_m2,
        histogram=tuple(int(count) for count in found.histogram),
        tiles=len(run.tiling.windows),
        failed=failed,
        files=(*names, *_vector_files(settings), REPORT_FILE, ITEM_FILE),
        fingerprints=run.fingerprints,
    )


def _facts(run: _Run) -> dict[str, Any]:
    """What the report tells about a run besides its settings."""
    scene = run.scene
    facts: dict[str, Any] = {
        "size": f"{scene.width} x {scene.height} pixels in {len(run.tiling.windows)} tiles",
        "coordinate reference system": scene.georef.crs if scene.georef and scene.georef.crs else "none",
    }
    for date, (path, digest, stretch) in enumerate(
        zip(scene.paths, scene.digests, scene.stretches, strict=True), start=1
    ):
        facts[f"T{date}"] = f"{path.name} (SHA-256 {digest[:16]}...)"
        facts[f"T{date} stretch"] = (
            "8 bit, as it is" if stretch is None else f"{stretch.low} to 0, {stretch.high} to 255"
        )
    return facts
