"""The training loop: runs that are stopped, killed, finished, or go wrong."""

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from reasoncd.errors import InvalidInputError, OutputError, ReasonCDError
from training.run.averaging import AveragedWeights
from training.run.config import BestBy, RunConfig, ZeroStage, learning_rate_factor
from training.run.engine import start_engine
from training.run.loop import run_stage

pytestmark = pytest.mark.unit

CONFIG = RunConfig(steps=10, learning_rate=1e-2, warmup_steps=2, ema_decay=0.9, log_steps=4, seed=7)
ZERO = pytest.mark.parametrize("zero_stage", [0, 1, 2])


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """Sums over several threads may be taken in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class TinyStage(nn.Module):
    """A frozen layer, one that learns slowly, batch statistics, and noise of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(3, 3)
        self.frozen.requires_grad_(False)
        # Without a bias: before batch statistics its gradient would be nothing but rounding.
        self.slow = nn.Linear(3, 4, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.slow(self.frozen(x) + 0.1 * torch.randn_like(x))
        error = self.head(torch.tanh(self.norm(hidden))) - x.sum(dim=1, keepdim=True)
        return {"squared": error.square().mean(), "loss": error.square().mean() + error.abs().mean()}


class PlainStage(nn.Module):
    """Without statistics and noise, so that a batch is the mean of its halves."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.head = nn.Linear(3, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"loss": (self.head(torch.tanh(self.inner(x))) - 1.0).square().mean()}


def _stage() -> TinyStage:
    torch.manual_seed(0)
    return TinyStage()


def _batch(step: int) -> Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(step))


def _quiet(_: str) -> None:
    pass


def _run(
    folder: Path, config: RunConfig = CONFIG, *, batches: Callable[[int], Tensor] = _batch, **more: Any
) -> Path | None:
    return run_stage(_stage(), batches, config, folder, on_log=_quiet, **more)


def _equal(a: Path, b: Path) -> bool:
    first, second = load_file(a), load_file(b)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def _save_of(folder: Path) -> dict[str, Any]:
    """What DeepSpeed saved last: weights, optimizer and schedule."""
    (tag,) = folder.glob("update*")
    saved: dict[str, Any] = torch.load(tag / "mp_rank_00_model_states.pt", weights_only=False)
    shards = [torch.load(p, weights_only=False) for p in sorted(tag.glob("*optim_states.pt"))]
    return {"module": saved["module"], "optimizer": saved["optimizer"], "shards": shards,
            "schedule": saved["lr_scheduler"], "ema": load_file(tag / "ema.safetensors")}  # fmt: skip


def _log_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _tensors(tree: Any) -> list[Tensor]:
    """All tensors and numbers in nested containers, in order."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, bool | int | float):
        return [torch.tensor(tree)]
    if isinstance(tree, dict):
        return [t for key in sorted(tree, key=str) for t in _tensors(tree[key])]
    return [t for item in tree for t in _tensors(item)] if isinstance(tree, list | tuple) else []


@ZERO
def test_a_stopped_run_ends_as_one_that_was_not(tmp_path: Path, zero_stage: ZeroStage) -> None:
    config = replace(CONFIG, zero_stage=zero_stage, slow=("slow",))
    whole = _run(tmp_path / "whole", config)
    assert _run(tmp_path / "parts", config, stop_after=3) is None
    assert _run(tmp_path / "parts", config, stop_after=4) is None
    parts = _run(tmp_path / "parts", config)
    assert whole is not None
    assert parts is not None
    assert _equal(whole, parts)


@ZERO
def test_a_save_after_a_stop_is_the_one_without_it(tmp_path: Path, zero_stage: ZeroStage) -> None:
    config = replace(CONFIG, zero_stage=zero_stage)
    _run(tmp_path / "whole", config, stop_after=7)
    _run(tmp_path / "parts", config, stop_after=3)
    _run(tmp_path / "parts", config, stop_after=4)
    one, other = _save_of(tmp_path / "whole"), _save_of(tmp_path / "parts")
    for name in one:
        first, second = _tensors(one[name]), _tensors(other[name])
        assert len(first) == len(second), name
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True)), name
    # Moments of Adam are among them, so that the comparison means something.
    assert len(_tensors(one["optimizer"])) + len(_tensors(one["shards"])) > 6


