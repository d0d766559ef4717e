"""A gateway that is killed again and again finishes its job as one that was not, and no tile twice."""

import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.jobs.scene_files import write_scene

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[3]
KILLS = 10
SIDE = 1700
ORDER = {"t1_name": (None, "t1.tif"), "t2_name": (None, "t2.tif"), "query": (None, "new buildings")}


class Gateway:
    """A process that can be killed."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.gateway.jobs.killed_gateway", str(folder)]
        self._folder = folder
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        assert self.address.startswith("http://")

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def submit(self) -> str:
        headers = {"Idempotency-Key": "the-one"}
        response = httpx.post(self.address + "/v1/jobs", files=ORDER, headers=headers, timeout=30)
        assert response.status_code == 202, response.text
        job: str = response.json()["id"]
        return job

    def job(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.address}/v1/jobs/{job}", timeout=30).json()
        return found

    def finished(self, job: str) -> dict[str, Any]:
        for _ in range(1200):
            found = self.job(job)
            if found["state"] not in ("queued", "running"):
                return found
            time.sleep(0.05)
        raise AssertionError("the job did not end")

    def hashes(self, job: dict[str, Any]) -> dict[str, str]:
        """SHA-256 of every result by its name."""
        contents = {file["name"]: httpx.get(self.address + file["href"]).content for file in job["files"]}
        return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def tiles_on_disk(folder: Path) -> int:
    return sum(1 for _ in (folder / "jobs").glob("*/out/.work/tiles/*.npz"))


def wait_for_tiles(folder: Path, count: int) -> None:
    """Until so many are kept, so that a kill falls into the work on however slow a machine."""
    for _ in range(12000):
        if tiles_on_disk(folder) >= count:
            return
        time.sleep(0.005)
    raise AssertionError(f"{count} tiles were not kept in a minute")


def tiles_computed(folder: Path) -> list[str]:
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def undisturbed(tmp_path: Path) -> tuple[dict[str, str], int]:
    """The results' hashes, and how many tiles there are."""
    folder = tmp_path / "undisturbed"
    scenes(folder)
    gateway = Gateway(folder)
    try:
        job = gateway.finished(gateway.submit())
        assert job["state"] == "done"
        return gateway.hashes(job), len(tiles_computed(folder))
    finally:
        gateway.kill()


def scenes(folder: Path) -> None:
    write_scene(folder / "scenes" / "t1.tif", SIDE, SIDE)
    write_scene(folder / "scenes" / "t2.tif", SIDE, SIDE, (40, 60, 80, 90), (900, 1200, 200, 150))


def test_killed_at_ten_random_times(tmp_path: Path, undisturbed: tuple[dict[str, str], int]) -> None:
    expected, tiles = undisturbed
    assert tiles >= 49
    folder = tmp_path / "killed"
    scenes(folder)
    rng = random.Random(7)
    job, hits = None, 0
    for _ in range(KILLS):
        on_disk, computed = tiles_on_disk(folder), len(tiles_computed(folder))
        gateway = Gateway(folder)
        # A submission whose answer was lost is sent again.
        job = gateway.submit()
        wait_for_tiles(folder, on_disk + rng.randint(1, 3))
        time.sleep(rng.uniform(0, 0.03))
        running = gateway.job(job)["state"] in ("queued", "running")
        gateway.kill()
        # What was done at the last moment has cleared its tiles away.
        if running and tiles_on_disk(folder):
            hits += 1
            kept = tiles_on_disk(folder) - on_disk
            # One at most was answered and not yet kept when the process died.
            assert len(tiles_computed(folder)) - computed - kept in (0, 1)
    assert job is not None
    assert hits >= KILLS // 2
    gateway = Gateway(folder)
    try:
        found = gateway.finished(job)
        assert (found["state"], found["error"], found["failed_tiles"]) == ("done", None, [])
        assert gateway.hashes(found) == expected
        assert len(httpx.get(gateway.address + "/v1/jobs").json()["jobs"]) == 1
    finally:
        gateway.kill()
    seen = tiles_computed(folder)
    assert len(set(seen)) == tiles
    assert len(seen) <= tiles + KILLS
