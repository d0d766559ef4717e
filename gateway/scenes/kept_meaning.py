"""The meaning of a run's question on the disk, so that a resumed run goes on with the very same one."""

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.detection import Meaning
from reasoncd.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Understood:
    """A question as the model read it on the overview, and the model's thresholds."""

    meaning: Meaning
    threshold: float
    """A pixel is changed at or above this probability."""
    presence_threshold: float


def keep_meaning(path: Path, understood: Understood) -> None:
    """Write it whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    meaning = understood.meaning
    seg = meaning.seg_embedding
    values = {
        "answer": meaning.answer,
        "seg_embedding": None if seg is None else base64.b64encode(seg.astype("<f4").tobytes()).decode(),
        "seg_probability": meaning.seg_probability,
        "fingerprint": meaning.fingerprint,
        "seg_space": meaning.seg_space,
        "threshold": understood.threshold,
        "presence_threshold": understood.presence_threshold,
    }
    scratch = path.with_suffix(".part")
    with scratch.open("w", encoding="utf-8") as file:
        json.dump(values, file)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def kept_meaning(path: Path) -> Understood | None:
    """What `keep_meaning` wrote; None where it is not there or damaged."""
    try:
        values = json.loads(path.read_bytes())
        seg = values["seg_embedding"]
        return Understood(
            meaning=Meaning(
                answer=values["answer"],
                seg_embedding=None
                if seg is None
                else np.frombuffer(base64.b64decode(seg), dtype="<f4").astype(np.float32),
                seg_probability=values["seg_probability"],
                fingerprint=values["fingerprint"],
                seg_space=values["seg_space"],
            ),
            threshold=values["threshold"],
            presence_threshold=values["presence_threshold"],
        )
    except (OSError, ValueError, KeyError, TypeError, InvalidInputError):
        return None
