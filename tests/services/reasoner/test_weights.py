import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from reasoncd.errors import CheckpointError, NotFoundError
from reasoncd.ports import Mode
from services.reasoner.build import build_llm, build_reasoner
from services.reasoner.config import LoraDims
from services.reasoner.model import ReasonerModel, ReasonerOutput
from services.reasoner.prompt import build_prompt
from services.reasoner.tokens import ReasonerTokenizer
from services.reasoner.weights import load_reasoner, save_reasoner

MakeModel = Callable[..., ReasonerModel]


def answer(model: ReasonerModel, clip_tokens: torch.Tensor) -> ReasonerOutput:
    with torch.no_grad():
        prompts = [build_prompt(model.tokenizer, "new roads", Mode.SHORT)]
        out: ReasonerOutput = model(clip_tokens[:1], prompts, ["New roads: <SEG>"])
    return out


def check_same(a: ReasonerOutput, b: ReasonerOutput, atol: float) -> None:
    torch.testing.assert_close(a.answer_logits, b.answer_logits, atol=atol, rtol=0)
    torch.testing.assert_close(a.seg_embeddings, b.seg_embeddings, atol=atol, rtol=0)


@pytest.mark.parametrize("tied", [True, False])
def test_saved_model_answers_the_same(
    make_model: MakeModel, clip_tokens: torch.Tensor, tmp_path: Path, tied: bool
) -> None:
    model = make_model(4, tied=tied)
    save_reasoner(model, tmp_path, dtype=torch.float32)
    expected = answer(model, clip_tokens)
    trainable = load_reasoner(tmp_path, model.config, dtype=torch.float32, trainable=True)
    check_same(expected, answer(trainable.eval(), clip_tokens), 1e-6)
    merged = load_reasoner(tmp_path, model.config, dtype=torch.float32)
    check_same(expected, answer(merged, clip_tokens), 1e-4)
    assert (merged.causal_lm.lm_head.weight is merged.llama.embed_tokens.weight) == tied
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "base_model.safetensors",
        "projections.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_adapter_file_holds_no_embedding_matrix(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    save_reasoner(model, tmp_path)
    state = load_file(tmp_path / "adapter_model.safetensors")
    assert {v.dtype for v in state.values()} == {torch.bfloat16}
    numbers = sum(v.numel() for v in state.values())
    # Without `save_embedding_layers=False` all rows would be there.
    rows = [v for k, v in state.items() if "token" in k]
    assert [tuple(r.shape) for r in rows] == [(5, model.config.llm.width)]
    assert (tmp_path / "adapter_model.safetensors").stat().st_size < 2 * numbers + 8192


def test_peft_itself_can_load_the_adapter(
    make_model: MakeModel, clip_tokens: torch.Tensor, tmp_path: Path
) -> None:
    from peft import PeftModel

    model = make_model(5)
    save_reasoner(model, tmp_path, dtype=torch.float32)
    fresh = load_reasoner(tmp_path, model.config, dtype=torch.float32)
    base = build_llm(model.config.llm)
    base.load_state_dict(load_file(tmp_path / "base_model.safetensors"), strict=False)
    base.resize_token_embeddings(model.tokenizer.size, mean_resizing=False)
    fresh.llm = PeftModel.from_pretrained(base, tmp_path)
    check_same(answer(model, clip_tokens), answer(fresh.eval(), clip_tokens), 1e-5)


def test_a_named_base_is_not_saved_and_has_to_be_given(
    make_model: MakeModel, clip_tokens: torch.Tensor, tmp_path: Path
) -> None:
    model = make_model(6)
    base_state = build_base_state(model)
    model.config = replace(model.config, base_model="some-base")
    save_reasoner(model, tmp_path, dtype=torch.float32)
    assert not (tmp_path / "base_model.safetensors").exists()
    assert (
        json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "some-base"
    )
    with pytest.raises(CheckpointError, match="load it first"):
        load_reasoner(tmp_path, model.config)
    base = build_llm(model.config.llm)
    base.load_state_dict(base_state, strict=False)
    loaded = load_reasoner(tmp_path, model.config, base_llm=base, dtype=torch.float32)
    check_same(answer(model, clip_tokens), answer(loaded, clip_tokens), 1e-4)


def build_base_state(model: ReasonerModel) -> dict[str, torch.Tensor]:
    plain = build_reasoner(model.config, model.tokenizer, seed=6, adapter=False)
    state = plain.causal_lm.state_dict()
    state["model.embed_tokens.weight"] = state["model.embed_tokens.weight"][: model.config.llm.vocab_size]
    del state["lm_head.weight"]
    return dict(state)


def test_saving_is_reproducible(make_model: MakeModel, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_reasoner(make_model(8), tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("name", ["adapter_model", "projections", "base_model"])
def test_missing_extra_misshapen_and_truncated_weights_are_refused(
    model: ReasonerModel, tmp_path: Path, name: str
) -> None:
    save_reasoner(model, tmp_path)
    path = tmp_path / f"{name}.safetensors"
    whole, state = path.read_bytes(), load_file(path)
    first = sorted(state)[0]

    save_file({k: v for k, v in state.items() if k != first}, path)
    with pytest.raises(CheckpointError, match=first):
        load_reasoner(tmp_path, model.config)
    save_file({**state, "stranger": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="stranger"):
        load_reasoner(tmp_path, model.config)
    save_file({**state, first: torch.zeros(1, 1)}, path)
    with pytest.raises(CheckpointError, match="shape"):
        load_reasoner(tmp_path, model.config)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="safetensors"):
        load_reasoner(tmp_path, model.config)
    path.unlink()
    with pytest.raises(NotFoundError, match=path.name):
        load_reasoner(tmp_path, model.config)


def test_configuration_and_adapter_must_agree(model: ReasonerModel, tmp_path: Path) -> None:
    save_reasoner(model, tmp_path)
    other = replace(model.config, lora=LoraDims(rank=4, alpha=4.0, targets=model.config.lora.targets))
    with pytest.raises(CheckpointError, match="lora_alpha is 8"):
        load_reasoner(tmp_path, other)
    with pytest.raises(CheckpointError, match="give none"):
        load_reasoner(tmp_path, model.config, base_llm=build_llm(model.config.llm))


def test_tokenizer_is_the_saved_one(
    byte_tokenizer: ReasonerTokenizer, model: ReasonerModel, tmp_path: Path
) -> None:
    save_reasoner(model, tmp_path)
    assert load_reasoner(tmp_path, model.config).tokenizer.control_ids == byte_tokenizer.control_ids
