"""The vision encoder's files: one for each half, since each half is served alone.

```
clip.safetensors             visual.*, open_clip's keys
change_features.safetensors  sam.*, fpn.*, fusion.*
```
"""

from pathlib import Path

import torch

from services.module_file import load_module, save_module
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.config import VisionEncoderConfig
from services.vision_encoder.model import ChangeFeatureEncoder

CLIP = "clip"
CHANGE_FEATURES = "change_features"
"""The files' names without their suffix."""


def save(
    folder: Path,
    clip: ClipPatchEncoder,
    change_features: ChangeFeatureEncoder,
    *,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write both halves.

    Args:
        folder: the checkpoint's `vision_encoder` folder; made where it is missing.
        clip: the half that the reasoner reads.
        change_features: the half that the mask decoder reads.
        dtype: of matrices and kernels; the rest keeps its own.

    Raises:
        OutputError: a file cannot be written.
    """
    save_module(clip, folder / f"{CLIP}.safetensors", dtype=dtype)
    save_module(change_features, folder / f"{CHANGE_FEATURES}.safetensors", dtype=dtype)


def load_clip(path: Path, config: VisionEncoderConfig) -> ClipPatchEncoder:
    """Read the half that the reasoner reads: float32, on the CPU, in eval mode.

    Raises:
        NotFoundError, CheckpointError: as `services.module_file.load_module`.
    """
    clip = ClipPatchEncoder(config.clip)
    load_module(clip, path)
    return clip.eval()


def load_change_features(path: Path, config: VisionEncoderConfig) -> ChangeFeatureEncoder:
    """Read the half that the mask decoder reads: float32, on the CPU, in eval mode.

    Raises:
        NotFoundError, CheckpointError: as `services.module_file.load_module`.
    """
    encoder = ChangeFeatureEncoder(config)
    load_module(encoder, path)
    return encoder.eval()


def load(folder: Path, config: VisionEncoderConfig) -> tuple[ClipPatchEncoder, ChangeFeatureEncoder]:
    """Read both halves from the checkpoint's `vision_encoder` folder.

    Raises:
        NotFoundError, CheckpointError: as `services.module_file.load_module`.
    """
    clip = load_clip(folder / f"{CLIP}.safetensors", config)
    return clip, load_change_features(folder / f"{CHANGE_FEATURES}.safetensors", config)
