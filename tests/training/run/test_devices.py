"""Batches on their way to a device; the meta device stands for a GPU."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from training.run.devices import moved

pytestmark = pytest.mark.unit


@dataclass(frozen=True, kw_only=True, slots=True)
class _Batch:
    images: Tensor
    names: tuple[str, ...]
    more: list[Tensor]


def test_every_tensor_goes_along() -> None:
    batch = _Batch(images=torch.ones(2), names=("a", "b"), more=[torch.ones(1)])
    tree, count = moved(({"batch": batch}, 3), torch.device("meta"))
    there = tree["batch"]
    assert there.images.is_meta
    assert there.more[0].is_meta
    assert (there.names, count) == (("a", "b"), 3)
    assert not batch.images.is_meta


def test_what_is_there_stays_the_same_tensor() -> None:
    batch = _Batch(images=torch.ones(2), names=(), more=[])
    assert moved(batch, torch.device("cpu")).images is batch.images
