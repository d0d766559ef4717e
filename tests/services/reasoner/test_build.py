from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from reasoncd.errors import CheckpointError
from reasoncd.ports import Mode
from services.reasoner.build import adapter_shapes, adapter_state, build_llm, build_reasoner, merge
from services.reasoner.config import mini, paper, paper_tiny
from services.reasoner.model import ReasonerModel
from services.reasoner.prompt import build_prompt
from services.reasoner.tokens import ReasonerTokenizer

MakeModel = Callable[..., ReasonerModel]


def test_paper_builds_at_its_published_size(llama_tokenizer: ReasonerTokenizer) -> None:
    config = paper()
    with torch.device("meta"):
        assert sum(p.numel() for p in build_llm(config.llm).parameters()) == 6_738_415_616
        model = build_reasoner(config, llama_tokenizer)
    lora = {n: p for n, p in model.named_parameters() if ".lora_" in n}
    assert sum(p.numel() for p in lora.values()) == 4_194_304
    assert all(p.requires_grad for p in lora.values())
    assert model.causal_lm.config.vocab_size == 32_005
    assert model.clip_projection.weight.shape == (4096, 1024)
    assert model.get_parameter("seg_mlp.2.weight").shape == (256, 4096)


def test_paper_tiny_has_the_papers_vocabulary_and_an_untied_head(llama_tokenizer: ReasonerTokenizer) -> None:
    model = build_reasoner(paper_tiny(), llama_tokenizer)
    assert model.causal_lm.config.vocab_size == 32_005
    state = adapter_state(model)
    rows = {k: v.shape for k, v in state.items() if "token_adapter" in k}
    assert rows == {
        "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta": (5, 64),
        "base_model.model.lm_head.token_adapter.trainable_tokens_delta": (5, 64),
    }
    out = model(
        torch.randn(1, 2, 256, 32), [build_prompt(llama_tokenizer, "roads", Mode.SHORT)], ["It's <SEG>"]
    )
    assert out.seg_embeddings.shape == (1, 32)


@pytest.mark.parametrize("tied", [True, False])
def test_only_adapter_control_rows_and_projections_are_trained(make_model: MakeModel, tied: bool) -> None:
    model = make_model(tied=tied)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    kinds = ("lora_A", "lora_B", "trainable_tokens_delta", "clip_projection", "seg_mlp")
    assert all(any(kind in name for kind in kinds) for name in trained)
    assert all(any(kind in name for name in trained) for kind in kinds)
    assert {p.dtype for n, p in model.named_parameters() if n in trained} == {torch.float32}


def test_lora_starts_as_the_identity_with_a_kaiming_and_b_zero(
    byte_tokenizer: ReasonerTokenizer, model: ReasonerModel
) -> None:
    state = adapter_state(build_reasoner(model.config, byte_tokenizer))
    for name, tensor in state.items():
        if "lora_B" in name:
            assert not tensor.any()
        if "lora_A" in name:
            # Kaiming uniform with a = sqrt(5): within 1 / sqrt(fan in), spread over it.
            bound = tensor.shape[1] ** -0.5
            assert 0.8 * bound < tensor.abs().max() <= bound


def test_building_is_reproducible_and_leaves_the_global_generator_alone(
    byte_tokenizer: ReasonerTokenizer, model: ReasonerModel
) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    one = build_reasoner(model.config, byte_tokenizer, seed=4)
    assert torch.equal(torch.rand(1), expected)
    two = build_reasoner(model.config, byte_tokenizer, seed=4)
    other = build_reasoner(model.config, byte_tokenizer, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.clip_projection.weight, other.clip_projection.weight)


def test_new_rows_start_near_the_mean_and_apart(
    byte_tokenizer: ReasonerTokenizer, model: ReasonerModel
) -> None:
    weight = build_reasoner(model.config, byte_tokenizer).embed(torch.arange(byte_tokenizer.size))
    known, new = weight[: byte_tokenizer.control_ids[0]], weight[list(byte_tokenizer.control_ids)]
    assert (new - known.mean(0)).norm(dim=1).max() < 0.5 * known.norm(dim=1).mean()
    assert torch.pdist(new).min() > 0


@pytest.mark.parametrize("tied", [True, False])
def test_merge_keeps_the_function_and_the_tie(
    make_model: MakeModel, clip_tokens: torch.Tensor, tied: bool
) -> None:
    model = make_model(7, tied=tied)
    prompts = [build_prompt(model.tokenizer, "new roads", Mode.SHORT)]
    with torch.no_grad():
        before = model(clip_tokens[:1], prompts, ["New roads: <SEG>"])
        merge(model, dtype=torch.float32)
        after = model(clip_tokens[:1], prompts, ["New roads: <SEG>"])
    torch.testing.assert_close(before.answer_logits, after.answer_logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(before.seg_embeddings, after.seg_embeddings, atol=1e-4, rtol=0)
    assert (model.causal_lm.lm_head.weight is model.llama.embed_tokens.weight) == tied
    assert not any(p.requires_grad for p in model.parameters())


def test_merge_rounds_once(make_model: MakeModel) -> None:
    model = make_model(7)
    # A peft merge in bfloat16 would round the product before it is added.
    layer: Any = model.llama.get_submodule("layers.0.self_attn.q_proj")
    exact = layer.base_layer.weight + layer.get_delta_weight("default")
    merge(model, dtype=torch.bfloat16)
    assert torch.equal(model.llama.get_parameter("layers.0.self_attn.q_proj.weight"), exact.bfloat16())
    assert model.get_parameter("seg_mlp.0.weight").dtype == torch.float32


@pytest.mark.parametrize("tied", [True, False])
def test_expected_adapter_is_pefts(
    make_model: MakeModel, byte_tokenizer: ReasonerTokenizer, tied: bool
) -> None:
    model = make_model(tied=tied)
    plain = build_reasoner(model.config, byte_tokenizer, adapter=False)
    assert adapter_shapes(plain) == {k: tuple(v.shape) for k, v in adapter_state(model).items()}


def test_a_base_of_other_dimensions_is_refused(
    model: ReasonerModel, byte_tokenizer: ReasonerTokenizer
) -> None:
    other = build_llm(replace(model.config.llm, layers=1))
    with pytest.raises(CheckpointError, match="layers=1"):
        build_reasoner(model.config, byte_tokenizer, base_llm=other)


def test_a_tokenizer_of_another_base_is_refused(
    model: ReasonerModel, llama_tokenizer: ReasonerTokenizer
) -> None:
    with pytest.raises(CheckpointError, match="32000 entries"):
        build_reasoner(model.config, llama_tokenizer)


def test_mini_adapter_fits_the_checkpoint_budget() -> None:
    config = mini()
    with torch.device("meta"):
        llm = build_llm(config.llm)
    linear = [m for n, m in llm.named_modules() if n.rpartition(".")[2] in config.lora.targets]
    lora = sum(config.lora.rank * (m.in_features + m.out_features) for m in linear)
    assert sum(p.numel() for p in llm.parameters()) == 134_515_008
    # bfloat16, with the five rows: a quarter of the checkpoint's 40 MB.
    assert 2 * (lora + 5 * config.llm.width) < 10_000_000