def test_the_zero_stages_compute_the_same(tmp_path: Path) -> None:
    stages: tuple[ZeroStage, ...] = (0, 1, 2)
    paths = [_run(tmp_path / str(z), replace(CONFIG, zero_stage=z)) for z in stages]
    first, *others = (load_file(p) for p in paths if p is not None)
    assert len(others) == 2
    for other in others:
        for name in first:
            torch.testing.assert_close(other[name], first[name], rtol=1e-5, atol=1e-6)


def test_frozen_parameters_stay_and_are_in_the_finished_weights(tmp_path: Path) -> None:
    path = _run(tmp_path)
    assert path is not None
    state, start = load_file(path), _stage().state_dict()
    assert state.keys() == start.keys()
    assert torch.equal(state["frozen.weight"], start["frozen.weight"])
    for name in ("slow.weight", "head.weight", "norm.running_mean"):
        assert not torch.equal(state[name], start[name]), name


def test_a_save_of_another_stage_is_refused(tmp_path: Path) -> None:
    _run(tmp_path, stop_after=2)
    other = _stage()
    other.extra = nn.Linear(1, 1)
    with pytest.raises(InvalidInputError, match=r"does not fit the stage at extra\.weight"):
        run_stage(other, _batch, CONFIG, tmp_path, on_log=_quiet)


class _KilledError(Exception):
    """Stands for the end of the process."""


def _engine_that_dies(engine: Any, moment: str) -> Any:
    """Lets a save die before DeepSpeed writes, or when all is written but `latest`."""
    save = engine.save_checkpoint

    def dying(*args: Any, **kwargs: Any) -> None:
        if moment == "written":
            save(*args, **kwargs)
        raise _KilledError

    engine.save_checkpoint = dying
    return engine


@pytest.mark.parametrize("moment", ["begun", "written"])
def test_a_killed_save_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    whole = _run(tmp_path / "whole")
    folder = tmp_path / "killed"
    _run(folder, stop_after=3)
    with monkeypatch.context() as patch:
        patch.setattr(
            "training.run.stepping.start_engine", lambda *a: _engine_that_dies(start_engine(*a), moment)
        )
        with pytest.raises(_KilledError):
            _run(folder, stop_after=4)
    assert (folder / "latest").read_text() == "update3"
    assert (folder / "update7").exists()
    told: list[str] = []
    path = run_stage(_stage(), _batch, CONFIG, folder, on_log=told.append)
    assert told[0] == "goes on from step 3"
    assert whole is not None
    assert path is not None
    assert _equal(whole, path)


def test_only_the_last_save_is_kept(tmp_path: Path) -> None:
    _run(tmp_path, replace(CONFIG, save_seconds=0.0), stop_after=5)
    assert [p.name for p in tmp_path.glob("update*")] == ["update5"]


def _poisoned(step: int) -> Tensor:
    return _batch(step) * (float("nan") if step == 6 else 1.0)


def _overflowing(step: int) -> Tensor:
    return _batch(step) * (1e30 if step == 6 else 1.0)


@pytest.mark.parametrize("batches", [_poisoned, _overflowing])
def test_a_loss_that_is_not_finite_is_refused_and_the_save_stays_clean(
    tmp_path: Path, batches: Callable[[int], Tensor]
) -> None:
    # A save at every step: were the loss looked at only now and then, one of them would hold the damage.
    with pytest.raises(InvalidInputError, match="the loss at step 7 is not finite; lower the learning rate"):
        _run(tmp_path, replace(CONFIG, save_seconds=0.0), batches=batches)
    assert [p.name for p in tmp_path.glob("update*")] == ["update6"]
    assert all(bool(torch.isfinite(t).all()) for t in _tensors(_save_of(tmp_path)["module"]))
    assert _run(tmp_path) is not None


def test_finished_weights_are_used_again(tmp_path: Path) -> None:
    path = _run(tmp_path)
    assert path is not None
    before = path.read_bytes()

    def no_batch(step: int) -> Tensor:
        raise AssertionError(f"step {step} was trained again")

    assert _run(tmp_path, batches=no_batch) == path
    assert path.read_bytes() == before
    assert not path.with_suffix(".part").exists()


