"""Scenes through real models, and the memory that a scene takes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from gateway.embedded import build_pipeline
from gateway.scenes import Reasoning, ScenePair, SceneSettings, run_scene
from tests.gateway.scenes.conftest import MakeFiles, WriteTiff

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
QUERY = "Where are new buildings?"

MEMORY = """
import json, sys
from pathlib import Path
from benchmarks.speed.startup import peak_mib
from gateway.pipeline import Pipeline
from gateway.scenes import ScenePair, SceneSettings, run_scene
from gateway.scenes.source import GDAL_OPTIONS
from tests.gateway.conftest import DifferenceEncoder, SignDecoder, WordReasoner

# Full for both sizes, as the real one is for scenes that are worth the name.
GDAL_OPTIONS["GDAL_CACHEMAX"] = 4 * 2**20
t1, t2, out = map(Path, sys.argv[1:])
model = Pipeline(DifferenceEncoder(256), WordReasoner(), SignDecoder(256), cache_bytes=2**20)
with ScenePair.open(t1, t2) as scene:
    run_scene(model, scene, "new buildings", settings=SceneSettings(tile=512, views=True), folder=out)
print(json.dumps(peak_mib()))
"""


def test_one_tile_of_a_real_model_is_the_pairs_map(
    marking_checkpoint: Path, place: NDArray[np.uint8], write_tiff: WriteTiff, tmp_path: Path
) -> None:
    pipeline = build_pipeline(marking_checkpoint)
    files = write_tiff("t1.tif", place[0]), write_tiff("t2.tif", place[1])
    with ScenePair.open(*files) as scene:
        result = run_scene(pipeline, scene, QUERY, settings=SceneSettings(), folder=tmp_path / "out")
    (pair,) = pipeline.detect(place, [QUERY])
    with rasterio.open(tmp_path / "out/probability.tif") as source:
        assert np.array_equal(source.read(1), pair.probability)
    with rasterio.open(tmp_path / "out/change.tif") as source:
        assert np.array_equal(source.read(1) == 1, pair.change_map)
    assert result.answer == pair.answer


@pytest.mark.parametrize("reasoning", list(Reasoning))
def test_tiles_of_a_real_model(
    reasoning: Reasoning,
    marking_checkpoint: Path,
    place: NDArray[np.uint8],
    write_tiff: WriteTiff,
    tmp_path: Path,
) -> None:
    scene_pixels = np.tile(place, (1, 2, 2, 1))
    files = write_tiff("t1.tif", scene_pixels[0]), write_tiff("t2.tif", scene_pixels[1])
    settings = SceneSettings(reasoning=reasoning, tile=128)
    with ScenePair.open(*files) as scene:
        result = run_scene(
            build_pipeline(marking_checkpoint), scene, QUERY, settings=settings, folder=tmp_path / "out"
        )
    assert result.tiles == 9 and result.valid_pixels == 256 * 256
    assert sum(result.histogram) == result.valid_pixels


def test_memory_does_not_grow_with_the_scene(make_files: MakeFiles, tmp_path: Path) -> None:
    peaks = []
    for side in (768, 3072):
        starts = range(50, side - 200, 256)
        boxes = [(top, left, 90, 90) for top in starts for left in starts]
        files = make_files(side, side, *boxes)
        command = [sys.executable, "-c", MEMORY, *map(str, (*files, tmp_path / f"out-{side}"))]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        peaks.append(json.loads(done.stdout))
    # Sixteen times the pixels: the images of the whole scene alone would take 50 MiB more, its maps as much.
    assert peaks[1] - peaks[0] < 50, peaks
