"""The reasoner's files: peft's own adapter layout, the projections, the tokenizer.

```
adapter_config.json         peft's, without machine paths, keys sorted
adapter_model.safetensors   LoRA and the control tokens' rows, peft's keys
projections.safetensors     clip_projection.*, seg_mlp.*
tokenizer.json, tokenizer_config.json
base_model.safetensors      only where the configuration names no base model
```

Every key and shape is checked against the model; nothing is unpickled. It does not know the rest of the
checkpoint.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from reasoncd.checkpoint import checked_state_dict_keys
from reasoncd.config import read_json, write_json
from reasoncd.errors import CheckpointError, NotFoundError
from services.reasoner.build import (
    adapter_shapes,
    adapter_state,
    build_llm,
    build_reasoner,
    merge_state,
    token_layers,
)
from services.reasoner.config import ReasonerConfig
from services.reasoner.model import ADAPTER, ReasonerModel
from services.reasoner.tokens import ReasonerTokenizer

ADAPTER_CONFIG_FILE = "adapter_config.json"
ADAPTER_FILE = "adapter_model.safetensors"
PROJECTIONS_FILE = "projections.safetensors"
BASE_FILE = "base_model.safetensors"

_PROJECTIONS = ("clip_projection.", "seg_mlp.")


def save_reasoner(model: ReasonerModel, folder: Path, *, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a trained reasoner.

    Args:
        model: with its adapter (not merged).
        folder: the checkpoint's `reasoner` folder; made where it is missing.
        dtype: of the adapter; the projections stay float32, as the `<SEG>` path computes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / ADAPTER_FILE, adapter_state(model), dtype)
    write_json(folder / ADAPTER_CONFIG_FILE, _adapter_config(model))
    _write(folder / PROJECTIONS_FILE, projections(model), torch.float32)
    if model.config.base_model is None:
        base = {k: v for k, v in _base_state(model).items() if k not in _tied_keys(model.config)}
        _write(folder / BASE_FILE, base, dtype)
    model.tokenizer.save(folder)


def load_reasoner(
    folder: Path,
    config: ReasonerConfig,
    *,
    base_llm: LlamaForCausalLM | None = None,
    dtype: torch.dtype = torch.bfloat16,
    trainable: bool = False,
) -> ReasonerModel:
    """Read a reasoner.

    Args:
        folder: the checkpoint's `reasoner` folder.
        config: what it was trained with.
        base_llm: the pretrained language model, taken over; None where the checkpoint holds its own.
        dtype: of the language model.
        trainable: keep the adapter apart, for more training; otherwise it is merged (in float32) and the
            model is frozen.

    Raises:
        NotFoundError: a file is missing.
        CheckpointError: a file does not fit the configuration or the base model.
    """
    if (base_llm is None) != (config.base_model is None):
        raise CheckpointError(
            f"the reasoner's base model is {config.base_model or 'in the checkpoint'}; "
            f"{'load it first' if base_llm is None else 'give none'}"
        )
    tokenizer = ReasonerTokenizer.load(folder)
    if base_llm is None:
        base_llm = build_llm(config.llm)
        state = _read(folder / BASE_FILE)
        shapes = {k: tuple(v.shape) for k, v in base_llm.state_dict().items() if k not in _tied_keys(config)}
        _check(shapes, state, folder / BASE_FILE)
        base_llm.load_state_dict(state, strict=False)
    model = build_reasoner(config, tokenizer, base_llm=base_llm, dtype=dtype, adapter=trainable)
    _check_adapter_config(read_json(folder / ADAPTER_CONFIG_FILE), model, folder / ADAPTER_CONFIG_FILE)
    adapter = _read(folder / ADAPTER_FILE)
    expected = (
        {k: tuple(v.shape) for k, v in adapter_state(model).items()} if trainable else adapter_shapes(model)
    )
    _check(expected, adapter, folder / ADAPTER_FILE)
    stored = _read(folder / PROJECTIONS_FILE)
    _check({k: tuple(v.shape) for k, v in projections(model).items()}, stored, folder / PROJECTIONS_FILE)
    model.load_state_dict(stored, strict=False)
    if trainable:
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(model.llm, adapter, adapter_name=ADAPTER)
    else:
        merge_state(model, adapter, dtype=dtype)
    return model


def projections(model: ReasonerModel) -> dict[str, torch.Tensor]:
    """The tensors outside the language model: the CLIP projection and the `<SEG>` MLP."""
    return {k: v for k, v in model.state_dict().items() if k.startswith(_PROJECTIONS)}


def _base_state(model: ReasonerModel) -> dict[str, torch.Tensor]:
    """The base model as it was before adapter and control rows were added."""
    vocab = model.config.llm.vocab_size
    state = {}
    for name, tensor in model.causal_lm.state_dict().items():
        if ".lora_" in name or "trainable_tokens" in name:
            continue
        name = (
            name.replace(".token_adapter.", ".")
            .replace(".base_layer.", ".")
            .replace(".original_module.", ".")
        )
        state[name] = tensor[:vocab] if name in ("model.embed_tokens.weight", "lm_head.weight") else tensor
    return state


def _tied_keys(config: ReasonerConfig) -> tuple[str, ...]:
    return ("lm_head.weight",) if config.llm.tied_head else ()


def _adapter_config(model: ReasonerModel) -> dict[str, Any]:
    config: dict[str, Any] = model.llm.peft_config[ADAPTER].to_dict()
    # Sets have no order: sorted, equal configurations give equal files.
    plain = {k: sorted(v) if isinstance(v, set) else v for k, v in config.items()}
    plain |= {"inference_mode": True, "base_model_name_or_path": model.config.base_model}
    return dict(sorted(plain.items()))


def _check_adapter_config(found: Mapping[str, Any], model: ReasonerModel, path: Path) -> None:
    """Only what changes the result: newer versions of peft may add fields."""
    lora, ids = model.config.lora, list(model.tokenizer.control_ids)
    expected: dict[str, object] = {
        "peft_type": "LORA",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "target_modules": sorted(lora.targets),
        "trainable_token_indices": dict.fromkeys(token_layers(model.config), ids),
        "bias": "none",
        "use_dora": False,
        "use_rslora": False,
        "rank_pattern": {},
        "alpha_pattern": {},
    }
    for key, value in expected.items():
        if found.get(key) != value:
            raise CheckpointError(
                f"{path}: {key} is {found.get(key)!r} but the configuration asks for {value!r}; "
                "use the configuration that it was trained with"
            )


def _check(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, torch.Tensor], path: Path) -> None:
    checked_state_dict_keys(expected, found, where=str(path))
    for key, shape in expected.items():
        if tuple(found[key].shape) != shape:
            raise CheckpointError(
                f"{path}: {key} has shape {tuple(found[key].shape)} instead of {shape}; "
                "use a checkpoint of this configuration"
            )


def _read(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise NotFoundError(f"{path} is missing; restore it from the checkpoint")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no whole safetensors file: {error}; restore it") from error


def _write(path: Path, state: Mapping[str, torch.Tensor], dtype: torch.dtype) -> None:
    # Cloned: safetensors refuses tensors that share memory, as views of one matrix do.
    plain = {k: v.detach().to("cpu", dtype).clone().contiguous() for k, v in state.items()}
    save_file(plain, path, metadata={"format": "pt"})
