"""A run over a scene: equal to a pair's map, resumed, failing in parts, cancelled."""

import hashlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from gateway.detection import Detection
from gateway.pipeline import Pipeline
from gateway.scenes import (
    Reasoning,
    ScenePair,
    SceneProgress,
    SceneResult,
    SceneSettings,
    run_scene,
)
from gateway.scenes.folder import WORK
from gateway.tiling import Window
from reasoncd.errors import (
    CancelledError,
    CheckpointError,
    InvalidInputError,
    OutputError,
    ReasonCDError,
    UnauthenticatedError,
    UnavailableError,
)
from reasoncd.rpc.scope import CallScope, under
from tests.gateway.conftest import DifferenceEncoder, SignDecoder, WordReasoner
from tests.gateway.scenes.conftest import MakeFiles, WriteTiff
from tests.gateway.scenes.slow_run import QUERY, SETTINGS

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
TILED = SceneSettings(tile=128, pause_s=0)
BOXES = ((20, 30, 60, 70), (110, 100, 50, 60), (250, 350, 30, 40))


def _run(
    model: Any,
    files: tuple[Path, Path],
    out: Path,
    settings: SceneSettings = TILED,
    query: str = QUERY,
    **more: Any,
) -> SceneResult:
    with ScenePair.open(*files) as scene:
        return run_scene(model, scene, query, settings=settings, folder=out, **more)


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        band: np.ndarray = source.read(1)
        return band


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


class Troubled:
    """The pipeline, with errors at chosen calls of `detect`."""

    def __init__(self, pipeline: Pipeline, errors: dict[int, ReasonCDError]) -> None:
        self._pipeline, self._errors = pipeline, errors
        self.describe = pipeline.describe
        self.calls = 0

    def detect(self, *arguments: Any, **options: Any) -> list[Detection]:
        self.calls += 1
        if self.calls in self._errors:
            raise self._errors[self.calls]
        return self._pipeline.detect(*arguments, **options)


@pytest.mark.parametrize("size", [(64, 64), (200, 250), (40, 500)])
@pytest.mark.parametrize("query", [QUERY, "lost buildings", "how is the weather?"])
def test_a_scene_of_one_tile_is_the_pairs_map(
    size: tuple[int, int], query: str, pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path
) -> None:
    files = make_files(*size, (10, 10, 25, 25))
    result = _run(pipeline, files, tmp_path / "out", SceneSettings(tile=512), query)
    with ScenePair.open(*files) as scene:
        images = scene.read(Window(top=0, left=0, height=size[0], width=size[1])).images
    (pair,) = pipeline.detect(images, [query])
    assert result.tiles == 1
    assert np.array_equal(_read(tmp_path / "out/change.tif"), pair.change_map)
    assert np.array_equal(_read(tmp_path / "out/probability.tif"), pair.probability)
    assert (result.answer, result.model_answer) == (pair.answer, pair.model_answer)
    assert result.presence == pytest.approx(pair.presence, abs=1e-6)
    assert result.polygons == pair.places.count


def test_tiles_find_what_the_whole_finds(pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path) -> None:
    result = _run(pipeline, make_files(300, 420, *BOXES), tmp_path / "out")
    assert result.tiles == 12 and result.polygons == len(BOXES) == result.places
    assert result.answer.startswith("New buildings: 3 places, ")
    change = _read(tmp_path / "out/change.tif")
    truth = np.zeros((300, 420), dtype=np.bool_)
    for top, left, rows, columns in BOXES:
        truth[top : top + rows, left : left + columns] = True
    # The decoder of the tests draws in squares of four pixels.
    assert np.count_nonzero(change != truth) < 0.1 * truth.sum()


@pytest.mark.parametrize(("reasoning", "asked"), [(Reasoning.ONCE, 1), (Reasoning.TILE, 12)])
def test_the_question_is_read_once_or_on_each_tile(
    reasoning: Reasoning,
    asked: int,
    pipeline: Pipeline,
    encoder: DifferenceEncoder,
    make_files: MakeFiles,
    tmp_path: Path,
) -> None:
    _run(
        pipeline, make_files(300, 420, *BOXES), tmp_path / "out", SceneSettings(tile=128, reasoning=reasoning)
    )
    assert encoder.calls.count("overview") == asked


def test_an_overview_that_sees_nothing_does_not_blank_the_scene(
    pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path
) -> None:
    # A change of four pixels a side goes under in the overview of 512, and is there on its tile.
    files = make_files(600, 2048, (300, 1000, 4, 4))
    result = _run(pipeline, files, tmp_path / "out", SceneSettings(tile=512))
    assert result.polygons == 1 and result.presence > 0.5


def test_off_topic_asks_for_no_tile(
    pipeline: Pipeline, encoder: DifferenceEncoder, make_files: MakeFiles, tmp_path: Path
) -> None:
    files = make_files(300, 420, *BOXES)
    result = _run(pipeline, files, tmp_path / "out", query="how is the weather?")
    assert not result.seg_emitted and result.polygons == 0 and result.confidence is None
    assert result.answer == result.model_answer
    assert encoder.calls == ["overview"]
    assert not _read(tmp_path / "out/change.tif").any()


