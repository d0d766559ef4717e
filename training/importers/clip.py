"""CLIP's weights as OpenAI and open_clip write them: one state dict for both towers."""

from pathlib import Path

from services.vision_encoder.clip import ClipPatchEncoder
from training.importers.state_files import load_into, read_state

_TEXT_TOWER = ("token_embedding.", "transformer.", "ln_final.", "text.")
_OTHERS = (
    "positional_embedding",
    "text_projection",
    "text_projection.weight",
    "text_projection.bias",
    "logit_scale",
    "logit_bias",
    "attn_mask",
    # OpenAI's files hold these numbers beside the weights.
    "input_resolution",
    "context_length",
    "vocab_size",
)


def import_clip(path: Path, clip: ClipPatchEncoder) -> None:
    """Load CLIP's vision tower; the text tower is recognised and left out.

    Args:
        path: a state dict with keys `visual.*` (float16 ones are widened).
        clip: of the configuration that fits the file.

    Raises:
        NotFoundError, CheckpointError, CorruptDataError: as `read_state` and `load_into`.
    """
    state = {
        key: value
        for key, value in read_state(path).items()
        if key not in _OTHERS and not key.startswith(_TEXT_TOWER)
    }
    load_into({"visual.": clip.visual}, state, where=path)
