"""LLaMA2 folders as transformers writes them, small and random, in every layout of weights."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from reasoncd.base_models import CACHE_VARIABLE, base_model_dir
from reasoncd.errors import CheckpointError, CorruptDataError, NotFoundError
from services.reasoner.base_model import load_base_llm
from services.reasoner.build import build_llm
from services.reasoner.config import LlamaDims
from training.importers import convert_llama2, install_llama2

pytestmark = pytest.mark.contract

DIMS = LlamaDims(vocab_size=96, width=32, mlp_width=48, layers=2, heads=4, kv_heads=2, max_positions=64)


@pytest.fixture(scope="module")
def llm() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return build_llm(DIMS).eval()


def _tokenizer(folder: Path) -> None:
    (folder / "tokenizer.model").write_bytes(b"pieces")
    (folder / "tokenizer_config.json").write_text("{}")


def _whole(llm: LlamaForCausalLM, folder: Path) -> None:
    llm.save_pretrained(folder)
    _tokenizer(folder)


def _sharded(llm: LlamaForCausalLM, folder: Path) -> None:
    llm.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    _tokenizer(folder)


def _pickled(llm: LlamaForCausalLM, folder: Path) -> None:
    """As older versions wrote it: pickled shards in half precision, with the rotary frequencies."""
    llm.config.save_pretrained(folder)
    state: dict[str, torch.Tensor] = {k: v.half() for k, v in llm.state_dict().items()}
    state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    keys = list(state)
    weight_map: dict[str, str] = {}
    for number, part in enumerate((keys[:5], keys[5:]), 1):
        name = f"pytorch_model-0000{number}-of-00002.bin"
        torch.save({k: state[k] for k in part}, folder / name)
        weight_map |= dict.fromkeys(part, name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    _tokenizer(folder)


@pytest.fixture
def source(tmp_path: Path, llm: LlamaForCausalLM) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    _whole(llm, folder)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("write", [_whole, _sharded, _pickled])
def test_every_layout_gives_the_same_model(
    tmp_path: Path, target: Path, llm: LlamaForCausalLM, write: Callable[[LlamaForCausalLM, Path], None]
) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    write(llm, folder)
    convert_llama2(folder, target, DIMS, dtype=torch.float32)
    loaded = load_base_llm(target, dtype=torch.float32)
    tokens = torch.arange(12)[None]
    with torch.no_grad():
        torch.testing.assert_close(loaded(tokens).logits, llm(tokens).logits, rtol=0, atol=2e-3)
    assert loaded.state_dict().keys() == llm.state_dict().keys()
    assert not list(target.glob("*.bin"))
    assert (target / "tokenizer.model").read_bytes() == b"pieces"


def test_weights_become_bfloat16(source: Path, target: Path) -> None:
    convert_llama2(source, target, DIMS)
    assert {t.dtype for t in load_file(target / "model.safetensors").values()} == {torch.bfloat16}


def test_installing_puts_it_where_the_reasoner_looks(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    ref = install_llama2(source, DIMS)
    folder = base_model_dir("llama2-7b-chat", sha256=ref.sha256, verify=True)
    load_base_llm(folder, dtype=torch.float32)
    weights = source / "model.safetensors"
    state = load_file(weights)
    state["model.norm.weight"] += 1
    save_file(state, weights, metadata={"format": "pt"})
    assert install_llama2(source, DIMS).sha256 != ref.sha256


def test_a_folder_that_does_not_fit_is_not_installed(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(CheckpointError, match="num_hidden_layers is 2 but"):
        install_llama2(source, replace(DIMS, layers=3))
    assert not (tmp_path / "cache" / "base" / "llama2-7b-chat").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "mistral"}, "of a 'mistral' model"),
        ({"hidden_size": 64}, "hidden_size is 64"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings is True"),
    ],
)
def test_other_configurations(source: Path, target: Path, change: dict[str, Any], said: str) -> None:
    _edit(source / "config.json", **change)
    with pytest.raises(CheckpointError, match=said):
        convert_llama2(source, target, DIMS)
    assert not list(target.iterdir())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("model.norm.weight"), "lacks 1 keys: model.norm.weight"),
        (lambda s: s.update(more=torch.ones(1)), "unknown 1 keys: more"),
        (lambda s: s.update({"lm_head.weight": torch.ones(95, 32)}), r"lm_head.weight has shape \(95, 32\)"),
        (lambda s: s.update({"model.norm.weight": torch.ones(32, dtype=torch.int32)}), "holds torch.int32"),
    ],
)
def test_weights_that_do_not_fit(
    source: Path, target: Path, change: Callable[[dict[str, torch.Tensor]], object], said: str
) -> None:
    state = load_file(source / "model.safetensors")
    change(state)
    save_file(state, source / "model.safetensors")
    with pytest.raises(CheckpointError, match=said):
        convert_llama2(source, target, DIMS)
    assert not list(target.iterdir())


def test_missing_files_are_named(source: Path, target: Path, llm: LlamaForCausalLM, tmp_path: Path) -> None:
    (source / "tokenizer.model").unlink()
    with pytest.raises(NotFoundError, match=r"no tokenizer\.model"):
        convert_llama2(source, target, DIMS)
    _tokenizer(source)
    (source / "model.safetensors").unlink()
    with pytest.raises(NotFoundError, match=r"no model.safetensors or pytorch_model.bin"):
        convert_llama2(source, target, DIMS)
    sharded = tmp_path / "sharded"
    sharded.mkdir()
    _sharded(llm, sharded)
    (sharded / "model-00002-of-00003.safetensors").unlink(missing_ok=True)
    gone = sorted(sharded.glob("model-*"))[-1]
    gone.unlink()
    with pytest.raises(NotFoundError, match=gone.name):
        convert_llama2(sharded, target, DIMS)


@pytest.mark.parametrize(("name", "said"), [("../x.bin", "leads out"), ("/etc/x.bin", "leads out")])
def test_an_index_cannot_lead_out_of_its_folder(source: Path, target: Path, name: str, said: str) -> None:
    index = {"weight_map": {"model.norm.weight": name}}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=said):
        convert_llama2(source, target, DIMS)


def test_harmful_and_truncated_shards(
    tmp_path: Path, target: Path, llm: LlamaForCausalLM, acting: tuple[object, Path]
) -> None:
    harmful, mark = acting
    folder = tmp_path / "pickled"
    folder.mkdir()
    _pickled(llm, folder)
    shard = folder / "pytorch_model-00002-of-00002.bin"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((CorruptDataError, CheckpointError), match=shard.name):
        convert_llama2(folder, target, DIMS)
    torch.save({"model.norm.weight": harmful}, shard)
    with pytest.raises(CheckpointError, match="nothing of it was run"):
        convert_llama2(folder, target, DIMS)
    assert not mark.exists()
    assert not list(target.iterdir())


def test_a_weight_in_two_files_is_refused(tmp_path: Path, target: Path, llm: LlamaForCausalLM) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    _pickled(llm, folder)
    second = folder / "pytorch_model-00002-of-00002.bin"
    state = torch.load(second, weights_only=True) | {"model.embed_tokens.weight": torch.ones(96, 32)}
    torch.save(state, second)
    with pytest.raises(CheckpointError, match=r"model\.embed_tokens\.weight stands in two files"):
        convert_llama2(folder, target, DIMS)
