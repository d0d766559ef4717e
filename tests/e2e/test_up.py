"""`reasoncd up` and `reasoncd deploy` as a user starts them: ready, answering, replaced, stopped."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.embedded import build_pipeline
from gateway.scenes import ScenePair, SceneSettings, run_scene
from reasoncd.client import ReasonCDClient
from tests.conftest import Rewrite
from tests.gateway.jobs.scene_files import write_pixels

pytestmark = pytest.mark.e2e

COMMAND = [str(Path(sys.executable).with_name("reasoncd"))]


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _children(pid: int) -> set[int]:
    """All descendants of a process."""
    found: set[int] = set()
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in map(str.split, listed.splitlines())}
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@contextmanager
def _up(checkpoint: Path, services_port: int, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running `reasoncd up` on free ports, and where its gRPC is."""
    ports = ["--port", "0", "--http-port", "0", "--services-port", str(services_port)]
    process = subprocess.Popen(
        [*COMMAND, "up", "--checkpoint", str(checkpoint), *ports, "--threads", "1", *options],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        line = next((line for line in process.stdout if line.startswith("ready: ")), "")
        told = re.match(r"ready: gRPC at (\S+), HTTP at http://\S+", line)
        assert told, "it ended before it was ready"
        yield process, told[1]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(90)
        if process.stdout is not None:
            process.stdout.close()


def test_up_answers_takes_another_reasoner_and_leaves_nothing(
    marking_checkpoint: Path, rewrite: Rewrite, place: NDArray[np.uint8], tmp_path: Path
) -> None:
    other = rewrite(marking_checkpoint, tmp_path / "other", reasoner_scale=1.0625)
    services_port = _free_port()
    with _up(marking_checkpoint, services_port) as (process, target), ReasonCDClient(target) as client:
        here = build_pipeline(marking_checkpoint, threads=1).detect(place, ["new buildings"])[0]
        (there,) = client.detect(place[0], place[1], ["new buildings"])
        assert there.answer == here.answer
        np.testing.assert_array_equal(there.change_map, here.change_map)

        before = there.fingerprints["reasoner"]
        deployed = subprocess.run(
            [
                *COMMAND,
                "deploy",
                "reasoner",
                "--checkpoint",
                str(other),
                "--services-port",
                str(services_port),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert deployed.returncode == 0, deployed.stderr
        (after,) = client.detect(place[0], place[1], ["new buildings"])
        assert after.fingerprints["reasoner"] != before
        assert after.fingerprints["mask_decoder"] == there.fingerprints["mask_decoder"]

        family = _children(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
        end = time.monotonic() + 20
        while any(map(_lives, family)) and time.monotonic() < end:
            time.sleep(0.2)
        assert not {pid for pid in family if _lives(pid)}


def test_a_job_over_the_services_makes_what_one_process_makes(
    marking_checkpoint: Path, place: NDArray[np.uint8], tmp_path: Path
) -> None:
    nine_times = np.tile(place.transpose(0, 3, 1, 2), (1, 1, 3, 3))
    t1, t2 = (write_pixels(tmp_path / f"t{date + 1}.tif", nine_times[date]) for date in (0, 1))
    query = "new buildings"
    here = tmp_path / "here"
    with ScenePair.open(t1, t2) as scene:
        run_scene(
            build_pipeline(marking_checkpoint, threads=1), scene, query, settings=SceneSettings(), folder=here
        )
    jobs = tmp_path / "jobs"
    with (
        _up(marking_checkpoint, _free_port(), "--jobs-folder", str(jobs)) as (_, target),
        ReasonCDClient(target) as client,
    ):
        job = client.jobs.wait(client.jobs.submit(t1, t2, query).id, timeout_s=120)
        assert (job.state, job.error, job.failed_tiles) == ("done", None, ())
        for name in ("change.tif", "probability.tif", "changes.geojson"):
            there = client.jobs.fetch(job.id, name, tmp_path)
            assert there.read_bytes() == (here / name).read_bytes()


def test_what_cannot_be_started_is_one_sentence(tmp_path: Path) -> None:
    missing = subprocess.run(
        [*COMMAND, "up", "--checkpoint", str(tmp_path / "nothing"), "--services-port", str(_free_port())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert missing.returncode == 2
    assert "Traceback" not in missing.stderr
    assert "nothing" in missing.stderr


def test_deploy_without_services_says_so(marking_checkpoint: Path) -> None:
    alone = subprocess.run(
        [*COMMAND, "deploy", "reasoner", "--checkpoint", str(marking_checkpoint), "--services-port", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert alone.returncode == 2
    assert alone.stderr.startswith("reasoncd: no launch listens")