def test_kept_entries_are_those_asked_for(tmp_path: Path) -> None:
    path = _run(tmp_path, keep=lambda name: name.startswith("head."))
    assert path is not None
    assert sorted(load_file(path)) == ["head.bias", "head.weight"]


def test_averaged_weights_are_handed_on(tmp_path: Path) -> None:
    averaged, last = _run(tmp_path / "a"), _run(tmp_path / "b", replace(CONFIG, ema_decay=None))
    assert averaged is not None
    assert last is not None
    a, b = load_file(averaged), load_file(last)
    assert not torch.equal(a["head.weight"], b["head.weight"])
    assert torch.equal(a["norm.running_mean"], b["norm.running_mean"])


def test_the_average_follows_the_formula() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    average = AveragedWeights(layer, decay=0.5)
    by_hand = 1.0
    for step, value in enumerate((2.0, 4.0, -1.0, 3.0, 0.0, 6.0, 6.0, 6.0, 6.0, 7.0)):
        nn.init.constant_(layer.weight, value)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        by_hand = decay * by_hand + (1 - decay) * value
        assert average.average["weight"].item() == pytest.approx(by_hand, abs=1e-6)
    assert layer.weight.item() == 7.0


def test_the_learning_rate_warms_up_and_falls_along_half_a_cosine() -> None:
    config = RunConfig(steps=30, learning_rate=1.0, warmup_steps=10, final_rate=0.1)
    factors = [learning_rate_factor(s, config) for s in range(31)]
    assert factors[:10] == pytest.approx([0.1 * (s + 1) for s in range(10)])
    assert factors[10] == pytest.approx(1.0)
    assert factors[20] == pytest.approx(0.55)
    assert factors[30] == pytest.approx(0.1)
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert learning_rate_factor(99, config) == pytest.approx(0.1)
    assert learning_rate_factor(0, replace(config, warmup_steps=0)) == pytest.approx(1.0)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_schedule_reaches_the_optimizer_at_each_pace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulation: int
) -> None:
    config = replace(CONFIG, steps=8, accumulation=accumulation, slow=("slow",), slow_rate=0.25)
    engines: list[Any] = []

    def noted(*arguments: Any) -> Any:
        engines.append(start_engine(*arguments))
        return engines[-1]

    monkeypatch.setattr("training.run.stepping.start_engine", noted)
    rates: list[list[float]] = []

    def batch(step: int) -> Tensor:
        rates.append(sorted({g["lr"] for g in engines[0].optimizer.param_groups}))
        return _batch(step)

    _run(tmp_path, config, batches=batch)
    expected = [1e-2 * learning_rate_factor(s - s % accumulation, config) for s in range(8)]
    assert [r[-1] for r in rates] == pytest.approx(expected)
    assert [r[0] for r in rates] == pytest.approx([0.25 * e for e in expected])
    decays = {(g["params"][0].ndim >= 2, g["weight_decay"]) for g in engines[0].optimizer.param_groups}
    assert decays == {(True, config.weight_decay), (False, 0.0)}


def test_the_log_holds_means_of_the_steps_since_the_line_before(tmp_path: Path) -> None:
    losses: list[float] = []

    class Noting(TinyStage):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            out = super().forward(x)
            losses.append(out["loss"].item())
            return out

    torch.manual_seed(0)
    run_stage(Noting(), _batch, CONFIG, tmp_path, on_log=_quiet)
    rows = _log_of(tmp_path)
    assert [int(r["update"]) for r in rows] == [4, 8, 10]
    spans = (losses[:4], losses[4:8], losses[8:])
    assert [float(r["loss"]) for r in rows] == pytest.approx([sum(s) / len(s) for s in spans], abs=1e-5)


def test_validation_sees_the_stage_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    modes: list[bool] = []

    def validate(stage: nn.Module) -> dict[str, float]:
        stage.eval()
        modes.append(stage.training)
        return {"figure": 0.5}

    told: list[str] = []
    stage = _stage()
    config = replace(CONFIG, validate_steps=4)
    run_stage(stage, _batch, config, tmp_path, on_log=told.append, validate=validate)
    assert len(modes) == 3
    assert sum("validation | figure 0.5000" in line for line in told) == 3
    assert stage.training


