"""One module's weights as one safetensors file, checked key by key when they are read.

What the vision encoder and the mask decoder share: neither has a foreign layout to keep. It
does not know which module a file belongs to; the caller builds that from the configuration.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from reasoncd.checkpoint import checked_state_dict_keys
from reasoncd.errors import CheckpointError, NotFoundError, OutputError


def save_module(module: nn.Module, path: Path, *, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a module's state dict.

    Matrices and convolution kernels are stored as `dtype`. Vectors (norms, biases) and buffers (batch
    statistics, SAM's random frequencies) keep their own: they are small, and errors in them add up.

    Args:
        module: on any device.
        path: ends in `.safetensors`; its folder is made where it is missing.
        dtype: of what is learned and has two dimensions or more.

    Raises:
        OutputError: the file cannot be written.
    """
    learned = dict(module.named_parameters())
    state = {
        name: tensor.detach()
        .to("cpu", dtype if name in learned and tensor.ndim > 1 else tensor.dtype)
        .clone(memory_format=torch.contiguous_format)
        for name, tensor in module.state_dict().items()
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, path, metadata={"format": "pt"})
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"{path} cannot be written: {error}; free some space or choose another place"
        ) from error


def load_module(module: nn.Module, path: Path) -> None:
    """Read a file of `save_module` into a module, whose own dtypes and device are kept.

    Raises:
        NotFoundError: there is no such file.
        CheckpointError: it is no safetensors file, or its keys, shapes or kinds of numbers are not the
            module's.
    """
    module.load_state_dict(read_state(path, expected=module.state_dict()))


def read_state(path: Path, *, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read a file and hold it against what should be in it.

    Args:
        path: of the file.
        expected: names, shapes and kinds of numbers; may be on the meta device.

    Raises:
        NotFoundError, CheckpointError: as `load_module`.
    """
    if not path.is_file():
        raise NotFoundError(f"{path} is missing; restore it from the checkpoint")
    try:
        found = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no whole safetensors file ({error}); restore it") from error
    check_state(expected, found, where=str(path))
    return found


def check_state(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], *, where: str) -> None:
    """Hold a state dict against the one of the module that it is for.

    Args:
        expected: the module's own; may be on the meta device.
        found: what a file holds.
        where: the file, for the error.

    Raises:
        CheckpointError: a key is missing or extra, or a tensor has another shape or is floating where
            it should not be.
    """
    checked_state_dict_keys(expected, found, where=where)
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape:
            raise CheckpointError(
                f"{where}: {name} has shape {tuple(found[name].shape)} instead of {tuple(tensor.shape)}; "
                "use weights of this configuration"
            )
        if found[name].is_floating_point() != tensor.is_floating_point():
            raise CheckpointError(f"{where}: {name} holds {found[name].dtype} instead of {tensor.dtype}")