def test_nothing_changes_outside_valid_data(
    pipeline: Pipeline, write_tiff: WriteTiff, tmp_path: Path
) -> None:
    earlier = np.full((300, 300, 3), 65, dtype=np.uint8)
    later = np.full((300, 300, 3), 200, dtype=np.uint8)
    later[:, 120:] = 0
    files = write_tiff("t1.tif", earlier), write_tiff("t2.tif", later, nodata=0)
    result = _run(pipeline, files, tmp_path / "out")
    change, probability = _read(tmp_path / "out/change.tif"), _read(tmp_path / "out/probability.tif")
    assert (change[:, 120:] == 255).all() and (probability[:, 120:] == -1).all()
    assert (change[:, :112] == 1).all() and set(np.unique(change)) <= {0, 1, 255}
    assert result.valid_pixels == 300 * 120
    # Tiles without a single valid pixel are not detected at all.
    assert result.changed_fraction > 0.9


def test_borders_of_tiles_are_not_seen(pipeline: Pipeline, write_tiff: WriteTiff, tmp_path: Path) -> None:
    earlier = np.full((300, 300, 3), 65, dtype=np.uint8)
    files = write_tiff("t1.tif", earlier), write_tiff("t2.tif", earlier + 60)
    _run(pipeline, files, tmp_path / "out")
    probability = _read(tmp_path / "out/probability.tif")
    assert np.ptp(probability) < 1e-5


def test_a_finished_run_is_not_run_again(pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path) -> None:
    files = make_files(300, 420, *BOXES)
    first = _run(pipeline, files, tmp_path / "out")
    before = _digests(tmp_path / "out")
    again = Troubled(pipeline, {1: UnavailableError("nobody must be asked")})
    assert _run(again, files, tmp_path / "out") == first
    assert again.calls == 0
    assert _digests(tmp_path / "out") == before
    assert WORK not in before


def test_a_folder_belongs_to_one_run(pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path) -> None:
    files = make_files(300, 420, *BOXES)
    _run(pipeline, files, tmp_path / "out")
    for other in (SceneSettings(tile=128, threshold=0.7), SceneSettings(tile=256)):
        with pytest.raises(OutputError, match="belongs to another run"):
            _run(pipeline, files, tmp_path / "out", other)
    with pytest.raises(OutputError, match="belongs to another run"):
        _run(pipeline, files, tmp_path / "out", query="lost buildings")
    with pytest.raises(OutputError, match="belongs to another run"):
        _run(pipeline, (files[1], files[0]), tmp_path / "out")
    # Patience alone makes no other run.
    _run(pipeline, files, tmp_path / "out", SceneSettings(tile=128, tries=7))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty"):
        _run(pipeline, files, tmp_path / "mine")


def test_a_tile_that_fails_is_tried_again(pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path) -> None:
    files = make_files(300, 420, *BOXES)
    _run(pipeline, files, tmp_path / "smooth")
    errors = {number: UnavailableError("try again") for number in (1, 4, 5)}
    result = _run(Troubled(pipeline, dict(errors)), files, tmp_path / "rough")
    assert result.failed == ()
    assert _digests(tmp_path / "rough") == _digests(tmp_path / "smooth")


def test_a_tile_that_fails_for_good_is_listed_and_tried_by_the_next_run(
    pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path
) -> None:
    files = make_files(300, 420, *BOXES)
    _run(pipeline, files, tmp_path / "smooth")
    # The first call reads the question, the next three are tries of the first tile.
    broken = Troubled(pipeline, {number: UnavailableError("the decoder is away") for number in (2, 3, 4)})
    result = _run(broken, files, tmp_path / "out")
    (failed,) = result.failed
    assert (failed.top, failed.left, failed.reason) == (0, 0, "the decoder is away")
    assert (_read(tmp_path / "out/change.tif")[:80, :80] == 255).all()
    assert "1 of 12 tiles failed" in (tmp_path / "out/report.html").read_text()
    assert result.valid_pixels < 300 * 420
    mended = Troubled(pipeline, {})
    assert _run(mended, files, tmp_path / "out").failed == ()
    assert mended.calls == 1
    assert _digests(tmp_path / "out") == _digests(tmp_path / "smooth")


def test_what_no_tile_can_survive_ends_the_run(
    pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path
) -> None:
    files = make_files(300, 420, *BOXES)
    refused = Troubled(pipeline, {3: UnauthenticatedError("the token is not known")})
    with pytest.raises(UnauthenticatedError):
        _run(refused, files, tmp_path / "out")
    assert refused.calls == 3
    dead = Troubled(pipeline, {number: UnavailableError("nobody is there") for number in range(2, 100)})
    with pytest.raises(UnavailableError):
        _run(dead, files, tmp_path / "dead")


