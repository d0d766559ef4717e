"""Going on from a finished checkpoint: its weights become the start of a working folder's stages.

For more training of what was shipped, for tuning it to other imagery, and for training another
language model against its prompt space. The pretraining stages count as finished; `vision` and `reasoner`
begin where the checkpoint ends. Heads that only training has begin anew.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from reasoncd.checkpoint import Checkpoint
from reasoncd.config import from_dict, read_json, to_dict, write_json
from reasoncd.errors import CheckpointError, InvalidInputError
from reasoncd.manifest import Thresholds
from services.mask_decoder import weights as decoder_weights
from services.mask_decoder.config import MaskDecoderConfig
from services.mask_decoder.model import ChangeMaskDecoder
from services.reasoner.config import ReasonerConfig
from services.vision_encoder import weights as encoder_weights
from services.vision_encoder.config import VisionEncoderConfig
from services.vision_encoder.model import ChangeFeatureEncoder
from training.prompt_table import keep_table, table_of
from training.recipes import Recipe
from training.run.loop import WEIGHTS_FILE
from training.run.saves import write_weights

START_FILE = "start.safetensors"
"""In a stage's folder: the weights that its first step begins with."""
ADOPTED_FILE = "adopted.json"
"""Beside the vision stage's start: the thresholds, and the models whose numbers they belong to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Adopted:
    """The content of `ADOPTED_FILE`."""

    thresholds: Thresholds
    vision_encoder: VisionEncoderConfig
    mask_decoder: MaskDecoderConfig


def adopt(path: Path, folder: Path, recipe: Recipe) -> bool:
    """Prepare a working folder such that its stages go on from a checkpoint.

    Args:
        path: the checkpoint's folder.
        folder: the working folder; no stage may have run in it.
        recipe: of the same sizes, or with context blocks, a presence that reads the mask and a correction
            refiner where the checkpoint has none, and with answers in one order of the dates or in both; its
            reasoner may be another one.

    Returns:
        Whether the reasoner goes on too; False where the recipe's is of another kind and starts anew.

    Raises:
        CheckpointError: the checkpoint has other sizes than the recipe, or keeps no prompt table.
        InvalidInputError: something was trained in the folder already.
    """
    checkpoint = Checkpoint.open(path)
    vision, mask = _sizes_of(checkpoint)
    for component, fits in (
        ("vision_encoder", _encoder_grows_into(vision, recipe.vision)),
        ("mask_decoder", _decoder_grows_into(mask, recipe.decoder)),
    ):
        if not fits:
            raise CheckpointError(
                f"checkpoint {path} has a {component} of other sizes than the recipe {recipe.preset}; "
                "use the recipe that it was trained by"
            )
    stages = ("sam", "clip", "vision", "reasoner", "joint")
    if taken := [name for name in stages if (folder / name).exists()]:
        raise InvalidInputError(f"{folder / taken[0]} is there already; name an empty folder")
    table = table_of(checkpoint)
    clip = encoder_weights.load_clip(checkpoint.safetensors("vision_encoder", encoder_weights.CLIP), vision)
    encoder = encoder_weights.load_change_features(
        checkpoint.safetensors("vision_encoder", encoder_weights.CHANGE_FEATURES), vision
    )
    decoder = decoder_weights.load_mask_decoder(
        checkpoint.safetensors("mask_decoder", decoder_weights.MASK_DECODER), mask
    )
    reasoner = from_dict(ReasonerConfig, checkpoint.config("reasoner"), where="config.json: reasoner")
    # In how many turns it explains, and what training drops by chance, changes no weight's shape.
    lora = replace(reasoner.lora, dropout=recipe.reasoner.lora.dropout)
    alike = replace(reasoner, lora=lora, decide_first=recipe.reasoner.decide_first)
    goes_on = alike == recipe.reasoner
    # In such an order that no stage goes wrong where this is cut off: the table before what is trained with
    # it, and last SAM, without which no vision stage begins anew, and CLIP, which every reasoner waits for.
    keep_table(folder, table, checkpoint.seg_space_of("mask_decoder"))
    if goes_on:
        _keep(folder / "reasoner" / START_FILE, _reasoner_state(checkpoint))
    (folder / "vision").mkdir(parents=True, exist_ok=True)
    thresholds = Thresholds(
        presence=checkpoint.presence_threshold, probability=checkpoint.probability_threshold
    )
    adopted = _Adopted(thresholds=thresholds, vision_encoder=vision, mask_decoder=mask)
    write_json(folder / "vision" / ADOPTED_FILE, to_dict(adopted))
    # Whatever the recipe's seed: trainings of several seeds can be averaged only if they began alike.
    torch.manual_seed(0)
    larger = ChangeFeatureEncoder(recipe.vision), ChangeMaskDecoder(recipe.decoder)
    _keep(
        folder / "vision" / START_FILE,
        _under("encoder", _grown(encoder, larger[0]))
        | _under("decoder", _grown(decoder, larger[1]))
        | {"table.rows": table},
    )
    _keep(folder / "sam" / WEIGHTS_FILE, _under("encoder", encoder.sam.state_dict()))
    _keep(folder / "clip" / WEIGHTS_FILE, _under("encoder", clip.state_dict()))
    return goes_on


def kept_thresholds(folder: Path, recipe: Recipe) -> Thresholds | None:
    """Those of the adopted checkpoint; None where nothing was adopted, or the recipe answers otherwise."""
    path = folder / "vision" / ADOPTED_FILE
    if not path.exists():
        return None
    adopted = from_dict(_Adopted, read_json(path), where=str(path))
    # A refiner has no say without corrections, and thresholds are chosen without.
    mask = replace(adopted.mask_decoder, refines_corrections=recipe.decoder.refines_corrections)
    return adopted.thresholds if (adopted.vision_encoder, mask) == (recipe.vision, recipe.decoder) else None


def _sizes_of(checkpoint: Checkpoint) -> tuple[VisionEncoderConfig, MaskDecoderConfig]:
    vision, mask = checkpoint.config("vision_encoder"), checkpoint.config("mask_decoder")
    return (
        from_dict(VisionEncoderConfig, vision, where="config.json: vision_encoder"),
        from_dict(MaskDecoderConfig, mask, where="config.json: mask_decoder"),
    )


def _encoder_grows_into(own: VisionEncoderConfig, wanted: VisionEncoderConfig) -> bool:
    """Whether a recipe has the checkpoint's sizes, or adds what changes nothing before it is trained."""
    blocks = max(own.fusion.context_blocks, wanted.fusion.context_blocks)
    fusion = replace(own.fusion, context_blocks=blocks)
    return replace(own, fusion=fusion, both_orders=wanted.both_orders) == wanted


