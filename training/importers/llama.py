"""LLaMA2 in the layout of the Hugging Face hub -> the base-model folder that the reasoner loads.

Weights may be safetensors or pickles, whole or in shards. They are converted shard by shard, so that
the largest shard has to fit in memory and not the model.
"""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from reasoncd.base_models import BaseModelRef, install_base
from reasoncd.config import read_json, write_json
from reasoncd.errors import CheckpointError, NotFoundError
from reasoncd.folders import sha256_of
from reasoncd.safetensors_header import read_header
from services.module_file import check_state
from services.reasoner.build import build_llm
from services.reasoner.config import LlamaDims
from training.importers.state_files import read_state

NAME = "llama2-7b-chat"
TOKENIZER_FILES = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_COMPUTED = ".rotary_emb.inv_freq"
"""Older files store the rotary frequencies, which follow from the configuration."""
_DIMS = {
    "vocab_size": "vocab_size",
    "hidden_size": "width",
    "intermediate_size": "mlp_width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "rms_norm_eps": "rms_norm_eps",
    "tie_word_embeddings": "tied_head",
}


def install_llama2(source: Path, dims: LlamaDims, *, name: str = NAME) -> BaseModelRef:
    """Convert a LLaMA2 folder into the cache of base models.

    Args:
        source: the hub's folder: config.json, weights, tokenizer.
        dims: what the reasoner's configuration says of the model.
        name: under which it is kept.

    Returns:
        What a checkpoint names it by; the hash is over the names and hashes of the weight files.

    Raises:
        NotFoundError, CheckpointError, CorruptDataError: as `convert_llama2`.
        OutputError: the cache cannot be written.
    """
    account = "".join(f"{sha256_of(path)}  {path.name}\n" for path in _weight_files(source))
    ref = BaseModelRef(name=name, sha256=hashlib.sha256(account.encode()).hexdigest())
    install_base(ref, lambda new: convert_llama2(source, new, dims))
    return ref


def convert_llama2(
    source: Path, target: Path, dims: LlamaDims, *, dtype: torch.dtype = torch.bfloat16
) -> None:
    """Convert a LLaMA2 folder to safetensors, after every key and shape was checked.

    Args:
        source: the hub's folder: config.json, weights, tokenizer.
        target: an existing folder; files are put into it.
        dims: what the reasoner's configuration says of the model.
        dtype: of what is written.

    Raises:
        NotFoundError: configuration, weights or tokenizer are missing.
        CheckpointError: they are of another model, or a file is no plain state dict.
        CorruptDataError: a file is truncated or damaged.
    """
    config = read_json(source / "config.json")
    _check_config(config, dims, source / "config.json")
    tokenizer = [source / name for name in TOKENIZER_FILES if (source / name).is_file()]
    if not any(path.name in ("tokenizer.model", "tokenizer.json") for path in tokenizer):
        raise NotFoundError(f"{source} holds no tokenizer.model or tokenizer.json; fetch the whole folder")
    files = _weight_files(source)
    with torch.device("meta"):
        llm = build_llm(dims)
    shards = [_shapes(path) for path in files]
    _check_shards(llm.state_dict(), shards, dims, source)

    plural = len(files) > 1
    weight_map: dict[str, str] = {}
    total = 0
    for number, path in enumerate(files, 1):
        state = {k: v.to(dtype).contiguous() for k, v in _wanted(read_state(path), dims).items()}
        name = f"model-{number:05}-of-{len(files):05}.safetensors" if plural else "model.safetensors"
        save_file(state, target / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(state, name)
        total += sum(tensor.nbytes for tensor in state.values())
    if plural:
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        write_json(target / "model.safetensors.index.json", index)
    llm.config.architectures = ["LlamaForCausalLM"]
    write_json(
        target / "config.json", llm.config.to_diff_dict() | {"dtype": str(dtype).removeprefix("torch.")}
    )
    for path in tokenizer:
        shutil.copyfile(path, target / path.name)


def _check_config(config: Mapping[str, Any], dims: LlamaDims, path: Path) -> None:
    if config.get("model_type") != "llama":
        raise CheckpointError(f"{path} is of a {config.get('model_type')!r} model; a llama one is taken")
    # The hub's oldest files leave out what has a default.
    found: dict[str, Any] = {
        "num_key_value_heads": config.get("num_attention_heads"),
        "tie_word_embeddings": False,
        **config,
    }
    for key, field in _DIMS.items():
        if found.get(key) != (wanted := getattr(dims, field)):
            raise CheckpointError(
                f"{path}: {key} is {found.get(key)!r} but the reasoner's configuration says {wanted!r}; "
                "use the model that the preset is for"
            )


def _weight_files(source: Path) -> list[Path]:
    """The files that hold the weights, in order of their names."""
    for name in _WEIGHTS:
        if (source / f"{name}.index.json").is_file():
            weight_map = read_json(source / f"{name}.index.json").get("weight_map")
            if not isinstance(weight_map, dict) or not weight_map:
                raise CheckpointError(f"{source / name}.index.json has no weight_map; fetch it again")
            names = sorted({str(file) for file in weight_map.values()})
            if strange := [n for n in names if Path(n).name != n]:
                raise CheckpointError(f"{source / name}.index.json leads out of its folder: {strange[0]!r}")
            if missing := [n for n in names if not (source / n).is_file()]:
                raise NotFoundError(f"{source} lacks {', '.join(missing)}; fetch the whole folder")
            return [source / n for n in names]
        if (source / name).is_file():
            return [source / name]
    raise NotFoundError(
        f"{source} holds no {' or '.join(_WEIGHTS)}, whole or in shards; fetch the whole folder"
    )


def _wanted(state: Mapping[str, torch.Tensor], dims: LlamaDims) -> dict[str, torch.Tensor]:
    """Less what follows from the rest."""
    return {
        key: tensor
        for key, tensor in state.items()
        if not key.endswith(_COMPUTED) and not (dims.tied_head and key == "lm_head.weight")
    }


def _shapes(path: Path) -> dict[str, torch.Tensor]:
    """A shard's tensors on the meta device."""
    if path.suffix == ".safetensors":
        return {
            key: torch.empty(info.shape, dtype=_DTYPES.get(info.dtype, torch.int64), device="meta")
            for key, info in read_header(path).items()
        }
    return {key: tensor.to("meta") for key, tensor in read_state(path).items()}


_DTYPES = {
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I32": torch.int32,
    "I8": torch.int8,
    "U8": torch.uint8,
}
"""By safetensors' spelling; the integers are what quantised files hold, and are refused."""


def _check_shards(
    expected: Mapping[str, torch.Tensor],
    shards: list[dict[str, torch.Tensor]],
    dims: LlamaDims,
    source: Path,
) -> None:
    merged: dict[str, torch.Tensor] = {}
    for shard in shards:
        if twice := merged.keys() & shard.keys():
            raise CheckpointError(f"{source}: {min(twice)} stands in two files; fetch the folder again")
        merged |= shard
    check_state(_wanted(dict(expected), dims), _wanted(merged, dims), where=str(source))
