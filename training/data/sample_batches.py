"""Batches of samples: which come when, turned and flipped, with the features that frozen encoders give.

P samples of one batch (each a pair with one question), T = 2 dates, N patch tokens and C channels of CLIP, c,
h, w the map of SAM, S the side that the vision encoder takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from reasoncd.ports import Mode
from training.data.samples import MaskedPair, Sample, SampleDataset
from training.recipes.sample_training import SampleTraining
from training.samples.frozen_features import FrozenFeatures, resized, to_tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleBatch:
    """P samples."""

    images: Tensor
    """uint8 (P, T, 3, S, S), RGB 0-255."""
    clip_tokens: Tensor
    """(P, T, N, C), of the whole images."""
    sam_maps: Tensor
    """(P, T, c, h, w)."""
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    modes: tuple[Mode, ...]
    truth: Tensor
    """uint8 (P, S, S): 0 unchanged, 1 changed, 255 unknown."""


class SampleSource:
    """Step number -> batch of this process, the same for the same seed.

    An epoch is a new order of all samples. The samples of one update follow each other in it, whatever the
    number of processes and passes that share them.

    Args:
        samples: what is learned from.
        features: the frozen encoders.
        training: batch, turns and seed.
        side: S.
        rank: this process's number.
        processes: how many there are.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        features: FrozenFeatures,
        training: SampleTraining,
        *,
        side: int,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self._data = SampleDataset(samples)
        self._features = features
        self._training = training
        self._side = side
        self._rank = rank
        self._processes = processes
        self._accumulation = training.accumulation(processes)
        self._updates = training.updates_per_epoch(len(samples))

    def batch(self, step: int) -> SampleBatch:
        """The batch of one step."""
        drawn = [self._turned(index, turn) for index, turn in self.chosen(step)]
        return stack_samples(drawn, self._features, side=self._side)

    def chosen(self, step: int) -> list[tuple[int, int]]:
        """Which samples a step shows, and how each is turned."""
        update, turn_taken = divmod(step, self._accumulation)
        epoch, place = divmod(update, self._updates)
        rng = np.random.default_rng((self._training.seed, epoch))
        order = rng.permutation(len(self._data))
        turns = rng.integers(self._training.turns, size=len(self._data))
        size = self._training.micro_batch
        first = place * self._training.batch + (turn_taken * self._processes + self._rank) * size
        # Fewer samples than one batch are shown more than once in it.
        indices = order[np.arange(first, first + size) % len(order)]
        return [(int(i), int(turns[i])) for i in indices]

    def _turned(self, index: int, turn: int) -> MaskedPair:
        return turned(self._data[index], turn)


def turned(pair: MaskedPair, turn: int) -> MaskedPair:
    """A pair in one of the eight ways to turn and flip it; 0 is as it is."""

    def move(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
        array = np.rot90(array, turn % 4)
        return np.ascontiguousarray(array[:, ::-1] if turn >= 4 else array)

    if turn == 0:
        return pair
    return replace(pair, image_t1=move(pair.image_t1), image_t2=move(pair.image_t2), mask=move(pair.mask))


def stack_samples(pairs: Sequence[MaskedPair], features: FrozenFeatures, *, side: int) -> SampleBatch:
    """P pairs of any sizes as one batch, each resized to the encoder's square."""
    encoded = [[features.of(image) for image in (pair.image_t1, pair.image_t2)] for pair in pairs]
    images = [
        torch.stack([to_tensor(resized(image, side)) for image in (pair.image_t1, pair.image_t2)])
        for pair in pairs
    ]
    answers = tuple(pair.answer for pair in pairs)
    return SampleBatch(
        images=torch.stack(images),
        clip_tokens=torch.stack([torch.stack([f.clip_tokens for f in dates]) for dates in encoded]),
        sam_maps=torch.stack([torch.stack([f.sam_map for f in dates]) for dates in encoded]),
        questions=tuple(pair.question for pair in pairs),
        answers=answers,
        modes=tuple(mode_of(answer) for answer in answers),
        truth=torch.from_numpy(np.stack([resized_mask(pair.mask, side) for pair in pairs])),
    )


def resized_mask(mask: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Truth (H, W) as a square, each pixel the nearest one's."""
    if mask.shape == (side, side):
        return mask
    return np.asarray(Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST), dtype=np.uint8)


def mode_of(answer: str) -> Mode:
    """What an answer's question has to ask for: a reason where the answer is more than one sentence."""
    return Mode.EXPLAINED if ". " in answer.strip() else Mode.SHORT
