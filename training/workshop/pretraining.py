"""Pretraining of the two small encoders that have no official weights at their size.

Each ends with a linear probe against random weights of the same shape, on pairs that pretraining
did not see: what a frozen encoder is worth before anything is built on it.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.config import ClipConfig, VisionEncoderConfig
from services.vision_encoder.sam import SamImageEncoder
from training.data.bank import PairBank
from training.data.batches import BatchSource, PairBatch
from training.data.labels import MEMBERSHIP, LandCover
from training.run.config import RunConfig
from training.run.loop import run_stage
from training.run.processes import rank
from training.run.progress import Report
from training.stages.auxiliary import BASE_CLASSES
from training.stages.clip import ClipPretraining, captions_of, tokenize
from training.stages.sam import SamPretraining, land_probe_features
from training.stages.stage import set_precision

CaptionedBatch = tuple[PairBatch, Tensor, Tensor]


def pretrain_sam(
    bank: PairBank, config: VisionEncoderConfig, run: RunConfig, folder: Path, *, report: Report | None = None
) -> Path | None:
    """Train the SAM encoder on dense land cover and borders; returns its weights file when finished."""
    stage, batch = sam_training(bank, config, run)
    return run_stage(stage, batch, run, folder, report=report)


def sam_training(
    bank: PairBank, config: VisionEncoderConfig, run: RunConfig
) -> tuple[SamPretraining, Callable[[int], PairBatch]]:
    """The stage as it begins, and its batches."""
    torch.manual_seed(run.seed)
    source = BatchSource(bank, batch_size=run.micro_batch, queries_per_pair=1, seed=run.seed, rank=rank())
    stage = SamPretraining(config)
    set_precision(stage, run.precision)
    return stage, source.batch


def load_sam(encoder: SamImageEncoder, weights: Path) -> None:
    """Put pretrained weights into an encoder, strictly."""
    state = load_file(weights)
    encoder.load_state_dict(
        {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}
    )


def linear_probe(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], *, ridge: float = 1e-2) -> float:
    """Mean per-class recall of a ridge-regression classifier on frozen features.

    Args:
        train: features (n, C) and class indices (n,).
        test: the same, of other images.
        ridge: regularisation per sample.

    Returns:
        Balanced accuracy in [0, 1] over the classes that occur in `test`.
    """
    x, y = train
    mean, std = x.mean(dim=0), x.std(dim=0) + 1e-6
    x = torch.cat([(x - mean) / std, torch.ones(len(x), 1)], dim=1).double()
    classes = int(torch.max(y.max(), test[1].max())) + 1
    # Rare classes count as much as frequent ones.
    weight = (1.0 / torch.bincount(y, minlength=classes).clamp(min=1).double())[y]
    onehot = nn.functional.one_hot(y, classes).double()
    gram = x.T @ (x * weight[:, None]) + ridge * torch.eye(x.shape[1], dtype=torch.double)
    solution = torch.linalg.solve(gram, x.T @ (onehot * weight[:, None]))
    z = torch.cat([(test[0] - mean) / std, torch.ones(len(test[0]), 1)], dim=1).double()
    hits = (z @ solution).argmax(dim=1) == test[1]
    recalls = [hits[test[1] == c].double().mean() for c in range(classes) if (test[1] == c).any()]
    return float(torch.stack(recalls).mean())


def probe_sam(encoder: SamImageEncoder, train: list[PairBatch], test: list[PairBatch]) -> float:
    """Balanced accuracy of land cover per cell, read linearly off a frozen SAM encoder."""

    def gather(batches: list[PairBatch]) -> tuple[Tensor, Tensor]:
        parts = [land_probe_features(encoder, b.images.flatten(0, 1), b.lands.flatten(0, 1)) for b in batches]
        return _definite(torch.cat([f for f, _ in parts]), torch.cat([c for _, c in parts]))

    encoder.eval()
    return linear_probe(gather(train), gather(test))


def _definite(features: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Only cells whose code names exactly one base class, with that class's index."""
    table = torch.full((len(LandCover),), -1, dtype=torch.long)
    for i, cls in enumerate(BASE_CLASSES):
        for code in LandCover:
            if MEMBERSHIP[cls][code] == 1:
                table[code] = i
    classes = table[codes.long()]
    return features[classes >= 0], classes[classes >= 0]


def pretrain_clip(
    bank: PairBank, config: ClipConfig, run: RunConfig, folder: Path, *, report: Report | None = None
) -> Path | None:
    """Train CLIP contrastively on captions from labels; returns its weights file when finished."""
    stage, batch = clip_training(bank, config, run)
    return run_stage(stage, batch, run, folder, report=report)


def clip_training(
    bank: PairBank, config: ClipConfig, run: RunConfig
) -> tuple[ClipPretraining, Callable[[int], CaptionedBatch]]:
    """The stage as it begins, and its batches: pairs, captions of the images, captions of the changes."""
    torch.manual_seed(run.seed)
    source = BatchSource(bank, batch_size=run.micro_batch, queries_per_pair=1, seed=run.seed, rank=rank())

    def batch(step: int) -> CaptionedBatch:
        pairs = source.batch(step)
        images, changes = captions_of(pairs, np.random.default_rng((run.seed, step)))
        return pairs, tokenize(images), tokenize(changes)

    stage = ClipPretraining(config)
    set_precision(stage, run.precision)
    return stage, batch


def load_clip(encoder: ClipPatchEncoder, weights: Path) -> None:
    """Put a pretrained vision tower into an encoder, strictly."""
    state = load_file(weights)
    encoder.load_state_dict(
        {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}
    )


def probe_clip(encoder: ClipPatchEncoder, train: list[PairBatch], test: list[PairBatch]) -> float:
    """Balanced accuracy of the commonest land cover under each patch, read linearly off its token."""

    def gather(batches: list[PairBatch]) -> tuple[Tensor, Tensor]:
        features, codes = [], []
        side = encoder.config.image_size // encoder.config.patch_size
        for b in batches:
            with torch.no_grad():
                features.append(encoder(b.images.flatten(0, 1)).flatten(0, 1))
            step = b.lands.shape[-1] // side
            cells = b.lands.flatten(0, 1).unfold(1, step, step).unfold(2, step, step)
            codes.append(cells.flatten(3).mode(dim=-1).values.flatten())
        return _definite(torch.cat(features), torch.cat(codes))

    encoder.eval()
    return linear_probe(gather(train), gather(test))
