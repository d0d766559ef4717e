"""Do the composites give themselves away? A tiny network looks at seams alone.

Composites are honest test pairs only if a paste's edge is no clue. Two probes look at crops of seams:

- `pasted`: is it the edge of a paste, or one that was in the picture? Both kinds have the same classes on
  their two sides, equally often.
- `changed`: of pasted edges, does it belong to a change, or to a paste into both dates?

A probe is trained on composites of training tiles and tested on those of tiles that training never sees. Half
right is chance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from benchmarks.measuring.measures import Interval, draw_weights, percentiles
from benchmarks.reporting.tables import share_with_interval, table
from benchmarks.seams.crops import Crop, crops_of
from reasoncd.errors import InvalidInputError
from training.data.composites import CompositeSource
from training.data.real_tiles import dubai_tiles

Probe = Literal["pasted", "changed"]
PROBES: tuple[Probe, ...] = ("pasted", "changed")


@dataclass(frozen=True, kw_only=True, slots=True)
class SeamConfig:
    """How much is looked at."""

    train_pairs: int = 300
    test_pairs: int = 150
    steps: int = 800
    """Of a probe's training."""
    batch: int = 128
    """Crops of a step."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("train_pairs", "test_pairs", "steps", "batch"):
            if getattr(self, name) < 1:
                raise InvalidInputError(f"{name} is {getattr(self, name)}; give at least 1")
        if self.seed < 0:
            raise InvalidInputError(f"seed is {self.seed}; give 0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class SeamResult:
    """How well one probe does on pairs that it has not seen."""

    probe: Probe
    crops: int
    """Tested ones, half of either kind."""
    balanced_accuracy: float
    interval: Interval
    """95 %, by bootstrap over pairs."""

    def as_json(self) -> dict[str, Any]:
        """Numbers and texts only."""
        return {
            "probe": self.probe, "crops": self.crops, "balanced_accuracy": self.balanced_accuracy,
            "interval": list(self.interval),
        }  # fmt: skip


def probe_seams(config: SeamConfig, *, root: Path | None = None) -> list[SeamResult]:
    """Train and test both probes.

    Args:
        config: how much.
        root: the data folder; found by `real_tiles.data_root` where None.

    Raises:
        NotFoundError: the real tiles are not there.
        InvalidInputError: the pairs are too few to show edges of either kind.
    """
    rng = np.random.default_rng((config.seed, 7))
    train = crops_of(CompositeSource(dubai_tiles("train", root)), config.train_pairs, rng)
    test = crops_of(CompositeSource(dubai_tiles("validation", root)), config.test_pairs, rng)
    found = []
    for probe in PROBES:
        known, asked = (_halves(crops, probe, rng) for crops in (train, test))
        if not known or not asked:
            raise InvalidInputError(
                f"{config.train_pairs} and {config.test_pairs} pairs show too few edges; ask for more pairs"
            )
        verdicts = _trained(known, probe, config)(asked)
        found.append(_scored(probe, asked, verdicts))
    return found


def seam_table(found: Sequence[SeamResult]) -> str:
    """The probes' results as a Markdown table."""
    questions = {
        "pasted": "is this the edge of a paste?",
        "changed": "does this pasted edge belong to a change?",
    }
    rows = [
        [questions[r.probe], str(r.crops), share_with_interval(r.balanced_accuracy, r.interval)]
        for r in found
    ]
    return table(["asked of a seam alone", "crops", "balanced accuracy (95 %); chance is 50 %"], rows)


def _halves(crops: Sequence[Crop], probe: Probe, rng: np.random.Generator) -> list[Crop]:
    """As many crops of one kind as of the other, for each combination of classes on the two sides."""
    candidates = [c for c in crops if c.pasted] if probe == "changed" else crops
    chosen: list[Crop] = []
    for sides in sorted({c.sides for c in candidates}):
        kinds: dict[bool, list[Crop]] = {True: [], False: []}
        for crop in candidates:
            if crop.sides == sides:
                kinds[_answer(crop, probe)].append(crop)
        count = min(len(kinds[True]), len(kinds[False]))
        for kind in kinds.values():
            chosen += [kind[int(i)] for i in rng.permutation(len(kind))[:count]]
    return chosen


def _answer(crop: Crop, probe: Probe) -> bool:
    return crop.changed if probe == "changed" else crop.pasted


class SeamNet(nn.Module):
    """Some 15,000 parameters: (N, 3, 17, 9) -> one logit a crop."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.GELU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.GroupNorm(4, 32), nn.GELU(),
            nn.Conv2d(32, 32, 3), nn.GroupNorm(4, 32), nn.GELU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 1),
        )  # fmt: skip

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, 17, 9) RGB 0-1 -> (N,)."""
        logits: torch.Tensor = self.layers(4 * (pixels - 0.5))
        return logits[:, 0]


def _trained(
    crops: Sequence[Crop], probe: Probe, config: SeamConfig
) -> Callable[[Sequence[Crop]], NDArray[np.bool_]]:
    """A function from N crops to verdicts (N,)."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        net = SeamNet()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    pixels = _stacked(crops)
    wanted = torch.tensor([float(_answer(c, probe)) for c in crops])
    rng = np.random.default_rng((config.seed, 8))
    for _ in range(config.steps):
        rows = torch.from_numpy(rng.integers(len(crops), size=config.batch))
        batch = pixels[rows]
        # Which end and which side is which means nothing.
        batch = batch.flip([d for d in (2, 3) if rng.random() < 0.5])
        loss = F.binary_cross_entropy_with_logits(net(batch), wanted[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    net.eval()

    def verdicts(asked: Sequence[Crop]) -> NDArray[np.bool_]:
        with torch.no_grad():
            return np.asarray(net(_stacked(asked)).numpy() > 0)

    return verdicts


def _stacked(crops: Sequence[Crop]) -> torch.Tensor:
    return torch.from_numpy(np.stack([c.pixels for c in crops])).permute(0, 3, 1, 2)


def _scored(probe: Probe, crops: Sequence[Crop], verdicts: NDArray[np.bool_]) -> SeamResult:
    answers = np.array([_answer(c, probe) for c in crops])
    right = (verdicts == answers).astype(float)
    places = np.unique([c.pair for c in crops], return_inverse=True)[1]

    def balanced(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        each = weights[:, places]
        with np.errstate(invalid="ignore"):
            shares = [
                (each[:, kind] @ right[kind]) / each[:, kind].sum(axis=1) for kind in (answers, ~answers)
            ]
        return np.asarray((shares[0] + shares[1]) / 2)

    pairs = int(places.max()) + 1
    return SeamResult(
        probe=probe,
        crops=len(crops),
        balanced_accuracy=float(balanced(np.ones((1, pairs)))[0]),
        interval=percentiles(balanced(draw_weights(pairs))),
    )
