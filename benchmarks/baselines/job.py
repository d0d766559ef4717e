"""What `reasoncd-bench baselines` does: train or go on training, measure, write the page."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from benchmarks.baselines.comparison import (
    CALIBRATION_PAIRS,
    BaselinesResult,
    TrainedNet,
    calibration_pairs,
    choose_threshold,
    measure_baselines,
)
from benchmarks.baselines.nets import NETS
from benchmarks.baselines.report import baselines_report
from benchmarks.baselines.training import BinaryRun, train_binary
from benchmarks.jobs import Machine, make_report_folder, say, write_html, write_report
from reasoncd.base_models import cache_dir
from reasoncd.errors import InvalidInputError
from training.data.bank import BankConfig, PairBank, build_bank
from training.data.labels import LabelledPair
from training.importers.imagenet import fetch_weights, load_efficientnet_lite0
from training.recipes import mini
from training.workshop.workshop import Workshop


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselinesConfig:
    """What is trained and measured."""

    minutes: float = 20.0
    """Of one thread, for each network and seed."""
    seeds: int = 2
    """Trainings of each network."""
    nets: tuple[str, ...] = NETS
    pairs: int = 60
    """Of each list."""
    seed: int = 0
    """Of the lists."""
    calibration: int = CALIBRATION_PAIRS
    """Pairs that thresholds are chosen on."""
    bank: BankConfig | None = None
    """Of the training pairs; that of the recipe `mini` where None."""
    folder: Path | None = None
    """Where the bank lies and the runs are kept; folders in the cache where None."""

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.pairs < 1 or self.seed < 0 or self.calibration < 1:
            raise InvalidInputError(
                f"seeds is {self.seeds}, pairs {self.pairs}, seed {self.seed}, calibration "
                f"{self.calibration}; give at least 1, 1, 0 and 1"
            )
        if not self.nets:
            raise InvalidInputError(f"no network is named; give some of {', '.join(NETS)}")
        for net in self.nets:
            BinaryRun(net=net, minutes=self.minutes)


def run_baselines(out: Path, machine: Machine, config: BaselinesConfig) -> int:
    """Train, measure and write the report.

    Returns:
        The number of questions that failed.

    Raises:
        NotFoundError: the checkpoint, or the imagery that the training pairs are made of, is not there.
    """
    make_report_folder(out)
    # Before the long training: a checkpoint that cannot be read should not be found out after it.
    pipeline = machine.engines().pipeline()
    started = time.perf_counter()
    bank_config = config.bank or mini().staged.bank
    bank = _bank(config)
    runs = (config.folder or cache_dir()) / "baselines" / bank_config.name
    nets = _trained(config, bank, runs, load_efficientnet_lite0(fetch_weights(progress=say)))
    result = BaselinesResult(
        fingerprints=dict(pipeline.fingerprints),
        minutes=config.minutes,
        bank=bank_config.name,
        nets=tuple(nets),
        pairs=config.pairs,
        seed=config.seed,
        seconds=time.perf_counter() - started,
    )
    measure_baselines(pipeline, nets, result)
    for what in result.missing:
        say(f"not measured, since the images are not there: {what}")
    write_report(out, baselines_report(result), result.as_json())
    write_html(out)
    return len(result.failures)


def _trained(
    config: BaselinesConfig, bank: PairBank, runs: Path, backbone: dict[str, Tensor]
) -> list[TrainedNet]:
    found: list[TrainedNet] = []
    unseen = calibration_pairs(config.calibration)
    for name in config.nets:
        for seed in range(config.seeds):
            run = BinaryRun(net=name, minutes=config.minutes, seed=seed)
            say(f"{name}, seed {seed}: {config.minutes:g} minutes of one thread")
            found.append(_one(run, bank, runs, backbone, unseen))
    return found


def _one(
    run: BinaryRun, bank: PairBank, runs: Path, backbone: dict[str, Tensor], unseen: Sequence[LabelledPair]
) -> TrainedNet:
    done = train_binary(run, bank, backbone, runs, on_log=say)
    assert done is not None  # only a bounded call ends before its run
    net, plan = done
    return TrainedNet(
        name=run.net,
        seed=run.seed,
        net=net,
        steps=plan.steps,
        seconds_per_step=plan.seconds_per_step,
        threshold=choose_threshold(net, unseen),
    )


def _bank(config: BaselinesConfig) -> PairBank:
    """The training pairs of `mini`, where its own training keeps them, or those that are asked for."""
    if config.bank is None:
        recipe = mini()
        return Workshop(recipe, config.folder or cache_dir() / "train" / recipe.name, say).bank()
    return PairBank(build_bank(config.folder or cache_dir() / "baselines", config.bank))
