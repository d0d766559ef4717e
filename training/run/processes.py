"""The processes of one run: torchrun starts several, each with batches of its own; mostly there is one.

Knows nothing of models. What processes must agree on (whether to save, whether a loss is finite, whether a
validation was the best) is decided here, since one that goes its own way leaves the others waiting.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing, redirect_stdout
from socket import AF_INET, SOCK_STREAM, socket
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

T = TypeVar("T")


def rank() -> int:
    """This process's number, 0 for the first."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process writes what is written once: logs, pictures, finished weights."""
    return rank() == 0


def prepare_environment() -> None:
    """Make a process that nobody started as one of several the only one of its group."""
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    for name, value in alone.items():
        os.environ.setdefault(name, value)
    if "MASTER_PORT" not in os.environ:
        os.environ["MASTER_PORT"] = str(_free_port())


def join() -> None:
    """Meet the other processes, so that they can wait for each other before training begins."""
    prepare_environment()
    if world_size() == 1 or dist.is_initialized():
        return
    # DeepSpeed takes seconds to import, and speaks on the standard output, where results belong.
    with redirect_stdout(sys.stderr):
        import deepspeed

        deepspeed.init_distributed(dist_backend="nccl" if torch.cuda.is_available() else "gloo")


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if world_size() > 1:
        dist.barrier()


def any_of(flags: Sequence[bool]) -> tuple[bool, ...]:
    """For each flag, whether any process raised it."""
    if world_size() == 1:
        return tuple(flags)
    raised = torch.tensor([float(flag) for flag in flags], device=_device())
    dist.all_reduce(raised, op=dist.ReduceOp.MAX)
    return tuple(bool(value) for value in raised.tolist())


def sums_of(values: Sequence[float]) -> list[float]:
    """Each value summed over the processes, in float64."""
    if world_size() == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=_device())
    dist.all_reduce(sums)
    return [float(value) for value in sums.tolist()]


def gathered(values: Sequence[T]) -> list[T]:
    """The values of all processes, those of the first one first; each may have another number of them."""
    if world_size() == 1:
        return list(values)
    parts: list[list[T]] = [[] for _ in range(world_size())]
    dist.all_gather_object(parts, list(values))
    return [value for part in parts for value in part]


def first_says(values: Sequence[float]) -> list[float]:
    """The values of the first process, to all: a decision is taken once."""
    if world_size() == 1:
        return list(values)
    said = torch.tensor(values, dtype=torch.float64, device=_device())
    dist.broadcast(said, src=0)
    return [float(value) for value in said.tolist()]


def average(tensors: Iterable[Tensor]) -> None:
    """Replace tensors by their means over the processes, in place, in one message."""
    members = list(tensors)
    if world_size() == 1 or not members:
        return
    flat = torch.cat([tensor.detach().flatten() for tensor in members])
    dist.all_reduce(flat)
    flat /= world_size()
    for tensor, mean in zip(members, torch.split(flat, [t.numel() for t in members]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def _device() -> torch.device:
    """Where messages between processes have to lie."""
    local = int(os.environ.get("LOCAL_RANK", "0"))
    return torch.device("cuda", local) if dist.get_backend() == "nccl" else torch.device("cpu")


def _free_port() -> int:
    with closing(socket(AF_INET, SOCK_STREAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
