"""Putting a reasoner together: base model, control-token rows, adapter, projections.

The one module that uses peft. It does not read or write files.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from reasoncd.errors import CheckpointError
from services.reasoner.config import LlamaDims, ReasonerConfig
from services.reasoner.model import ADAPTER, ReasonerModel
from services.reasoner.tokens import ReasonerTokenizer

PEFT_PREFIX = "base_model.model."
TOKEN_ROWS = "token_adapter.trainable_tokens_delta"
"""How peft's keys begin, and how those of the control rows end."""


def build_llm(dims: LlamaDims) -> LlamaForCausalLM:
    """A LLaMA of these dimensions with random weights (float32, on the current default device)."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=dims.vocab_size,
            hidden_size=dims.width,
            intermediate_size=dims.mlp_width,
            num_hidden_layers=dims.layers,
            num_attention_heads=dims.heads,
            num_key_value_heads=dims.kv_heads,
            max_position_embeddings=dims.max_positions,
            rms_norm_eps=dims.rms_norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": dims.rope_theta},
            tie_word_embeddings=dims.tied_head,
        )
    )


def build_reasoner(
    config: ReasonerConfig,
    tokenizer: ReasonerTokenizer,
    *,
    base_llm: LlamaForCausalLM | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    adapter: bool = True,
) -> ReasonerModel:
    """A reasoner ready to be trained.

    Args:
        config: the sizes.
        tokenizer: of the base model, with the control tokens.
        base_llm: pretrained weights, taken over and changed in place; None builds random ones.
        seed: of every random initialisation.
        dtype: of the frozen language model. Adapter, control rows and projections are float32.
        adapter: False leaves peft and the start values of what it trains out, for weights that are merged
            into the model afterwards.

    Raises:
        CheckpointError: `base_llm` does not have the configuration's dimensions, or the tokenizer is not
            that of the base model.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        llm = build_llm(config.llm) if base_llm is None else base_llm
        _check_dims(llm, config.llm)
        if tokenizer.control_ids[0] > config.llm.vocab_size:
            raise CheckpointError(
                f"the tokenizer has {tokenizer.control_ids[0]} entries before the control tokens but the "
                f"language model {config.llm.vocab_size}; use the tokenizer of the base model"
            )
        add_control_rows(llm, tokenizer)
        if adapter:
            _start_control_rows(llm, tokenizer)
        torch.nn.Module.to(llm, dtype)  # transformers hides the types of its own `to`
        llm.requires_grad_(False)
        model = ReasonerModel(config, tokenizer, add_adapter(llm, config, tokenizer) if adapter else llm)
        if adapter:
            _match_embedding_scale(model)
    return model


def add_control_rows(llm: LlamaForCausalLM, tokenizer: ReasonerTokenizer) -> None:
    """Give embedding and head one more row, of zeros, for every token that they lack; a tie stays a tie."""
    size = max(tokenizer.size, llm.config.vocab_size)
    embedding, head = llm.model.embed_tokens, llm.lm_head
    tied = head.weight is embedding.weight
    embedding.weight = _with_rows(embedding.weight, size)
    head.weight = embedding.weight if tied else _with_rows(head.weight, size)
    embedding.num_embeddings = head.out_features = size
    llm.config.vocab_size = llm.vocab_size = llm.model.vocab_size = size


def _with_rows(weight: torch.Tensor, size: int) -> nn.Parameter:
    more = weight.new_zeros(size - len(weight), weight.shape[1])
    return nn.Parameter(torch.cat([weight.detach(), more]), requires_grad=weight.requires_grad)


def _start_control_rows(llm: LlamaForCausalLM, tokenizer: ReasonerTokenizer) -> None:
    """Start the control rows near the mean of the others.

    A row far from all others would dominate or vanish in the softmax; the mean gives the new tokens an
    average logit, and a little noise tells them apart.
    """
    first, size = tokenizer.control_ids[0], tokenizer.size
    weights = [llm.model.embed_tokens.weight]
    if not llm.config.tie_word_embeddings:
        weights.append(llm.lm_head.weight)
    with torch.no_grad():
        for weight in weights:
            known = weight[:first].float()
            noise = torch.randn(size - first, weight.shape[1], device=weight.device)
            weight[first:size] = (known.mean(dim=0) + 0.2 * known.std(dim=0) * noise).to(weight.dtype)


def add_adapter(llm: LlamaForCausalLM, config: ReasonerConfig, tokenizer: ReasonerTokenizer) -> nn.Module:
    """Wrap a language model by peft: LoRA (A Kaiming, B zero) and trainable control rows, float32.

    A head of its own (LLaMA 2) has its own rows for the control tokens; without them `<SEG>` could never
    learn to be chosen. A tied head (SmolLM2) follows the embedding.
    """
    # peft takes a second to import and serving does without it.
    from peft import LoraConfig, get_peft_model

    ids = list(tokenizer.control_ids)
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,  # type: ignore[arg-type]
        lora_dropout=config.lora.dropout,
        target_modules=list(config.lora.targets),
        trainable_token_indices=dict.fromkeys(token_layers(config), ids),
    )
    wrapped: nn.Module = get_peft_model(llm, lora)
    return wrapped


