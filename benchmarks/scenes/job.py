"""`reasoncd-bench scenes`: scenes of several sizes through the whole run, each in a fresh process."""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.scenes.agreement import compare, seams
from benchmarks.scenes.mosaic import SceneFiles, cut_mosaic, write_mosaic
from benchmarks.scenes.report import Run, ScenesResult, scenes_report
from gateway.embedded import default_checkpoint
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
    """Of the scenes in pixels; reasoning per tile and another grid are tried on the first, the smallest."""
    pieces: int = 48
    """Different drawn pairs in a scene."""
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        if not self.sides or list(self.sides) != sorted(self.sides) or self.sides[0] < 1024:
            raise InvalidInputError(f"sizes are {self.sides}; give 1024 pixels or more, the smallest first")
        if self.pieces < 1:
            raise InvalidInputError(f"pieces is {self.pieces}; give at least 1")


def run_scenes(out: Path, checkpoint: Path | None, config: ScenesConfig) -> None:
    """Measure, and write the report and its figures as JSON beside it.

    Args:
        out: the Markdown report.
        checkpoint: the model.
        config: what is run.

    Raises:
        ReasonCDError: a run failed.
    """
    folder = (checkpoint or default_checkpoint()).resolve()
    side = model_side(folder)
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="reasoncd-scenes-") as scratch:
        work = Path(scratch)
        smallest = None
        for number, size in enumerate(config.sides):
            _say(f"drawing a scene of {size} x {size}")
            files = write_mosaic(
                work / str(size), side=size, pieces=config.pieces, target=TARGET, seed=config.seed
            )
            runs.append(_run(folder, files, work / f"once-{size}", "once", config))
            if number == 0:
                smallest = files
                runs.append(_run(folder, files, work / f"tile-{size}", "tile", config))
        assert smallest is not None
        tiling = scene_tiling(smallest.side, smallest.side, side, SceneSettings())
        margin = tiling.side // 2
        cut = cut_mosaic(smallest, work / "cut", margin=margin)
        _run(folder, cut, work / "once-cut", "once", config)
        maps = work / f"once-{smallest.side}/change.tif", work / "once-cut/change.tif"
        shifted = compare(*maps, margin=margin)
        other = scene_tiling(cut.side, cut.side, side, SceneSettings())
        apart = seams(*maps, (tiling, other), margin=margin)
    result = ScenesResult(runs=tuple(runs), shift=margin, shifted=shifted, seams=apart, pieces=config.pieces)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(scenes_report(result), encoding="utf-8")
    out.with_suffix(".json").write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")


def model_side(checkpoint: Path) -> int:
    """Side of what the checkpoint's model decodes at once, in pixels.

    Raises:
        CheckpointError, NotFoundError: as `Checkpoint.open`.
    """
    side: int = Checkpoint.open(checkpoint).config("mask_decoder")["image_size"]
    return side


def _run(checkpoint: Path, files: SceneFiles, out: Path, reasoning: str, config: ScenesConfig) -> Run:
    _say(f"{files.side} x {files.side}, reasoning {reasoning}")
    told = _probe(
        [str(checkpoint), str(config.threads or 0), str(files.t1), str(files.t2), str(out), QUERY, reasoning]
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
