"""One process and two: they agree, and learn as one process with all of their samples would."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from reasoncd.errors import InvalidInputError
from tests.training.run import two_processes
from training.run.loop import run_stage
from training.run.processes import any_of, average, first_says, is_first, rank, sums_of, world_size
from training.run.saves import RunState

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left."""
    folder = tmp_path_factory.mktemp("two")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT", "MASTER_ADDR"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, two_processes.__file__, str(folder)],
        env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


ZERO = pytest.mark.parametrize("zero", [0, 2])


def test_each_process_sees_batches_of_its_own(trained: Path) -> None:
    one, other = (load_file(trained / f"batch-rank{r}.safetensors")["batch"] for r in (0, 1))
    assert one.shape == other.shape
    assert not torch.equal(one, other)


@ZERO
@pytest.mark.parametrize("kind", ["plain", "norm"])
def test_both_end_with_equal_weights(trained: Path, zero: int, kind: str) -> None:
    one, other = (load_file(trained / f"zero{zero}-{kind}-rank{r}.safetensors") for r in (0, 1))
    assert one.keys() == other.keys()
    # Batch statistics among them, although each saw other batches.
    assert all(torch.equal(one[name], other[name]) for name in one)


@ZERO
def test_two_learn_what_one_learns_from_all_samples(trained: Path, zero: int, tmp_path: Path) -> None:
    stage = two_processes.Stage(statistics=False)
    config = replace(two_processes.CONFIG, best_by=None)
    run_stage(stage, two_processes.batch, config, tmp_path / "one", on_log=two_processes.quiet)
    two = load_file(trained / f"zero{zero}-plain-rank0.safetensors")
    for name, tensor in stage.state_dict().items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-5, atol=1e-6)


@ZERO
def test_a_stopped_pair_ends_as_one_that_was_not(trained: Path, zero: int) -> None:
    whole, parts = (load_file(trained / f"zero{zero}-{n}" / "weights.safetensors") for n in ("norm", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_save_of_two_processes_is_refused_by_one(trained: Path, tmp_path: Path) -> None:
    source = trained / "zero2-norm"
    (source / "weights.safetensors").rename(source / "kept.safetensors")
    config = replace(two_processes.CONFIG, zero_stage=2)
    with pytest.raises(InvalidInputError, match="saved by 2 processes with ZeRO 2, but this run has 1"):
        run_stage(
            two_processes.Stage(statistics=True), two_processes.batch, config, source,
            on_log=two_processes.quiet, validate=two_processes.validate,
        )  # fmt: skip


def test_a_process_alone_agrees_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert (rank(), world_size(), is_first()) == (0, 1, True)
    assert any_of((True, False)) == (True, False)
    assert sums_of([1.5, 2.0]) == first_says([1.5, 2.0]) == [1.5, 2.0]
    tensor = torch.ones(3)
    average([tensor])
    assert torch.equal(tensor, torch.ones(3))
    assert RunState().processes == 1
