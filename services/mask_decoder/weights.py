"""The mask decoder's file: prompt encoder, mask decoder (upstream's keys), presence head and refiner.

```
mask_decoder.safetensors  prompt_encoder.*, mask_decoder.*, presence_head.*, correction_refiner.*
prompt_table.safetensors  table (targets, D): the prompts that the decoder was trained with
```

The table is for training another reasoner, and for a decoder that answers in both orders of the dates.
"""

from pathlib import Path

import torch

from reasoncd.ontology import TARGETS
from services.mask_decoder.config import MaskDecoderConfig
from services.mask_decoder.model import ChangeMaskDecoder, OppositePrompts
from services.module_file import load_module, read_state, save_module

MASK_DECODER = "mask_decoder"
"""The file's name without its suffix."""
PROMPT_TABLE = "prompt_table"
"""The same of the table of prompts."""


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


def load_opposites(path: Path, config: MaskDecoderConfig) -> OppositePrompts:
    """Read the table of prompts, for what they become where the dates are exchanged.

    Raises:
        NotFoundError, CheckpointError: as `services.module_file.load_module`.
    """
    expected = {"table": torch.empty(len(TARGETS), config.embed_dim, device="meta")}
    return OppositePrompts(read_state(path, expected=expected)["table"].float())