def token_layers(config: ReasonerConfig) -> tuple[str, ...]:
    """The layers that have control rows of their own."""
    return ("embed_tokens",) if config.llm.tied_head else ("embed_tokens", "lm_head")


def adapter_shapes(model: ReasonerModel) -> dict[str, tuple[int, ...]]:
    """What `adapter_state` holds, from a model without peft: each key and its shape."""
    config = model.config
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in model.causal_lm.named_modules():
        last, key = name.rpartition(".")[2], f"{PEFT_PREFIX}{name}"
        if last in config.lora.targets:
            shapes[f"{key}.lora_A.weight"] = (config.lora.rank, module.in_features)
            shapes[f"{key}.lora_B.weight"] = (module.out_features, config.lora.rank)
        elif last in token_layers(config):
            shapes[f"{key}.{TOKEN_ROWS}"] = (len(model.tokenizer.control_ids), config.llm.width)
    return shapes


def adapter_state(model: ReasonerModel) -> dict[str, torch.Tensor]:
    """The adapter's tensors under peft's own keys, without the embedding matrix."""
    from peft import get_peft_model_state_dict

    return dict(get_peft_model_state_dict(model.llm, adapter_name=ADAPTER, save_embedding_layers=False))


def merge(model: ReasonerModel, *, dtype: torch.dtype) -> ReasonerModel:
    """Fold the adapter into the language model, in place, and drop peft's wrapper.

    Args:
        model: as trained.
        dtype: of the language model afterwards; sums are taken in float32 and rounded once.

    Returns:
        The same model, frozen, in evaluation mode.
    """
    state = {k: v.detach() for k, v in adapter_state(model).items()}
    model.llm = model.llm.unload()
    merge_state(model, state, dtype=dtype)
    return model


def merge_state(model: ReasonerModel, state: Mapping[str, torch.Tensor], *, dtype: torch.dtype) -> None:
    """Fold adapter tensors under peft's keys into a model without peft, one weight at a time.

    The model is frozen and in evaluation mode afterwards.
    """
    llm = model.causal_lm
    scale = model.config.lora.alpha / model.config.lora.rank
    ids = torch.tensor(model.tokenizer.control_ids)
    with torch.no_grad():
        for name, parameter in llm.named_parameters():
            layer = f"{PEFT_PREFIX}{name.removesuffix('.weight')}"
            if f"{layer}.lora_A.weight" in state:
                a, b = state[f"{layer}.lora_A.weight"].float(), state[f"{layer}.lora_B.weight"].float()
                total = parameter.float() + scale * (b @ a).to(parameter.device)
                parameter.data = total.to(dtype)
            elif f"{layer}.{TOKEN_ROWS}" in state:
                parameter.data = parameter.data.to(dtype)
                parameter.data[ids] = state[f"{layer}.{TOKEN_ROWS}"].to(parameter.device, dtype)
            else:
                # Vectors are copied: a few left in place would keep the whole file of the base model mapped.
                parameter.data = parameter.data.to(dtype, copy=parameter.ndim == 1)
    model.requires_grad_(False).eval()


def _match_embedding_scale(model: ReasonerModel) -> None:
    """Start projected patch tokens at the scale of word embeddings, so that they do not drown them."""
    weight = model.llama.embed_tokens.weight
    if weight.is_meta:
        return
    spread = weight[: model.tokenizer.control_ids[0]].float().std().item()
    nn.init.normal_(model.clip_projection.weight, std=spread * model.config.clip_width**-0.5)
    nn.init.zeros_(model.clip_projection.bias)


def _check_dims(llm: LlamaForCausalLM, dims: LlamaDims) -> None:
    found: Any = llm.config
    actual = LlamaDims(
        vocab_size=found.vocab_size,
        width=found.hidden_size,
        mlp_width=found.intermediate_size,
        layers=found.num_hidden_layers,
        heads=found.num_attention_heads,
        kv_heads=found.num_key_value_heads,
        max_positions=found.max_position_embeddings,
        rope_theta=float(found.rope_parameters["rope_theta"]),
        # Files that were converted through float32 carry its rounding of 1e-5.
        rms_norm_eps=float(f"{found.rms_norm_eps:.6g}"),
        tied_head=bool(found.tie_word_embeddings),
    )
    if actual != dims:
        raise CheckpointError(
            f"the base language model is {actual} but the configuration says {dims}; use the right base"
        )