def test_a_model_that_is_replaced_meanwhile_is_refused(
    pipeline: Pipeline, decoder: SignDecoder, make_files: MakeFiles, tmp_path: Path
) -> None:
    from dataclasses import replace

    def tell(progress: SceneProgress) -> None:
        if progress.stage == "tiles" and progress.done == 5:
            decoder.description = replace(decoder.description, fingerprint="other")

    with pytest.raises(CheckpointError, match="mask_decoder was replaced"):
        _run(pipeline, make_files(300, 420, *BOXES), tmp_path / "out", tell=tell)


def test_cancelled_between_tiles_and_resumed(
    pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path
) -> None:
    files = make_files(300, 420, *BOXES)
    _run(pipeline, files, tmp_path / "smooth")
    scope = CallScope()
    model = Troubled(pipeline, {})

    def tell(progress: SceneProgress) -> None:
        if progress.stage == "tiles" and progress.done == 5:
            scope.cancel()

    with under(scope), pytest.raises(CancelledError):
        _run(model, files, tmp_path / "out", tell=tell)
    assert model.calls == 1 + 5
    assert not (tmp_path / "out/result.json").exists()
    _run(model, files, tmp_path / "out")
    assert model.calls == 1 + 12
    assert _digests(tmp_path / "out") == _digests(tmp_path / "smooth")


def test_a_damaged_tile_is_made_again(pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path) -> None:
    files = make_files(300, 420, *BOXES)
    _run(pipeline, files, tmp_path / "smooth")
    scope = CallScope()

    def tell(progress: SceneProgress) -> None:
        if progress.stage == "stitch":
            scope.cancel()

    with under(scope), pytest.raises(CancelledError):
        _run(pipeline, files, tmp_path / "out", tell=tell)
    tiles = sorted((tmp_path / "out" / WORK / "tiles").iterdir())
    tiles[0].write_bytes(tiles[0].read_bytes()[:-100])
    tiles[1].write_bytes(tiles[2].read_bytes())
    model = Troubled(pipeline, {})
    _run(model, files, tmp_path / "out")
    assert model.calls == 2
    assert _digests(tmp_path / "out") == _digests(tmp_path / "smooth")


def test_a_full_disk_leaves_the_run_resumable(
    pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from gateway.scenes.tile_store import TileStore

    files = make_files(300, 420, *BOXES)
    _run(pipeline, files, tmp_path / "smooth")
    put, count = TileStore.put, Counter[str]()

    def full(store: TileStore, *arguments: Any) -> None:
        count["put"] += 1
        if count["put"] == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        put(store, *arguments)

    monkeypatch.setattr(TileStore, "put", full)
    with pytest.raises(OutputError, match="free some space and run it again"):
        _run(pipeline, files, tmp_path / "out")
    model = Troubled(pipeline, {})
    _run(model, files, tmp_path / "out")
    assert model.calls == 12 - 4
    assert _digests(tmp_path / "out") == _digests(tmp_path / "smooth")


def test_two_processes_do_not_work_in_one_folder(
    pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path
) -> None:
    files = make_files(300, 420, *BOXES)

    def tell(progress: SceneProgress) -> None:
        if progress.stage == "tiles" and progress.done == 1:
            with pytest.raises(OutputError, match="another process is at work"):
                _run(pipeline, files, tmp_path / "out")

    _run(pipeline, files, tmp_path / "out", tell=tell)


def test_progress_says_how_long_it_takes(pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path) -> None:
    told: list[SceneProgress] = []
    _run(pipeline, make_files(300, 420, *BOXES), tmp_path / "out", tell=told.append)
    stages = [progress.stage for progress in told]
    assert list(dict.fromkeys(stages)) == ["check", "reason", "tiles", "stitch", "write"]
    tiles = [progress for progress in told if progress.stage == "tiles"]
    assert [progress.done for progress in tiles] == list(range(13))
    assert tiles[0].seconds_left is None and tiles[-1].seconds_left == 0
    assert all(progress.seconds_left is not None for progress in tiles[1:])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (SceneSettings(tile=100), "multiple of the model's 64"),
        (SceneSettings(tile=64, overlap=40), "at most half the tile"),
    ],
)
def test_tiles_that_do_not_fit_the_model_are_refused(
    settings: SceneSettings, words: str, pipeline: Pipeline, make_files: MakeFiles, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        _run(pipeline, make_files(300, 420), tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.soak)])
def test_killed_at_any_time_it_ends_with_the_same_bytes(
    kills: int, make_files: MakeFiles, tmp_path: Path
) -> None:
    files = make_files(300, 420, *BOXES)
    model = Pipeline(DifferenceEncoder(), WordReasoner(), SignDecoder())
    _run(model, files, tmp_path / "smooth", SETTINGS)
    out, log = tmp_path / "out", tmp_path / "log"
    command = [sys.executable, "-m", "tests.gateway.scenes.slow_run", *map(str, (*files, out, log))]
    chance = random.Random(kills)
    for _ in range(kills):
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        # The first word comes when imports are done; tiles, stitching and writing follow within a second.
        child.stdout.readline()
        time.sleep(chance.uniform(0.05, 0.5))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    tiles = Counter(log.read_text().split())
    assert len(tiles) == 12 and set(tiles.values()) == {1}
    assert _digests(out) == _digests(tmp_path / "smooth")
