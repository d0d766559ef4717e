"""Vectors of texts that come again, kept in the cache by what each text says: only new ones are embedded."""

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from reasoncd.base_models import cache_dir
from reasoncd.errors import OutputError

F32 = NDArray[np.float32]

MOST = 40_000
"""Vectors kept, the newest: some 60 MB, several times what the phrase bank has."""


class Embedder(Protocol):
    """Texts to vectors."""

    name: str
    """Of the model: vectors of different ones never meet."""

    def embed(self, texts: Sequence[str]) -> F32:
        """Texts -> float32 (n, D), rows of unit length."""


def kept_vectors(embedder: Embedder, texts: Sequence[str]) -> F32:
    """Embed texts, as far as they are not in the cache, and keep the new ones.

    Args:
        embedder: asked for those that are new, and not at all where none is.
        texts: n of them.

    Returns:
        float32 (n, D), rows of unit length.

    Raises:
        OutputError: the cache cannot be written.
    """
    if not texts:
        return embedder.embed(texts)
    path = cache_dir() / "phrase-vectors" / f"{embedder.name}.npz"
    known = _read(path)
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    new = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in known}
    if new:
        known |= dict(zip(new, embedder.embed(list(new.values())), strict=True))
        _write(path, dict(list(known.items())[-MOST:]))
    return np.stack([known[digest] for digest in digests])


def _read(path: Path) -> dict[str, F32]:
    """What is kept by digest; nothing where the file is absent or damaged, since it can be made again."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            digests, vectors = file["digests"].tolist(), np.asarray(file["vectors"], dtype=np.float32)
        return dict(zip(digests, vectors, strict=True))
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return {}


def _write(path: Path, kept: dict[str, F32]) -> None:
    """Write the file, whole or not at all: a process that is killed must not leave a part behind."""
    # A name of its own: two processes may write at once, and the later one counts.
    part = path.with_name(f"{path.stem}.{uuid4().hex}.part.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            np.savez(part, digests=np.array(list(kept)), vectors=np.stack(list(kept.values())))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written; name another cache folder with REASONCD_CACHE"
        ) from error
