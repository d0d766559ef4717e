"""State dicts out of files of other projects; nothing in them is ever run.

Reads safetensors and torch's pickles (zipped and legacy), the latter with `weights_only=True`, which
builds tensors and plain containers only. Knows no model.
"""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from reasoncd.errors import CheckpointError, CorruptDataError, NotFoundError
from reasoncd.safetensors_header import read_header
from services.module_file import check_state

_WRAPPERS = ("state_dict", "model")
"""Keys under which training scripts nest a state dict beside epoch and optimiser."""
_PARALLEL = "module."
"""What torch's data-parallel wrappers put before every key."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict.

    Args:
        path: `*.safetensors`, or a pickle of torch under any other name.

    Returns:
        Tensors on the CPU in the file's dtypes, without wrappers of training scripts.

    Raises:
        NotFoundError: there is no such file.
        CheckpointError: the file holds more than plain tensors, or is no state dict.
        CorruptDataError: the file is truncated or damaged.
    """
    if not path.is_file():
        raise NotFoundError(f"{path} is not there; check the path")
    if path.suffix == ".safetensors":
        read_header(path)  # Refuses what is malformed with a sentence of its own.
        return load_file(path)
    state = _unpickled(path)
    for key in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
            break
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(
            f"{path} holds {type(state).__name__} instead of a state dict; choose another file"
        )
    odd = [key for key, value in state.items() if not isinstance(key, str) or not isinstance(value, Tensor)]
    if odd:
        raise CheckpointError(f"{path} holds {odd[0]!r}, which is no tensor; choose a file of weights alone")
    wrapped = all(key.startswith(_PARALLEL) for key in state)
    return {key.removeprefix(_PARALLEL) if wrapped else key: value for key, value in state.items()}


def load_into(modules: Mapping[str, nn.Module], state: Mapping[str, Tensor], *, where: Path) -> None:
    """Load a state dict into modules, if and only if every key and every shape fits.

    Args:
        modules: prefix in the file -> the module that the keys under it belong to. "" is the whole file.
        state: what `read_state` gave, less what is known not to be needed.
        where: the file, for the error.

    Raises:
        CheckpointError: a key is missing or extra, or a shape differs. No module was changed then.
    """
    expected = {
        prefix + key: value
        for prefix, module in modules.items()
        for key, value in module.state_dict().items()
    }
    check_state(expected, state, where=str(where))
    for prefix, module in modules.items():
        module.load_state_dict({key: state[prefix + key] for key in module.state_dict()})


def _unpickled(path: Path) -> Any:
    zipped = zipfile.is_zipfile(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise CheckpointError(
                    f"{path} is a TorchScript program, not a state dict; "
                    "save its `state_dict()` with torch.save once and import that file"
                )
    try:
        # Mapped where the format allows it: a large model's shard need not fit in memory twice.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is no torch file or holds more than plain tensors, and nothing of it was run; "
            "choose a file of weights alone"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise CorruptDataError(f"{path} is truncated or damaged; fetch it again") from error