def _decoder_grows_into(own: MaskDecoderConfig, wanted: MaskDecoderConfig) -> bool:
    """As `_encoder_grows_into`."""
    grown = replace(
        own,
        presence_reads_mask=own.presence_reads_mask or wanted.presence_reads_mask,
        refines_corrections=own.refines_corrections or wanted.refines_corrections,
        both_orders=wanted.both_orders,
    )
    return grown == wanted


def _grown(own: nn.Module, larger: nn.Module) -> dict[str, Tensor]:
    """A module's weights for a larger one: new inputs weigh nothing, new layers begin as they are built."""
    state = larger.state_dict()
    for name, tensor in own.state_dict().items():
        if tensor.shape != state[name].shape:
            # Only the presence head's first layer: more inputs, the old ones first.
            tensor = torch.cat(
                [tensor, tensor.new_zeros(len(tensor), state[name].shape[1] - tensor.shape[1])], 1
            )
        state[name] = tensor
    return state


def _reasoner_state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The trained part of a reasoner under the names that the reasoner's stage gives it."""
    from services.reasoner.model import ADAPTER

    state: dict[str, Tensor] = {}
    for name, tensor in load_file(checkpoint.safetensors("reasoner", "adapter_model")).items():
        # peft's files leave out the adapter's name, its modules have it.
        head, _, last = name.rpartition(".")
        inside = f"{name}.{ADAPTER}" if last == "trainable_tokens_delta" else f"{head}.{ADAPTER}.{last}"
        state[f"model.llm.{inside}"] = tensor
    for name, tensor in load_file(checkpoint.safetensors("reasoner", "projections")).items():
        state[f"model.{name}"] = tensor
    return state


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}


def _keep(path: Path, state: dict[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_weights({n: t.float() if t.dtype == torch.bfloat16 else t for n, t in state.items()}, path)
