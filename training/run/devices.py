"""Bringing a batch to where the weights are, whatever it is made of."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor


def moved(batch: Any, device: torch.device) -> Any:
    """The batch with every tensor in it on a device; tuples, lists, dicts and dataclasses are looked into.

    What holds no tensor, and what is there already, comes back as it is.
    """
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, tuple | list):
        return type(batch)(moved(member, device) for member in batch)
    if isinstance(batch, dict):
        return {name: moved(member, device) for name, member in batch.items()}
    if is_dataclass(batch) and not isinstance(batch, type):
        before = {field.name: getattr(batch, field.name) for field in fields(batch)}
        after = {name: moved(value, device) for name, value in before.items()}
        return replace(batch, **{n: v for n, v in after.items() if v is not before[n]})
    return batch
