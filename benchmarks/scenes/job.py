"""`reasoncd-bench scenes`: scenes of several sizes through the whole run, each in a fresh process."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.scenes.agreement import compare, seams
from benchmarks.scenes.mosaic import SceneFiles, cut_mosaic, write_mosaic
from benchmarks.scenes.report import GridShift, Run, ScenesResult, scenes_report
from gateway.embedded import default_checkpoint, load_engines
from gateway.scenes.grid import scene_tiling
from gateway.scenes.settings import SceneSettings
from reasoncd.checkpoint import Checkpoint
from reasoncd.errors import InvalidInputError, ReasonCDError
from reasoncd.ontology import TARGET_BY_KEY

QUERY = "Where are new buildings?"
TARGET = TARGET_BY_KEY["building.gain"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenesConfig:
    """What is run.

    Raises:
        InvalidInputError: a value is out of bounds.
    """

    sides: tuple[int, ...] = (8192, 16384)
    """Of the scenes in pixels; reasoning per tile is tried on the first, the smallest."""
    repeats: int = 2
    """Of each run over the smallest scene: before those over the others and after them, in mirrored order."""
    grid_side: int = 4096
    """Of the scene that is mapped on two grids of tiles, in pixels; no larger than the smallest one."""
    pieces: int = 48
    """Different drawn pairs in a scene."""
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        if not self.sides or list(self.sides) != sorted(self.sides) or self.sides[0] < 1024:
            raise InvalidInputError(f"sizes are {self.sides}; give 1024 pixels or more, the smallest first")
        if self.grid_side < 1024:
            raise InvalidInputError(f"grid_side is {self.grid_side}; give 1024 pixels or more")
        if self.pieces < 1:
            raise InvalidInputError(f"pieces is {self.pieces}; give at least 1")
        if self.repeats < 1:
            raise InvalidInputError(f"repeats is {self.repeats}; give at least 1")


def run_scenes(out: Path, checkpoint: Path | None, config: ScenesConfig) -> None:
    """Measure, and write the report and its figures as JSON beside it.

    Args:
        out: the Markdown report.
        checkpoint: the model.
        config: what is run.

    Raises:
        NotFoundError, CheckpointError: there is no model to run.
        ReasonCDError: a run failed.
    """
    # All that a run needs is looked for before minutes go into drawing.
    folder = (checkpoint or default_checkpoint()).resolve()
    load_engines(folder)
    with tempfile.TemporaryDirectory(prefix="reasoncd-scenes-") as scratch:
        work = Path(scratch)
        grids = _on_two_grids(folder, work / "grids", config)
        scenes = {side: _draw(work / str(side), side, config) for side in config.sides}
        runs = [
            _run(folder, scenes[turn.side], work / f"run-{number}", config, reasoning=turn.reasoning)
            for number, turn in enumerate(turns(config))
        ]
    result = ScenesResult(runs=tuple(runs), grids=grids, pieces=config.pieces)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(scenes_report(result), encoding="utf-8")
    out.with_suffix(".json").write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")


class Turn(NamedTuple):
    """One run of the series."""

    side: int
    reasoning: str


def turns(config: ScenesConfig) -> list[Turn]:
    """The runs in their order: the smallest scene both ways, the others, the smallest again, mirrored.

    So neither a slow hour nor what comes first speaks for one way or one size.
    """
    smallest, *others = config.sides
    both = [Turn(smallest, "once"), Turn(smallest, "tile")]
    series = [*both, *(Turn(side, "once") for side in others)]
    for number in range(1, config.repeats):
        series += both[:: -1 if number % 2 else 1]
    return series


def _on_two_grids(checkpoint: Path, work: Path, config: ScenesConfig) -> tuple[GridShift, ...]:
    """How far maps of one ground agree whose tiles lie half a tile apart, presence judged and not."""
    side = model_side(checkpoint)
    across = min(config.grid_side, config.sides[0])
    tiling = scene_tiling(across, across, side, SceneSettings())
    margin = tiling.side // 2
    if margin >= across:
        raise InvalidInputError(f"a scene of {across} pixels has no second grid; give a larger one")
    whole = _draw(work / "whole", across, config)
    cut = cut_mosaic(whole, work / "cut", margin=margin)
    other = scene_tiling(cut.side, cut.side, side, SceneSettings())
    found = []
    for judged in (True, False):
        maps = []
        for name, files in (("whole", whole), ("cut", cut)):
            run = work / f"{name}-{judged}"
            _run(checkpoint, files, run, config, presence=judged)
            maps.append(run / "change.tif")
        found.append(
            GridShift(
                side=whole.side,
                shift=margin,
                presence_judged=judged,
                agreement=compare(maps[0], maps[1], margin=margin),
                seams=seams(maps[0], maps[1], (tiling, other), margin=margin),
            )
        )
    return tuple(found)


def _draw(folder: Path, side: int, config: ScenesConfig) -> SceneFiles:
    _say(f"drawing a scene of {side} x {side}")
    files = write_mosaic(folder, side=side, pieces=config.pieces, target=TARGET, seed=config.seed)
    # What is still to be written would slow the next run down.
    os.sync()
    return files


def model_side(checkpoint: Path) -> int:
    """Side of what the checkpoint's model decodes at once, in pixels.

    Raises:
        CheckpointError, NotFoundError: as `Checkpoint.open`.
    """
    side: int = Checkpoint.open(checkpoint).config("mask_decoder")["image_size"]
    return side


def _run(
    checkpoint: Path,
    files: SceneFiles,
    out: Path,
    config: ScenesConfig,
    *,
    reasoning: str = "once",
    presence: bool = True,
) -> Run:
    _say(
        f"{files.side} x {files.side}, reasoning {reasoning}" + ("" if presence else ", presence not judged")
    )
    threads = str(config.threads or 0)
    told = _probe(
        [
            str(checkpoint),
            threads,
            str(files.t1),
            str(files.t2),
            str(out),
            QUERY,
            reasoning,
            str(int(presence)),
        ]
    )
    found = compare(out / "change.tif", files.truth)
    return Run(
        side=files.side,
        reasoning=reasoning,
        f1=found.f1,
        iou=found.iou,
        seconds=told["seconds"],
        tiles_seconds=told["tiles_seconds"],
        peak_mib=told["peak_mib"],
        built_mib=told["built_mib"],
        tiles=told["tiles"],
        answer=told["answer"],
    )


def _probe(arguments: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scenes.probe", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ReasonCDError("a run over a scene failed; its own words are above")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
