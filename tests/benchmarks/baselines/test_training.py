"""Training of the baselines: their pairs, the minutes that become steps, and runs that are cut off."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from benchmarks.baselines.nets import BinaryChangeNet
from benchmarks.baselines.training import (
    BUILDING_CHANGE,
    BinaryRun,
    BinaryStage,
    BuildingSource,
    Plan,
    _pace,
    train_binary,
)
from reasoncd.errors import CorruptDataError, InvalidInputError
from training.data.bank import BankConfig, PairBank, build_bank
from training.data.labels import UNKNOWN, target_mask
from training.importers.imagenet import TIMM_MODEL

pytestmark = pytest.mark.unit

RUN = BinaryRun(net="FC-Siam-diff", minutes=0.001, batch_size=2)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> PairBank:
    config = BankConfig(count=4, size=64, real_data=False)
    return PairBank(build_bank(tmp_path_factory.mktemp("bank"), config))


@pytest.fixture(scope="module")
def backbone() -> dict[str, Tensor]:
    torch.manual_seed(0)
    state: dict[str, Tensor] = timm.create_model(TIMM_MODEL, pretrained=False).state_dict()
    return state


@pytest.fixture(autouse=True)
def _environment_restored() -> Iterator[None]:
    """DeepSpeed's settings must not reach the processes that later tests start."""
    before, threads = dict(os.environ), torch.get_num_threads()
    yield
    os.environ.clear()
    os.environ.update(before)
    torch.set_num_threads(threads)


def _with_steps(root: Path, steps: int) -> Path:
    folder = root / RUN.name
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"steps": steps, "seconds_per_step": 1.0}))
    return root


def test_a_step_always_draws_the_same_batch(bank: PairBank) -> None:
    one, other = (BuildingSource(bank, batch_size=3, seed=4) for _ in range(2))
    a, b = one.batch(7), other.batch(7)
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.truth, b.truth)
    assert a.images.shape == (3, 2, 3, 64, 64)
    assert not torch.equal(a.images, one.batch(8).images)
    assert not torch.equal(a.images, BuildingSource(bank, batch_size=3, seed=5).batch(7).images)


def test_the_truth_is_building_change_in_either_direction(bank: PairBank) -> None:
    batch = BuildingSource(bank, batch_size=4, seed=0).batch(0)
    found = sorted(int((truth == 1).sum()) for truth in batch.truth)
    # Flips, turns and exchanged dates move the change and never alter its size.
    assert found == sorted(int((target_mask(bank[i], BUILDING_CHANGE) == 1).sum()) for i in range(4))
    assert set(np.unique(batch.truth)) <= {0, 1, UNKNOWN}


def test_unknown_pixels_teach_nothing(bank: PairBank, backbone: dict[str, Tensor]) -> None:
    batch = BuildingSource(bank, batch_size=2, seed=0).batch(0)
    batch.truth[:] = UNKNOWN
    stage = BinaryStage(BinaryChangeNet("FC-EF"))
    assert float(stage(batch)["loss"].detach()) == 0


def test_minutes_become_steps_once(bank: PairBank, backbone: dict[str, Tensor], tmp_path: Path) -> None:
    lines: list[str] = []
    done = train_binary(RUN, bank, backbone, tmp_path, on_log=lines.append)
    assert done is not None
    net, plan = done
    assert plan.steps == max(1, round(0.06 / plan.seconds_per_step))
    assert not net.training
    # What has finished is read, with the plan that it had.
    again = train_binary(RUN, bank, backbone, tmp_path, on_log=lines.append)
    assert again is not None
    assert again[1] == plan
    assert "is there already" in lines[-1]
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again[0].parameters(), strict=True))


def test_taking_the_pace_leaves_no_trace(bank: PairBank) -> None:
    torch.manual_seed(0)
    stage = BinaryStage(BinaryChangeNet("FC-EF"))
    before = {name: value.clone() for name, value in stage.state_dict().items()}
    assert _pace(stage, BuildingSource(bank, batch_size=2, seed=0)) > 0
    assert all(torch.equal(before[name], value) for name, value in stage.state_dict().items())
    assert all(p.grad is None for p in stage.parameters())


def test_a_run_that_was_cut_off_ends_as_if_it_had_not(
    bank: PairBank, backbone: dict[str, Tensor], tmp_path: Path
) -> None:
    def trained(root: Path, cut: bool) -> BinaryChangeNet:
        if cut:
            assert train_binary(RUN, bank, backbone, root, on_log=lambda _: None, stop_after=2) is None, (
                "a bounded call ends before its run"
            )
        done = train_binary(RUN, bank, backbone, root, on_log=lambda _: None)
        assert done is not None
        assert done[1] == Plan(steps=4, seconds_per_step=1.0)
        return done[0]

    whole = trained(_with_steps(tmp_path / "whole", 4), cut=False)
    parts = trained(_with_steps(tmp_path / "parts", 4), cut=True)
    for (name, a), b in zip(whole.state_dict().items(), parts.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_threads_are_given_back(bank: PairBank, backbone: dict[str, Tensor], tmp_path: Path) -> None:
    torch.set_num_threads(2)
    train_binary(RUN, bank, backbone, _with_steps(tmp_path, 2), on_log=lambda _: None, stop_after=1)
    assert torch.get_num_threads() == 2


def test_a_broken_plan_is_named(bank: PairBank, backbone: dict[str, Tensor], tmp_path: Path) -> None:
    root = _with_steps(tmp_path, 2)
    path = root / RUN.name / "plan.json"
    for content in ("{", '{"steps": 2}', "[1]"):
        path.write_text(content)
        with pytest.raises(CorruptDataError, match=r"plan\.json is no plan of a run; remove its folder"):
            train_binary(RUN, bank, backbone, root)


@pytest.mark.parametrize(
    ("field", "value"),
    [("minutes", 0.0), ("minutes", float("inf")), ("minutes", float("nan")), ("net", "UNet"), ("seed", -1),
     ("batch_size", 1)],
)  # fmt: skip
def test_unusable_runs_are_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidInputError, match=str(value)):
        BinaryRun(**{"net": "FC-EF", field: value})  # type: ignore[arg-type]


def test_a_bank_smaller_than_a_batch_is_refused(bank: PairBank) -> None:
    with pytest.raises(InvalidInputError, match="holds 4 pairs, fewer than a batch of 8"):
        BuildingSource(bank, batch_size=8, seed=0)


def test_runs_of_other_lengths_lie_apart() -> None:
    names = {
        RUN.name,
        BinaryRun(net="FC-Siam-diff", minutes=20, batch_size=2).name,
        BinaryRun(net="FC-Siam-diff", minutes=20, batch_size=2, seed=1).name,
        BinaryRun(net="FC-EF", minutes=20, batch_size=2).name,
        BinaryRun(net="FC-EF", minutes=20).name,
    }
    assert len(names) == 5
