"""What a run will take, estimated before it starts, held against what the machine has.

Counts are those of the stage's parameters. Activations are the caller's estimate, since they depend on what a
stage computes; 0 leaves them out.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from reasoncd.errors import InvalidInputError, OutputError
from training.run.config import RunConfig
from training.run.processes import world_size

_FLOAT = 4
_KEEP_FREE = 200 * 2**20
"""Bytes of disk that a run leaves to others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What one run takes, in bytes, at its peak."""

    save: int
    """One save."""
    disk: int
    """Two saves (the old one stays until the new one is complete), and what is handed on or may be."""
    memory: int
    """Beside the weights themselves: gradients, optimizer, averages, activations; of one process."""


def needs_of(
    stage: nn.Module,
    config: RunConfig,
    *,
    keep: Callable[[str], bool] = lambda _: True,
    activations: int = 0,
) -> Needs:
    """What training a stage takes.

    Args:
        stage: may be on the meta device.
        config: ZeRO's stage, the average and whether the best weights are put aside.
        keep: which entries of the state dict are handed on.
        activations: bytes that one step keeps for its backward pass.
    """
    trained = sum(p.numel() for p in stage.parameters() if p.requires_grad) * _FLOAT
    buffers = sum(b.nbytes for b in stage.buffers())
    averaged = trained if config.ema_decay is not None else 0
    share = world_size() if config.zero_stage else 1
    # Adam keeps two moments; ZeRO a flat copy of the weights, and without it their gradients pass a bucket.
    optimizer = 2 * trained // share + trained
    # A validation sets the trained weights aside while the averaged ones are in place.
    memory = trained + optimizer + 2 * averaged + activations
    save = 3 * trained + averaged + buffers + (trained if config.zero_stage else 0)
    handed_on = sum(tensor.nbytes for name, tensor in stage.state_dict().items() if keep(name))
    handed_on *= 1 if config.best_by is None else 2
    return Needs(save=save, disk=2 * save + handed_on, memory=memory)


def check_disk(needed: int, folder: Path, what: str) -> None:
    """Refuse what the disk has no room for.

    Args:
        needed: bytes.
        folder: where they go; it may not be there yet.
        what: takes them, for the message.

    Raises:
        OutputError: there is too little room, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free - _KEEP_FREE
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror}); name another --folder") from error
    if needed > free:
        raise OutputError(
            f"{what} takes about {_gigabytes(needed)} in {folder} but {_gigabytes(max(free, 0))} are free; "
            "free some space or name another --folder"
        )


def check_memory(needed: int, device: torch.device, what: str, mend: str) -> None:
    """Refuse what the device has too little memory for.

    Args:
        needed: bytes.
        device: the CPU or a GPU.
        what: takes them, for the message.
        mend: what to do about it, likewise.

    Raises:
        InvalidInputError: there is too little.
    """
    free = free_memory(device)
    if needed > free:
        kind = "of the GPU's memory" if device.type == "cuda" else "of memory"
        raise InvalidInputError(
            f"{what} takes about {_gigabytes(needed)} {kind} but {_gigabytes(free)} are free; {mend}"
        )


def free_memory(device: torch.device) -> int:
    """Bytes that a process may still take on a device, the limit of a container included."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = [_meminfo_available()]
    limit, used = (_number(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory.current"))
    if limit is not None and used is not None:
        free.append(max(limit - used, 0))
    return min(free)


def _meminfo_available() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    raise InvalidInputError("/proc/meminfo names no available memory; train on Linux 3.14 or later")


def _number(path: Path) -> int | None:
    """The number in a file of the control group; None where there is none or no limit."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
