"""Mosaics of known change, and maps held against each other."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from benchmarks.scenes.agreement import Counts, SeamCounts, compare, overlapped, seams
from benchmarks.scenes.mosaic import cut_mosaic, write_mosaic
from benchmarks.scenes.report import GridShift, Run, ScenesResult, scenes_report
from gateway.scenes.grid import SceneTiling
from reasoncd.ontology import TARGET_BY_KEY

pytestmark = pytest.mark.unit

TARGET = TARGET_BY_KEY["building.gain"]


def _write(path: Path, change: np.ndarray) -> Path:
    height, width = change.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, dtype="uint8", crs="EPSG:32632",
        transform=rasterio.Affine(1, 0, 0, 0, -1, 0),
    ) as sink:  # fmt: skip
        sink.write(change.astype(np.uint8), 1)
    return path


def test_a_mosaic_is_equal_for_equal_seeds_and_cut_where_it_says(tmp_path: Path) -> None:
    first = write_mosaic(tmp_path / "a", side=600, pieces=1, target=TARGET, seed=1)
    again = write_mosaic(tmp_path / "b", side=600, pieces=1, target=TARGET, seed=1)
    assert first.t2.read_bytes() == again.t2.read_bytes()
    cut = cut_mosaic(first, tmp_path / "cut", margin=100)
    assert cut.side == 500
    with rasterio.open(first.t2) as whole, rasterio.open(cut.t2) as part:
        assert np.array_equal(whole.read()[:, 100:, 100:], part.read())
        # The same ground, not only the same pixels.
        assert whole.xy(100, 100) == part.xy(0, 0)
    assert compare(first.truth, cut.truth, margin=100).iou == 1


def test_differences_are_counted_on_seams_and_off_them(tmp_path: Path) -> None:
    tiling = SceneTiling(height=100, width=100, side=60, overlap=20, shortest=20)
    rows, columns = overlapped(tiling)
    assert np.flatnonzero(rows).tolist() == list(range(40, 60)) and np.array_equal(rows, columns)
    one, other = np.zeros((100, 100), dtype=np.bool_), np.zeros((100, 100), dtype=np.bool_)
    other[45, :10] = True
    other[5, :3] = True
    files = _write(tmp_path / "a.tif", one), _write(tmp_path / "b.tif", other)
    counts = seams(*files, (tiling, tiling), margin=0)
    assert counts.seam_pixels == 100 * 100 - 80 * 80
    assert (counts.seam_differing, counts.other_differing) == (10, 3)
    assert compare(*files) == Counts(both=0, first_only=0, second_only=13)


def test_the_report_says_what_is_met() -> None:
    def run(side: int, reasoning: str, seconds: float, peak: float) -> Run:
        return Run(
            side=side, reasoning=reasoning, f1=0.7, iou=0.5, seconds=seconds, tiles_seconds=seconds,
            peak_mib=peak, built_mib=500, tiles=4, answer="New buildings.",
        )  # fmt: skip

    def grid(judged: bool, both: int) -> GridShift:
        return GridShift(
            side=1000,
            shift=512,
            presence_judged=judged,
            agreement=Counts(both=both, first_only=10, second_only=10),
            seams=SeamCounts(seam_pixels=100, seam_differing=5, other_pixels=100, other_differing=3),
        )

    result = ScenesResult(
        runs=(
            run(1000, "once", 8, 590),
            run(1000, "tile", 15, 600),
            run(2000, "once", 48, 650),
            run(1000, "tile", 15, 600),
            run(1000, "once", 12, 600),
        ),
        grids=(grid(True, 80), grid(False, 180)),
        pieces=4,
    )
    report = scenes_report(result)
    assert "| slowest over fastest pace | +20.0% | 10% | missed |" in report
    assert "| peak memory apart | 50 MiB | 100 MiB | met |" in report
    assert "| 1000 x 1000, tiles 512 pixels apart: IoU | 0.800 | 0.90 | missed |" in report
    assert (
        "| 1000 x 1000, tiles 512 pixels apart, presence not judged: IoU | 0.900 | to compare | |" in report
    )
    assert report.count("| 5.000%, 3.000% | no more on them | missed |") == 1
    assert "10.00 against 15.00 seconds per megapixel" in report
