"""The mask decoder's file: prompt encoder, mask decoder (upstream's keys) and presence head.

```
mask_decoder.safetensors  prompt_encoder.*, mask_decoder.*, presence_head.*
```
"""

from pathlib import Path

import torch

from services.mask_decoder.config import MaskDecoderConfig
from services.mask_decoder.model import ChangeMaskDecoder
from services.module_file import load_module, save_module

MASK_DECODER = "mask_decoder"
"""The file's name without its suffix."""


def save(folder: Path, decoder: ChangeMaskDecoder, *, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the decoder into the checkpoint's `mask_decoder` folder, made where it is missing.

    Args:
        folder: where to.
        decoder: what to write.
        dtype: of matrices and kernels; the rest keeps its own.

    Raises:
        OutputError: the file cannot be written.
    """
    save_module(decoder, folder / f"{MASK_DECODER}.safetensors", dtype=dtype)


def load_mask_decoder(path: Path, config: MaskDecoderConfig) -> ChangeMaskDecoder:
    """Read the decoder: float32, on the CPU, in eval mode.

    Raises:
        NotFoundError, CheckpointError: as `services.module_file.load_module`.
    """
    decoder = ChangeMaskDecoder(config)
    load_module(decoder, path)
    return decoder.eval()
