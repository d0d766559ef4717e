"""Training batches: augmented pairs, and for each pair a few targets with their masks.

B pairs, T = 2 dates, S side of a pair in pixels, Q = B * queries_per_pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reasoncd.ontology import MAIN_CLASSES, TARGETS, Target
from training.data.bank import PairBank
from training.data.labels import (
    MEMBERSHIP,
    NO,
    UNKNOWN,
    YES,
    LabelledPair,
    LandCover,
    target_masks,
    target_truth,
)

_CODES = len(LandCover)
_TRUTH_TABLE = np.array(
    [[target_truth(t, a, b) for a in LandCover for b in LandCover] for t in TARGETS], dtype=np.uint8
)
"""(targets, code_t1 * codes + code_t2) -> truth."""
_OF_CLASS = np.array([[MEMBERSHIP[t.cls][code] == YES for code in LandCover] for t in TARGETS])
"""(targets, codes) -> whether a code surely belongs to the target's class."""
_BUILDING_CHANGE = next(i for i, t in enumerate(TARGETS) if t.key == "building.change")

_ROW = {target: row for row, target in enumerate(TARGETS)}
_DIRECTED = [target.direction in ("gain", "loss") for target in TARGETS]

SMALLEST_CHANGE = 24
"""Pixels from which a change counts as there; fewer are an artefact of resampled labels."""


def target_weight(target: Target) -> float:
    """How often a target is asked, relative to gain and loss of the main classes."""
    if target.direction == "transition":
        return 0.2
    weight = 1.0 if target.cls in MAIN_CLASSES else 0.35
    return weight * (0.3 if target.direction == "change" else 1.0)


_WEIGHTS = np.array([target_weight(t) for t in TARGETS])


def presence_of_targets(pair: LabelledPair) -> NDArray[np.uint8]:
    """Whether each target's change is there at all: uint8 (targets,), 0 no, 1 yes, 255 unknown."""
    if pair.building_change is not None:
        out = np.full(len(TARGETS), UNKNOWN, dtype=np.uint8)
        out[_BUILDING_CHANGE] = (
            YES if np.count_nonzero(pair.building_change == YES) >= SMALLEST_CHANGE else NO
        )
        return out
    code = pair.land_t1.astype(np.intp).ravel() * _CODES + pair.land_t2.ravel()
    pixels = np.bincount(code, minlength=_CODES * _CODES)
    yes = (_TRUTH_TABLE == YES) @ pixels
    unknown = (_TRUTH_TABLE == UNKNOWN) @ pixels
    out = np.where(yes >= SMALLEST_CHANGE, YES, np.where(yes + unknown == 0, NO, UNKNOWN))
    return out.astype(np.uint8)


def shown_targets(pair: LabelledPair) -> NDArray[np.bool_]:
    """Whether each target's class is surely in one of the images at all: bool (targets,)."""
    pixels = np.bincount(pair.land_t1.ravel(), minlength=_CODES)
    pixels += np.bincount(pair.land_t2.ravel(), minlength=_CODES)
    return np.asarray(_OF_CLASS @ pixels >= SMALLEST_CHANGE)


def choose_targets(
    presence: NDArray[np.uint8],
    rng: np.random.Generator,
    count: int,
    *,
    shown: NDArray[np.bool_] | None = None,
    absent_share: float = 0.4,
) -> list[int]:
    """Pick the targets to ask about one pair: some that are there, some that are not.

    Half of the absent ones are the opposite direction of something that is there, and half of the
    others of a class that is there and stays: what is nowhere in the images is easily told.

    Args:
        presence: (targets,) of the pair, as `presence_of_targets` gives it.
        rng: source of randomness.
        count: how many to pick.
        shown: (targets,) of the pair, as `shown_targets` gives it; None where it does not matter.
        absent_share: chance of an absent one, where the pair has both.

    Returns:
        `count` indices into `TARGETS`, repeats where the pair offers too few.
    """
    there = np.flatnonzero(presence == YES)
    absent = np.flatnonzero(presence == NO)
    opposite = np.array(
        [i for i in absent if _DIRECTED[i] and _ROW[TARGETS[i].reversed] in there], dtype=np.intp
    )
    staying = absent[:0] if shown is None else absent[shown[absent]]
    chosen: list[int] = []
    for _ in range(count):
        pool = there
        if len(there) == 0 or (len(absent) and rng.random() < absent_share):
            pool = staying if len(staying) and rng.random() < 0.5 else absent
            pool = opposite if len(opposite) and rng.random() < 0.5 else pool
        fresh = pool[~np.isin(pool, chosen)]
        pool = fresh if len(fresh) else pool
        if len(pool) == 0:
            pool = np.array([_BUILDING_CHANGE])
        weights = _WEIGHTS[pool]
        chosen.append(int(rng.choice(pool, p=weights / weights.sum())))
    return chosen


