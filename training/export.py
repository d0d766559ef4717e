"""From finished stages to the shared checkpoint that the services load."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

import services.mask_decoder.weights as decoder_weights
import services.vision_encoder.weights as vision_weights
from reasoncd.base_models import BaseModelRef, known_base_model
from reasoncd.checkpoint import Checkpoint, write_checkpoint
from reasoncd.config import to_dict
from reasoncd.errors import InvalidInputError
from reasoncd.manifest import Thresholds
from services.mask_decoder.model import ChangeMaskDecoder
from services.reasoner.model import ReasonerModel
from services.reasoner.weights import save_reasoner
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.model import ChangeFeatureEncoder
from training.prompt_table import save_prompt_table


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedParts:
    """Everything that a checkpoint is made of, in float32 and eval mode."""

    preset: str
    clip: ClipPatchEncoder
    encoder: ChangeFeatureEncoder
    decoder: ChangeMaskDecoder
    reasoner: ReasonerModel
    table: Tensor | None
    """(targets, D) the prompts that the decoder was trained with: what another reasoner learns to hit. None
    where reasoner and decoder were trained together, without a table between them."""
    thresholds: Thresholds
    seg_space: str
    """Minted when the decoder's prompt table was settled; the reasoner was trained to hit it."""
    base_model: BaseModelRef | None = None
    """The language model in the cache where it was installed by hand; None for one that can be downloaded."""


def export_checkpoint(path: Path, parts: TrainedParts, model_card: str) -> Checkpoint:
    """Write a checkpoint, whole or not at all.

    Args:
        path: the folder; absent, empty or an older checkpoint.
        parts: what to write.
        model_card: Markdown text of its README.

    Raises:
        InvalidInputError: the parts do not fit each other.
    """
    width = parts.decoder.config.embed_dim
    if parts.table is None and parts.decoder.config.both_orders:
        raise InvalidInputError(
            "a decoder that answers in both orders of the dates needs its table of prompts; "
            "train it in stages"
        )
    for name, found in (
        ("the reasoner's seg_dim", parts.reasoner.config.seg_dim),
        ("the vision encoder's out_channels", parts.encoder.config.out_channels),
    ):
        if found != width:
            raise InvalidInputError(f"{name} is {found} but the decoder's width {width}; train them together")
    base = parts.reasoner.config.base_model
    ref = parts.base_model or (None if base is None else known_base_model(base).ref)

    def write(folder: Path) -> None:
        vision_weights.save(folder / "vision_encoder", parts.clip, parts.encoder)
        decoder_weights.save(folder / "mask_decoder", parts.decoder)
        if parts.table is not None:
            save_prompt_table(parts.table, folder / "mask_decoder")
        save_reasoner(parts.reasoner, folder / "reasoner")
        parts.reasoner.tokenizer.save(folder / "reasoner")
        (folder / "README.md").write_text(model_card, encoding="utf-8")

    return write_checkpoint(
        path,
        preset=parts.preset,
        configs={
            "vision_encoder": to_dict(parts.encoder.config),
            "reasoner": to_dict(parts.reasoner.config),
            "mask_decoder": to_dict(parts.decoder.config),
        },
        thresholds=parts.thresholds,
        seg_space={"reasoner": parts.seg_space, "mask_decoder": parts.seg_space},
        base_models={} if ref is None else {"reasoner": ref},
        writer=write,
    )
