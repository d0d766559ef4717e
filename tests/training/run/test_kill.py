"""`kill -9` at any moment: a run that goes on ends in the same bits as one that nobody touched."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from reasoncd.ontology import TARGET_BY_KEY
from training.data.samples import export_samples
from training.data.scenes import render_pair

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[3]
KILLED = -signal.SIGKILL


class Jobs:
    """Child processes that train."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"):
            environment.pop(name, None)
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("killable.py"))],
            env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.seconds = 0.0
        """That the last job took."""

    def run(self, job: dict[str, object], *, kill_after: float | None = None) -> int:
        """Do one job, killing it after some seconds; returns its exit status."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        child = int(self._answer("pid"))
        begun = time.monotonic()
        timer = threading.Timer(kill_after or 0.0, _kill, [child])
        if kill_after is not None:
            timer.start()
        status = int(self._answer("ended"))
        timer.cancel()
        self.seconds = time.monotonic() - begun
        return status

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(timeout=60)
        self._server.stdout.close()

    def _answer(self, kind: str) -> str:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            # DeepSpeed prints too.
            if line.startswith(f"{kind} "):
                return line.split()[1]
        raise AssertionError("the server of jobs is gone")


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def jobs() -> Iterator[Jobs]:
    server = Jobs()
    yield server
    server.close()


def _assert_equal(one: Path, other: Path) -> None:
    first, second = (load_file(folder / "weights.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    for name in ("log.csv", "validation.csv"):
        assert (one / name).read_text() == (other / name).read_text()


def test_kills_at_random_moments(jobs: Jobs, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    assert jobs.run({"job": "tiny", "folder": str(whole)}) == 0
    span = jobs.seconds
    rng = random.Random(3)
    statuses: list[int] = []
    for attempt in range(5):
        torn = tmp_path / f"torn{attempt}"
        statuses = []
        while 0 not in statuses:
            # Every update saves, so most of these moments lie inside a save.
            patience = span * rng.uniform(0.2, 0.7) if len(statuses) < 4 else None
            statuses.append(jobs.run({"job": "tiny", "folder": str(torn)}, kill_after=patience))
        _assert_equal(whole, torn)
        if KILLED in statuses:
            break
        # It ended before its kill: the first run took longer, since DeepSpeed compiled something once.
        span = min(span, jobs.seconds)
    assert set(statuses) == {KILLED, 0}


def test_kills_at_the_writes_of_a_save(jobs: Jobs, tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    assert jobs.run({"job": "tiny", "folder": str(whole)}) == 0
    statuses = [
        jobs.run({"job": "tiny", "folder": str(torn), "kill_at": moment})
        for moment in (1, 2, 3, 4, 5, 9, 13, 17)
    ]
    assert statuses == [KILLED] * 8
    assert jobs.run({"job": "tiny", "folder": str(torn)}) == 0
    _assert_equal(whole, torn)


TINY_FIT = """
sizes:
  preset: paper_tiny
  vision: {fusion: {multi_scale: false}}   # without the backbone saves are small
samples:
  epochs: 3
  batch: 2
  micro_batch: 1
  learning_rate: 1e-2
  warmup_updates: 2
  ema_decay: 0.9
  zero_stage: 2
  turns: 8
  best_by: loss
  patience: 2
  official_weights: false
  cache_gigabytes: 0.01
  save_seconds: 0
  log_steps: 3
"""


def test_fitting_to_samples_survives_kills_too(jobs: Jobs, tmp_path: Path) -> None:
    pairs = [render_pair(np.random.default_rng((7, i)), size=64) for i in range(5)]
    samples = export_samples(pairs, tmp_path / "set", targets=[TARGET_BY_KEY["building.gain"]])
    recipe = tmp_path / "tiny-fit.yaml"
    recipe.write_text(TINY_FIT)
    job: dict[str, object] = {"job": "samples", "recipe": str(recipe), "samples": str(samples)}
    assert jobs.run({**job, "folder": str(tmp_path / "whole")}) == 0
    torn = str(tmp_path / "torn")
    statuses = [jobs.run({**job, "folder": torn, "kill_at": moment}) for moment in (7, 12, 23)]
    assert statuses == [KILLED] * 3
    assert jobs.run({**job, "folder": torn}) == 0
    _assert_equal(tmp_path / "whole" / "samples", tmp_path / "torn" / "samples")
    measured = [(tmp_path / name / "samples" / "test.json").read_text() for name in ("whole", "torn")]
    assert measured[0] == measured[1]