class _Figures:
    """A validation that gives one figure after the other, and remembers the weights that it was shown."""

    def __init__(self, name: str, *values: float) -> None:
        self.name = name
        self.values = list(values)
        self.shown: list[Tensor] = []

    def __call__(self, stage: nn.Module) -> dict[str, float]:
        assert isinstance(stage, TinyStage)
        self.shown.append(stage.head.weight.detach().clone())
        return {self.name: self.values[len(self.shown) - 1]}


JUDGED = replace(CONFIG, validate_steps=2, best_by="f1")


def test_the_weights_of_the_best_validation_are_handed_on(tmp_path: Path) -> None:
    figures = _Figures("f1", 0.1, 0.6, 0.3, 0.2, 0.5)
    path = _run(tmp_path, JUDGED, validate=figures)
    assert path is not None
    assert torch.equal(load_file(path)["head.weight"], figures.shown[1])
    assert not torch.equal(figures.shown[1], figures.shown[4])
    # What is validated is what is handed on: the average, where there is one.
    last = _run(tmp_path / "last", CONFIG)
    assert last is not None
    assert torch.equal(load_file(last)["head.weight"], figures.shown[4])


def test_the_lowest_loss_counts_where_that_is_asked_for(tmp_path: Path) -> None:
    figures = _Figures("loss", 4.0, 2.0, 3.0, 1.0, 5.0)
    path = _run(tmp_path, replace(JUDGED, best_by="loss"), validate=figures)
    assert path is not None
    assert torch.equal(load_file(path)["head.weight"], figures.shown[3])


def test_a_figure_that_the_validation_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"best_by is loss, but this run's validation gives f1;"):
        _run(tmp_path, replace(JUDGED, best_by="loss"), validate=_Figures("f1", 0.1))


@pytest.mark.parametrize(("then", "handed_on"), [(None, 4), ("loss", 3)])
def test_for_another_figure_earlier_validations_do_not_count(
    tmp_path: Path, then: BestBy | None, handed_on: int
) -> None:
    shown: list[Tensor] = []

    def validate(stage: nn.Module) -> dict[str, float]:
        assert isinstance(stage, TinyStage)
        shown.append(stage.head.weight.detach().clone())
        return {"f1": 0.5 / len(shown), "loss": (0.1, 0.2, 3.0, 1.0, 2.0)[len(shown) - 1]}

    _run(tmp_path, JUDGED, validate=validate, stop_after=4)
    path = _run(tmp_path, replace(JUDGED, best_by=then), validate=validate)
    assert path is not None
    assert torch.equal(load_file(path)["head.weight"], shown[handed_on])


def test_patience_ends_a_run_also_across_a_stop(tmp_path: Path) -> None:
    config = replace(JUDGED, steps=40, patience=3)
    values = (0.1, 0.4, 0.3, 0.4, 0.2, 0.9, 0.9)
    whole, parts = _Figures("f1", *values), _Figures("f1", *values)
    told: list[str] = []
    first = run_stage(_stage(), _batch, config, tmp_path / "whole", on_log=told.append, validate=whole)
    assert len(whole.shown) == 5
    assert any("3 validations without a better f1" in line for line in told)
    second = None
    for stop in (3, 4, None):
        second = _run(tmp_path / "parts", config, validate=parts, stop_after=stop)
    assert len(parts.shown) == 5
    assert first is not None
    assert second is not None
    assert _equal(first, second)
    assert torch.equal(load_file(first)["head.weight"], whole.shown[1])


def test_validation_leaves_no_trace(tmp_path: Path) -> None:
    plain, watched = (
        _run(tmp_path / name, replace(CONFIG, validate_steps=2), validate=validate)
        for name, validate in (("a", None), ("b", _Figures("f1", *[0.5] * 5)))
    )
    assert plain is not None
    assert watched is not None
    assert _equal(plain, watched)


def test_accumulated_batches_make_the_update_of_one_large_batch(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=4, warmup_steps=0, ema_decay=0.5)
    whole = run_stage(PlainStage(), _batch, config, tmp_path / "whole", on_log=_quiet)
    halves = run_stage(
        PlainStage(),
        lambda step: _batch(step // 2).chunk(2)[step % 2],
        replace(config, steps=8, accumulation=2),
        tmp_path / "halves",
        on_log=_quiet,
    )
    assert whole is not None
    assert halves is not None
    one, two = load_file(whole), load_file(halves)
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-5, atol=1e-6)


