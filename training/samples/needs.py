"""What fitting to samples takes, from the recipe alone: the models are built without memory and run once.

P = 1 sample; tensors lie on torch's meta device, so only shapes are computed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from services.mask_decoder.model import ChangeMaskDecoder
from services.reasoner.build import build_reasoner
from services.reasoner.tokens import ReasonerTokenizer
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.model import ChangeFeatureEncoder
from training.reasoner_start import DTYPES
from training.recipes import Recipe, SampleTraining
from training.run.config import RunConfig
from training.run.preflight import Needs, needs_of
from training.stages.samples import SampleStage

_PROMPT_TOKENS = 120
"""Words of a prompt and an answer, roughly; the images take most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleNeeds:
    """Bytes that one process takes."""

    weights: int
    """Of all models, frozen ones too."""
    start: int
    """Of the official weights that the working folder keeps; the language model lies in the cache."""
    activations: int
    """That one pass keeps for its backward pass."""
    run: Needs


def sample_needs(
    recipe: Recipe, training: SampleTraining, run: RunConfig, tokenizer: ReasonerTokenizer
) -> SampleNeeds:
    """Estimate, in seconds and without the models' memory.

    Args:
        recipe: the sizes.
        training: what is kept for the backward pass.
        run: ZeRO and averages.
        tokenizer: any with the five control tokens; only its size matters.
    """
    with torch.device("meta"):
        stage = SampleStage(
            ClipPatchEncoder(recipe.vision.clip),
            ChangeFeatureEncoder(recipe.vision),
            ChangeMaskDecoder(recipe.decoder),
            build_reasoner(recipe.reasoner, tokenizer, dtype=DTYPES[training.precision]),
            presence=training.presence,
            quality=training.quality,
        )
    weights = sum(t.nbytes for t in (*stage.parameters(), *stage.buffers()))
    kept = _kept(stage, recipe, checkpointed=training.checkpoint_activations) * training.micro_batch
    if training.precision == "bfloat16":
        kept //= 2
    frozen = {name for name, p in stage.named_parameters() if not p.requires_grad}
    return SampleNeeds(
        weights=weights,
        start=_bytes_of(stage.clip, stage.encoder, stage.decoder),
        activations=kept,
        run=needs_of(stage, run, keep=lambda name: name not in frozen, activations=kept),
    )


def _bytes_of(*modules: nn.Module) -> int:
    return sum(tensor.nbytes for module in modules for tensor in module.state_dict().values())


def _kept(stage: SampleStage, recipe: Recipe, *, checkpointed: bool) -> int:
    """Bytes in float32 that one sample's pass keeps."""
    size, grid = recipe.vision.image_size, recipe.vision.image_size // recipe.vision.sam.patch_size
    images = torch.zeros(1, 2, 3, size, size, device="meta")
    sam = torch.zeros(1, 2, recipe.vision.sam.out_channels, grid, grid, device="meta")
    seg = torch.zeros(1, recipe.decoder.embed_dim, device="meta", requires_grad=True)

    def maps() -> Tensor:
        decoded = stage.decode(stage.fuse(images, sam), seg)
        return stage.decoder.to_input_size(decoded.mask_logits)

    length = 2 * recipe.reasoner.image_tokens + _PROMPT_TOKENS
    llama: Any = stage.reasoner.llama
    states = torch.zeros(1, length, recipe.reasoner.llm.width, device="meta", requires_grad=True)

    def layer() -> Tensor:
        positions = llama.rotary_emb(states, torch.zeros(1, length, dtype=torch.long, device="meta"))
        out: Tensor = llama.layers[0].float()(states, position_embeddings=positions, attention_mask=None)
        return out

    of_maps, of_layer = (_bytes_kept(run, stage.parameters()) for run in (maps, layer))
    layers = recipe.reasoner.llm.layers
    # Checkpointed, a layer keeps its input, and one layer at a time keeps everything.
    of_layers = layers * states.nbytes + of_layer if checkpointed else layers * of_layer
    # Logits of the answer's tokens: before and after the softmax, and its gradient.
    logits = 3 * 4 * recipe.reasoner.max_new_tokens * recipe.reasoner.llm.vocab_size
    return of_maps + of_layers + logits


def _bytes_kept(run: Any, parameters: Iterable[nn.Parameter]) -> int:
    """Bytes that a computation keeps for its backward pass, without the weights themselves."""
    weights = {id(p) for p in parameters}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        # Views of one tensor count once; holding them keeps their addresses from coming again.
        base = tensor if tensor._base is None else tensor._base  # noqa: SLF001 - no other name
        if id(base) not in weights:
            kept[id(base)] = base
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    size = sum(tensor.nbytes for tensor in kept.values())
    del result
    return size