def transform(pair: LabelledPair, rng: np.random.Generator, *, swap_dates: bool = True) -> LabelledPair:
    """One of the eight flips and turns, and by chance the dates exchanged (a gain becomes a loss)."""
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))

    def move(a: NDArray[np.uint8]) -> NDArray[np.uint8]:
        a = np.rot90(a, turns)
        return np.ascontiguousarray(a[:, ::-1] if flip else a)

    one, two = (move(pair.image_t1), move(pair.land_t1)), (move(pair.image_t2), move(pair.land_t2))
    if swap_dates and rng.integers(2):
        one, two = two, one
    change = None if pair.building_change is None else move(pair.building_change)
    return replace(
        pair, image_t1=one[0], land_t1=one[1], image_t2=two[0], land_t2=two[1], building_change=change
    )


def relight(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Another gain, offset and gamma per channel by table, and another saturation; cheap enough to repeat."""
    levels = np.linspace(0.0, 1.0, 256)[None] ** np.exp(rng.uniform(-0.2, 0.2))
    gain = np.exp(rng.uniform(-0.15, 0.15) + rng.uniform(-0.06, 0.06, (3, 1)))
    bias = rng.uniform(-0.04, 0.04) + rng.uniform(-0.02, 0.02, (3, 1))
    table = np.clip((levels * gain + bias) * 255.0, 0, 255).astype(np.uint8)
    toned = np.stack([table[c][image[..., c]] for c in range(3)], axis=-1)
    if rng.random() < 0.5:
        return toned
    grey = toned.mean(axis=-1, keepdims=True, dtype=np.float32)
    pale = grey + np.float32(rng.uniform(0.5, 1.4)) * (toned - grey)
    return np.asarray(np.clip(pale, 0, 255), dtype=np.uint8)


@dataclass(frozen=True, kw_only=True, slots=True)
class PairBatch:
    """B pairs and the targets asked about them."""

    images: Tensor
    """uint8 (B, T, 3, S, S), RGB 0-255."""
    lands: Tensor
    """uint8 (B, T, S, S) `LandCover` codes."""
    target_index: Tensor
    """int64 (Q,), indices into `reasoncd.ontology.TARGETS`."""
    pair_index: Tensor
    """int64 (Q,)."""
    truth: Tensor
    """uint8 (Q, S, S): 0 no, 1 yes, 255 unknown."""
    presence: Tensor
    """uint8 (Q,): 0 no, 1 yes, 255 unknown."""

    @property
    def targets(self) -> list[Target]:
        """The asked targets, query by query."""
        return [TARGETS[int(i)] for i in self.target_index]


def stack_images(pairs: Sequence[LabelledPair]) -> Tensor:
    """Images of B pairs of one size: uint8 (B, T, 3, S, S), RGB 0-255."""
    images = np.stack([np.stack([p.image_t1, p.image_t2]) for p in pairs]).transpose(0, 1, 4, 2, 3)
    return torch.from_numpy(np.ascontiguousarray(images))


def make_batch(pairs: list[LabelledPair], rng: np.random.Generator, *, queries_per_pair: int) -> PairBatch:
    """Choose targets for given pairs and stack everything."""
    targets: list[int] = []
    pair_index: list[int] = []
    truth: list[NDArray[np.uint8]] = []
    presence: list[int] = []
    for row, pair in enumerate(pairs):
        there = presence_of_targets(pair)
        chosen = choose_targets(there, rng, queries_per_pair, shown=shown_targets(pair))
        truth.append(target_masks(pair, [TARGETS[i] for i in chosen]))
        targets += chosen
        presence += [int(there[i]) for i in chosen]
        pair_index += [row] * len(chosen)
    lands = np.stack([np.stack([p.land_t1, p.land_t2]) for p in pairs])
    return PairBatch(
        images=stack_images(pairs),
        lands=torch.from_numpy(lands),
        target_index=torch.tensor(targets),
        pair_index=torch.tensor(pair_index),
        truth=torch.from_numpy(np.concatenate(truth)),
        presence=torch.tensor(presence, dtype=torch.uint8),
    )


class BatchSource:
    """Step number -> batch, the same for the same seed: a run resumes by its step alone.

    Args:
        bank: where pairs come from.
        batch_size: pairs B in a batch.
        queries_per_pair: targets asked about each.
        seed: of order, augmentation and choice.
        rank: this process's number; each one draws batches of its own.
    """

    def __init__(
        self, bank: PairBank, *, batch_size: int, queries_per_pair: int, seed: int, rank: int = 0
    ) -> None:
        self.bank = bank
        self.batch_size = batch_size
        self.queries_per_pair = queries_per_pair
        self.seed = seed
        self.rank = rank

    def batch(self, step: int) -> PairBatch:
        """The batch of one step."""
        rng = np.random.default_rng((self.seed, self.rank, step))
        pairs = []
        for index in rng.choice(len(self.bank), size=self.batch_size, replace=False):
            pair = transform(self.bank[int(index)], rng)
            pairs.append(
                replace(pair, image_t1=relight(pair.image_t1, rng), image_t2=relight(pair.image_t2, rng))
            )
        return make_batch(pairs, rng, queries_per_pair=self.queries_per_pair)