def test_a_smaller_batch_goes_on_with_the_same_updates(tmp_path: Path) -> None:
    """As `accumulated_batches` above, but the batch is halved, or joined again, half way."""
    config = replace(CONFIG, steps=8, warmup_steps=0, ema_decay=0.5)
    in_halves = replace(config, steps=16, accumulation=2)

    def half(step: int) -> Tensor:
        return _batch(step // 2).chunk(2)[step % 2]

    def run(name: str, *parts: tuple[RunConfig, Callable[[int], Tensor], int | None]) -> dict[str, Tensor]:
        made = [
            run_stage(PlainStage(), batches, settings, tmp_path / name, on_log=_quiet, stop_after=stop)
            for settings, batches, stop in parts
        ]
        assert made[-1] is not None
        return load_file(made[-1])

    whole = run("whole", (config, _batch, None))
    for name, parts in (
        ("smaller", ((config, _batch, 3), (in_halves, half, None))),
        ("larger", ((in_halves, half, 6), (config, _batch, None))),
    ):
        found = run(name, *parts)
        for key, value in whole.items():
            torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-6)


FOURTHS = replace(CONFIG, steps=32, accumulation=4, validate_steps=4, log_steps=4)
HALVES = replace(CONFIG, steps=16, accumulation=2, validate_steps=2, log_steps=2)
"""As many updates of half the batches: step 8 of one is the second update, of the other the fourth."""


@pytest.mark.parametrize("moment", ["begun", "written"])
def test_a_smaller_batch_never_writes_into_the_only_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    _run(tmp_path / "whole", FOURTHS, stop_after=8)
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    with monkeypatch.context() as patch:
        patch.setattr(
            "training.run.stepping.start_engine", lambda *a: _engine_that_dies(start_engine(*a), moment)
        )
        with pytest.raises(_KilledError):
            _run(tmp_path / "killed", HALVES, stop_after=4)
    told: list[str] = []
    killed = run_stage(_stage(), _batch, HALVES, tmp_path / "killed", on_log=told.append)
    whole = _run(tmp_path / "whole", HALVES)
    assert told[0] == "goes on from step 4"
    assert killed is not None
    assert whole is not None
    assert _equal(killed, whole)


def test_a_smaller_batch_keeps_the_logs_and_the_best_weights(tmp_path: Path) -> None:
    figures = _Figures("f1", 0.9, *[0.1] * 7)
    judged = replace(FOURTHS, best_by="f1")
    _run(tmp_path, judged, validate=figures, stop_after=20)
    told: list[str] = []
    path = run_stage(
        _stage(), _batch, replace(HALVES, best_by="f1"), tmp_path, on_log=told.append, validate=figures
    )
    assert path is not None
    for name in ("log.csv", "validation.csv"):
        with (tmp_path / name).open(newline="") as file:
            assert [int(row["update"]) for row in csv.DictReader(file)] == list(range(1, 9)), name
    assert "hands on the weights of step 2, the best validation" in told
    assert torch.equal(load_file(path)["head.weight"], figures.shown[0])


def test_a_line_of_the_log_ends_with_an_update(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=15, accumulation=3, validate_steps=3, log_steps=4)
    _run(tmp_path, config)
    # Steps 4, 8, 12 and 15, the first two of which lie within an update.
    assert [int(row["update"]) for row in _log_of(tmp_path)] == [2, 3, 4, 5]


def test_another_pace_and_decay_are_those_that_are_used(tmp_path: Path) -> None:
    _run(tmp_path, replace(CONFIG, log_steps=1), stop_after=4)
    slower = replace(CONFIG, log_steps=1, learning_rate=1e-4, weight_decay=0.5)
    _run(tmp_path, slower, stop_after=2)
    (tag,) = tmp_path.glob("update*")
    saved = torch.load(tag / "mp_rank_00_model_states.pt", weights_only=False)["optimizer"]
    assert {group["weight_decay"] for group in saved["param_groups"]} == {0.5, 0.0}
    rates = [float(row["learning_rate"]) for row in _log_of(tmp_path)]
    assert rates[3] > 1e-3
    # The rate that is logged is that of the next update.
    assert rates[4] == pytest.approx(1e-4 * learning_rate_factor(5, slower))


