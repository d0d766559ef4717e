"""What a run takes, and what there is."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from reasoncd.errors import InvalidInputError, OutputError
from training.run import preflight
from training.run.config import RunConfig
from training.run.preflight import check_disk, check_memory, free_memory, needs_of

pytestmark = pytest.mark.unit

CONFIG = RunConfig(steps=1, learning_rate=1e-3, ema_decay=None)
CPU = torch.device("cpu")


def _stage() -> nn.Module:
    stage = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 100), nn.BatchNorm1d(100, affine=False))
    stage[0].requires_grad_(False)
    return stage


def test_needs_follow_from_what_learns() -> None:
    trained, buffers = 1100 * 4, 200 * 4 + 8
    needs = needs_of(_stage(), CONFIG)
    # Gradients, two moments and their copy on the way; weights and moments in a save.
    assert needs.memory == 4 * trained
    assert needs.save == 3 * trained + buffers
    whole = trained + 110 * 4 + buffers
    assert needs.disk == 2 * needs.save + whole
    learned = needs_of(_stage(), CONFIG, keep=lambda name: name.startswith("1."))
    assert learned.disk == 2 * needs.save + trained
    averaged = needs_of(_stage(), replace(CONFIG, ema_decay=0.9), activations=77)
    assert averaged.memory == 6 * trained + 77
    assert averaged.save == needs.save + trained
    assert needs_of(_stage(), replace(CONFIG, best_by="f1")).disk == 2 * needs.save + 2 * whole


def test_zero_divides_the_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    trained = 1100 * 4
    assert needs_of(_stage(), replace(CONFIG, zero_stage=2)).memory == 2 * trained + trained // 2
    assert needs_of(_stage(), CONFIG).memory == 4 * trained


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    check_disk(1, tmp_path / "new", "training")
    with pytest.raises(OutputError, match=r"training takes about 1000000000\.0 GB in .*new but .* are free"):
        check_disk(10**18, tmp_path / "new", "training")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written .*name another --folder"):
        check_disk(1, tmp_path / "file" / "inner", "training")


def test_too_little_memory_is_one_sentence() -> None:
    check_memory(1, CPU, "training", "buy more")
    with pytest.raises(InvalidInputError, match=r"training takes about .* GB of memory but .*; buy more"):
        check_memory(10**18, CPU, "training", "buy more")


def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"memory.max": 1000, "memory.current": 400}
    monkeypatch.setattr(preflight, "_number", lambda path: values.get(path.name))
    assert free_memory(CPU) == 600
    values.pop("memory.max")
    assert free_memory(CPU) > 10**7
