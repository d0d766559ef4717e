from dataclasses import replace

import pytest

from reasoncd.config import from_dict, to_dict
from services.reasoner.config import ALL_LINEAR, LlamaDims, LoraDims, ReasonerConfig, mini, paper, paper_tiny


@pytest.mark.parametrize("config", [paper(), paper_tiny(), mini()])
def test_presets_survive_json(config: ReasonerConfig) -> None:
    assert from_dict(ReasonerConfig, to_dict(config), where="config.json") == config


def test_paper_has_the_papers_numbers() -> None:
    config = paper()
    assert (config.llm.width, config.llm.layers, config.llm.heads, config.llm.vocab_size) == (
        4096,
        32,
        32,
        32_000,
    )
    assert (config.clip_width, config.image_tokens, config.seg_dim) == (1024, 256, 256)
    assert (config.lora.rank, config.lora.targets) == (8, ("q_proj", "v_proj"))
    assert not config.llm.tied_head


def test_paper_tiny_takes_the_same_path() -> None:
    tiny, full = paper_tiny(), paper()
    assert (tiny.lora, tiny.image_tokens, tiny.llm.vocab_size) == (
        full.lora,
        full.image_tokens,
        full.llm.vocab_size,
    )
    assert not tiny.llm.tied_head


def test_mini() -> None:
    config = mini()
    assert (config.lora.rank, config.lora.targets) == (16, ALL_LINEAR)
    assert (config.clip_width, config.image_tokens) == (128, 16)
    assert config.llm.tied_head


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clip_width", 0),
        ("image_tokens", 0),
        ("seg_dim", -1),
        ("seg_mlp_hidden", 0),
        ("max_new_tokens", 0),
        ("max_query_tokens", 0),
        ("prefix_cache_bytes", -1),
        ("dtype", "float16"),
    ],
)
def test_impossible_values_name_their_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        replace(mini(), **{field: value})  # type: ignore[arg-type]


def test_impossible_dims_and_adapters() -> None:
    with pytest.raises(ValueError, match=r"llm\.width"):
        LlamaDims(vocab_size=9, width=10, mlp_width=9, layers=1, heads=3, kv_heads=1, max_positions=9)
    with pytest.raises(ValueError, match=r"llm\.layers"):
        replace(mini().llm, layers=0)
    with pytest.raises(ValueError, match=r"lora\.rank"):
        LoraDims(rank=0)
    with pytest.raises(ValueError, match=r"lora\.alpha"):
        LoraDims(alpha=0.0)
    with pytest.raises(ValueError, match=r"lora\.dropout"):
        LoraDims(dropout=1.0)
    with pytest.raises(ValueError, match=r"lora\.targets"):
        LoraDims(targets=("lm_head",))