def test_what_a_save_cannot_stand_for_is_refused_or_begun(tmp_path: Path) -> None:
    _run(tmp_path, replace(CONFIG, ema_decay=None), stop_after=4)
    with pytest.raises(InvalidInputError, match=r"other parameters at a slower pace .*go on as it began"):
        _run(tmp_path, replace(CONFIG, ema_decay=None, slow=("slow",)))
    # An average may begin late.
    assert _run(tmp_path) is not None


def test_no_save_lies_within_an_update(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=12, accumulation=3, validate_steps=3, save_seconds=0.0)
    seen: set[str] = set()

    def batch(step: int) -> Tensor:
        seen.update(p.read_text() for p in tmp_path.glob("latest"))
        return _batch(step)

    _run(tmp_path, config, batches=batch)
    assert seen == {"update1", "update2", "update3"}
    whole, parts = _run(tmp_path / "whole", config), tmp_path / "parts"
    _run(parts, config, stop_after=4)
    assert (parts / "latest").read_text() == "update2"
    again = _run(parts, config)
    assert whole is not None
    assert again is not None
    assert _equal(whole, again)


def test_a_stopped_run_leaves_the_log_of_one_that_was_not(tmp_path: Path) -> None:
    config = replace(JUDGED, steps=11, validate_steps=4)
    values = (0.2, 0.3, 0.1)
    _run(tmp_path / "whole", config, validate=_Figures("f1", *values))
    parts = _Figures("f1", *values)
    for stop in (3, 2, None):
        _run(tmp_path / "parts", config, validate=parts, stop_after=stop)
    for name in ("log.csv", "validation.csv"):
        assert (tmp_path / "parts" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert (tmp_path / "parts" / "curves.png").stat().st_size > 1000
    assert list((tmp_path / "parts" / "tensorboard").iterdir())


def test_a_save_without_a_state_of_its_own_goes_on(tmp_path: Path) -> None:
    whole = _run(tmp_path / "whole")
    _run(tmp_path / "old", stop_after=4)
    (tmp_path / "old" / "update4" / "state.json").unlink()
    old = _run(tmp_path / "old")
    assert whole is not None
    assert old is not None
    assert _equal(whole, old)


def test_a_full_disk_is_told_and_the_save_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(tmp_path, stop_after=4)
    full = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr("training.run.saves.shutil.disk_usage", lambda _: full)
    monkeypatch.setattr("training.run.loop.check_disk", lambda *_: None)
    with pytest.raises(OutputError, match="the disk is full: a save in"):
        _run(tmp_path, replace(CONFIG, save_seconds=0.0))
    assert (tmp_path / "latest").read_text() == "update4"


@pytest.mark.parametrize(
    ("name", "free", "error", "said"),
    [
        (
            "free_memory",
            10,
            InvalidInputError,
            "about .* of memory but .* are free; lower",
        ),
        ("_KEEP_FREE", 10**18, OutputError, "about .* free some space or name another"),
    ],
)
def test_a_run_refuses_to_start_where_room_will_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, free: int,
    error: type[ReasonCDError], said: str,
) -> None:  # fmt: skip
    value = free if name.startswith("_") else lambda _: free
    monkeypatch.setattr(f"training.run.preflight.{name}", value)
    with pytest.raises(error, match=said):
        _run(tmp_path / "run")
    assert not (tmp_path / "run" / "latest").exists()


def test_best_weights_need_a_validation(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a validation"):
        _run(tmp_path, JUDGED)


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 0},
        {"warmup_steps": -1},
        {"learning_rate": 0.0},
        {"weight_decay": -0.1},
        {"final_rate": 2.0},
        {"ema_decay": 1.0},
        {"ema_decay": 0.0},
        {"zero_stage": 3},
        {"precision": "float16"},
        {"accumulation": 3},
        {"accumulation": 0},
        {"log_steps": 0},
        {"patience": 2},
        {"patience": 0, "best_by": "f1"},
    ],
)
def test_impossible_settings_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        replace(CONFIG, **fields)
