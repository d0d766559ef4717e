"""What frozen encoders say of images that come again: computed once, kept on disk, bounded.

An entry is found by the image's own pixels, as they are after turning and flipping, and by everything that
the features follow from: the encoders' weights, their sizes, the precision. So a changed encoder never meets
the features of another one. Losing an entry costs time, never a result: an image is always encoded alone,
so its features do not depend on which images came with it.
"""

import hashlib
import json
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

Features = dict[str, Tensor]

_KEEP_FREE = 2 * 2**30
"""Bytes of disk that are left to the run's saves."""


class FeatureCache:
    """Named tensors of each image, in files; may be used by several threads.

    When the bound is reached nothing more is kept. Nothing is thrown out for it either: with epochs that go
    through all images, what was used longest ago is what is needed next.

    Args:
        folder: where entries of all encoders lie.
        encoders: `fingerprint_of` the encoders; entries of others are removed.
        limit: bytes of all processes together; 0 keeps nothing.
        shares: processes that write; each gets as much of what is left.
    """

    def __init__(self, folder: Path, *, encoders: str, limit: int, shares: int = 1) -> None:
        self._folder = folder / encoders[:32]
        if folder.is_dir():
            for other in folder.iterdir():
                if other.is_dir() and other != self._folder:
                    shutil.rmtree(other, ignore_errors=True)
        self.nbytes = sum(path.stat().st_size for path in self._folder.glob("*/*.safetensors"))
        """Bytes that were there at the start, and those written since."""
        self._room = max(limit - self.nbytes, 0) // shares
        self._lock = threading.Lock()

    def get(self, key: str) -> Features | None:
        """The tensors of an image, or None."""
        path = self._path(key)
        try:
            return load_file(path)
        except FileNotFoundError:
            return None
        except SafetensorError:
            # Cut short by a full disk, say: written again.
            path.unlink(missing_ok=True)
            return None

    def put(self, key: str, features: Mapping[str, Tensor]) -> None:
        """Keep the tensors of an image, if there is room."""
        content = save({name: tensor.detach().cpu().contiguous() for name, tensor in features.items()})
        path = self._path(key)
        with self._lock:
            # Another thread may have missed the same image and been quicker.
            if len(content) > self._room or path.exists():
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(path.parent).free < _KEEP_FREE + len(content):
                return
            # A name of its own: other processes write, too.
            part = path.with_name(f".{path.name}.{uuid4().hex}")
            part.write_bytes(content)
            part.replace(path)
            self.nbytes += len(content)
            self._room -= len(content)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.safetensors"


def fingerprint_of(modules: Mapping[str, nn.Module], more: Mapping[str, Any]) -> str:
    """SHA-256 in hex over the weights and buffers of modules, and whatever else decides their output.

    Args:
        modules: by name.
        more: JSON values, such as sizes and the precision.
    """
    digest = hashlib.sha256(json.dumps(more, sort_keys=True).encode())
    for prefix, module in sorted(modules.items()):
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{prefix}.{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def key_of(image: NDArray[np.uint8]) -> str:
    """SHA-256 in hex over an image (H, W, 3), its size included."""
    digest = hashlib.sha256(f"{image.shape};".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
