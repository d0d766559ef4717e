"""segment-anything's `.pth` files: ViT-B, ViT-L and ViT-H."""

from pathlib import Path

from services.mask_decoder.model import ChangeMaskDecoder
from services.vision_encoder.sam import SamImageEncoder
from training.importers.state_files import load_into, read_state


def import_sam(path: Path, encoder: SamImageEncoder, decoder: ChangeMaskDecoder) -> None:
    """Load a whole SAM: the image encoder into one service's module, the rest into the other's.

    The presence head is ours and stays as it is.

    Args:
        path: `sam_vit_*.pth`.
        encoder: of the configuration that fits the file.
        decoder: likewise.

    Raises:
        NotFoundError, CheckpointError, CorruptDataError: as `read_state` and `load_into`.
    """
    modules = {
        "image_encoder.": encoder.encoder,
        "prompt_encoder.": decoder.prompt_encoder,
        "mask_decoder.": decoder.mask_decoder,
    }
    load_into(modules, read_state(path), where=path)
