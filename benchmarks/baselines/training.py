"""Training of the binary baselines: the pairs, the augmentation, the losses and the loop of the model itself.

What differs is what must: the only target is building change in either direction, and the run ends after so
many minutes of one thread. Minutes become steps by the pace of the first few, once; so a run that is cut off
goes on to the same end, on a machine that is busy with other work too.

B pairs, T = 2 dates, S side of a pair in pixels.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.baselines.nets import NETS, BinaryChangeNet
from reasoncd.errors import CorruptDataError, InvalidInputError
from reasoncd.ontology import TARGET_BY_KEY
from training.data.bank import PairBank
from training.data.batches import relight, stack_images, transform
from training.data.labels import LabelledPair, target_mask
from training.losses import LossWeights, mask_bce, mask_dice
from training.run.loop import RunConfig, run_stage
from training.stages.stage import Stage

BUILDING_CHANGE = TARGET_BY_KEY["building.change"]
PACE_STEPS = 4
"""Steps by which the pace is taken, after one that is not counted."""
_PLAN_FILE = "plan.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class BinaryRun:
    """How one network is trained."""

    net: str
    """One of `NETS`."""
    minutes: float = 20.0
    """Of one thread's own time, waiting for other processes left out."""
    seed: int = 0
    batch_size: int = 8

    def __post_init__(self) -> None:
        if self.net not in NETS:
            raise InvalidInputError(f"network {self.net!r} is unknown; give one of {', '.join(NETS)}")
        if not 0 < self.minutes < float("inf"):
            raise InvalidInputError(f"minutes is {self.minutes}; give a number above 0")
        if self.seed < 0 or self.batch_size < 2:
            raise InvalidInputError(
                f"seed is {self.seed} and batch_size {self.batch_size}; give at least 0 and 2"
            )

    @property
    def name(self) -> str:
        """Folder name that tells runs apart."""
        return f"{self.net.lower()}-{self.minutes:g}min-b{self.batch_size}-seed{self.seed}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How many steps the minutes are worth on the machine where the run began."""

    steps: int
    seconds_per_step: float
    """Of one thread."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildingBatch:
    """B pairs and where a building came or went."""

    images: Tensor
    """uint8 (B, T, 3, S, S), RGB 0-255."""
    truth: Tensor
    """uint8 (B, S, S): 0 no, 1 yes, 255 unknown."""


class BuildingSource:
    """Step number -> batch, drawn and augmented as `training.data.batches.BatchSource` does.

    Args:
        bank: where pairs come from.
        batch_size: pairs B in a batch.
        seed: of order and augmentation.
    """

    def __init__(self, bank: PairBank, *, batch_size: int, seed: int) -> None:
        if len(bank) < batch_size:
            raise InvalidInputError(f"the bank holds {len(bank)} pairs, fewer than a batch of {batch_size}")
        self._bank, self._batch_size, self._seed = bank, batch_size, seed

    def batch(self, step: int) -> BuildingBatch:
        """The batch of one step."""
        rng = np.random.default_rng((self._seed, 0, step))
        pairs: list[LabelledPair] = []
        for index in rng.choice(len(self._bank), size=self._batch_size, replace=False):
            pair = transform(self._bank[int(index)], rng)
            pairs.append(
                replace(pair, image_t1=relight(pair.image_t1, rng), image_t2=relight(pair.image_t2, rng))
            )
        truth = np.stack([target_mask(pair, BUILDING_CHANGE) for pair in pairs])
        return BuildingBatch(images=stack_images(pairs), truth=torch.from_numpy(truth))


class BinaryStage(Stage):
    """Losses of one network for one batch: those of the model's maps, with the same weights."""

    def __init__(self, net: BinaryChangeNet, weights: LossWeights | None = None) -> None:
        super().__init__()
        self.net = net
        self.weights = weights or LossWeights()

    def forward(self, batch: BuildingBatch) -> dict[str, Tensor]:
        """The batch's losses by name; `loss` is what is minimised."""
        device = self.net.mean.device
        truth = batch.truth.to(device)
        images = batch.images.to(device)
        with self.autocast(images):
            logits = self.net(images)
        w = self.weights
        bce = mask_bce(logits, truth, changed_pixel=w.changed_pixel).mean()
        dice = mask_dice(logits, truth).mean()
        return {"bce": bce, "dice": dice, "loss": w.bce * bce + w.dice * dice}


def train_binary(
    run: BinaryRun,
    bank: PairBank,
    backbone: dict[str, Tensor],
    root: Path,
    *,
    on_log: Callable[[str], None] = print,
    stop_after: int | None = None,
) -> tuple[BinaryChangeNet, Plan] | None:
    """Train a network to its end, from where an earlier call was cut off.

    Torch works on one thread meanwhile.

    Args:
        run: which network, how long.
        bank: training pairs.
        backbone: ImageNet weights in timm's names.
        root: where the folders of runs are kept.
        on_log: is told one line now and then.
        stop_after: stop after this many steps in this call, saved, without finishing.

    Returns:
        The trained network and its plan, or None where `stop_after` ended the call.

    Raises:
        InvalidInputError: a loss is not finite, or memory will not do.
        OutputError: the disk will not do.
        CorruptDataError: the plan of an earlier call cannot be read.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(run.seed)
        net = BinaryChangeNet(run.net)
        net.load_backbone(backbone)
        stage = BinaryStage(net)
        source = BuildingSource(bank, batch_size=run.batch_size, seed=run.seed)
        folder = root / run.name
        plan = _planned(run, stage, source, folder)
        finished = run_stage(
            stage, source.batch, _config(run, plan), folder, on_log=on_log, stop_after=stop_after
        )
    finally:
        torch.set_num_threads(threads)
    if finished is None:
        return None
    stage.load_state_dict(load_file(finished))
    return net.eval(), plan


def _config(run: BinaryRun, plan: Plan) -> RunConfig:
    """The vision stage's pace; the warm-up is a part of the run where that is short."""
    return RunConfig(
        steps=plan.steps,
        learning_rate=1e-3,
        warmup_steps=min(100, plan.steps // 5),
        slow=("net.net.encoder",),
        micro_batch=run.batch_size,
        seed=run.seed,
    )


def _planned(run: BinaryRun, stage: BinaryStage, source: BuildingSource, folder: Path) -> Plan:
    """The plan of the earlier call, or a new one that is kept for the next."""
    path = folder / _PLAN_FILE
    if path.is_file():
        try:
            return Plan(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise CorruptDataError(f"{path} is no plan of a run; remove its folder and train anew") from error
    pace = _pace(stage, source)
    plan = Plan(steps=max(1, round(run.minutes * 60 / pace)), seconds_per_step=round(pace, 4))
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(
        json.dumps({"steps": plan.steps, "seconds_per_step": plan.seconds_per_step}) + "\n", encoding="utf-8"
    )
    part.replace(path)
    return plan


def _pace(stage: BinaryStage, source: BuildingSource) -> float:
    """Seconds of this process that a step takes, batch and backward pass included; weights stay."""
    before = {name: value.clone() for name, value in stage.state_dict().items()}
    stage.train()
    started = 0.0
    for step in range(PACE_STEPS + 1):
        if step == 1:
            started = time.process_time()
        stage(source.batch(step))["loss"].backward()
    spent = time.process_time() - started
    stage.zero_grad(set_to_none=True)
    # The batch norms have moved.
    stage.load_state_dict(before)
    return spent / PACE_STEPS
