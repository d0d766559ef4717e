"""Configuration of the reasoner and its presets.

Sizes of the language model, of the adapter and of the projections. It does not know weights, paths
or how a checkpoint is laid out.
"""

from dataclasses import dataclass, field
from typing import Literal

FloatDType = Literal["bfloat16", "float32"]

ATTENTION_QV = ("q_proj", "v_proj")
"""LoRA targets of the paper."""

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Every linear layer of a LLaMA block."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LlamaDims:
    """Dimensions of a LLaMA-architecture language model, before the control tokens are added."""

    vocab_size: int
    """Entries of the base tokenizer; the five control tokens come after them."""
    width: int
    mlp_width: int
    layers: int
    heads: int
    kv_heads: int
    max_positions: int
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-5
    tied_head: bool = False
    """Whether the output head shares the embedding's weights."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "width", "mlp_width", "layers", "heads", "kv_heads", "max_positions"):
            if getattr(self, name) < 1:
                raise ValueError(f"llm.{name} is {getattr(self, name)}; it must be at least 1")
        if self.width % self.heads or self.heads % self.kv_heads:
            raise ValueError(
                f"llm.width {self.width} must be a multiple of llm.heads {self.heads}, "
                f"and that a multiple of llm.kv_heads {self.kv_heads}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraDims:
    """Size and place of the low-rank adapter."""

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ATTENTION_QV
    """Names of the adapted linear layers in every block."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"lora.rank is {self.rank}; it must be at least 1")
        if self.alpha <= 0:
            raise ValueError(f"lora.alpha is {self.alpha}; it must be positive")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"lora.dropout is {self.dropout}; it must be in [0, 1)")
        unknown = set(self.targets) - set(ALL_LINEAR)
        if not self.targets or unknown:
            raise ValueError(f"lora.targets is {self.targets}; choose from {', '.join(ALL_LINEAR)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasonerConfig:
    """Everything that fixes the reasoner's shapes and its answers, apart from the weights."""

    base_model: str | None
    """Reference of the pretrained language model, or None where it is built from `llm` and kept
    in the checkpoint itself."""
    llm: LlamaDims
    clip_width: int
    """Width C of the CLIP patch tokens."""
    image_tokens: int
    """Patch tokens N of one image."""
    seg_dim: int
    """Width D of the `<SEG>` embedding: the mask decoder's prompt width."""
    seg_mlp_hidden: int
    lora: LoraDims = field(default_factory=LoraDims)
    max_new_tokens: int = 96
    """Bound on the tokens of one answer, `<SEG>` and end-of-text included."""
    max_query_tokens: int = 1024
    """Bound on the tokens of one query; a longer one is refused."""
    decide_first: bool = False
    """Whether an explained answer is asked for in two turns, first briefly and then for its reason, as the
    model was trained; the paper's model gives its reason without having answered before."""
    prefix_cache_bytes: int = 256 * 2**20
    """Bound on the key-value caches that are kept for pairs already seen; 0 keeps none."""
    dtype: FloatDType = "bfloat16"
    """Of the language model at inference; the `<SEG>` path is float32 always."""

    def __post_init__(self) -> None:
        for name in (
            "clip_width",
            "image_tokens",
            "seg_dim",
            "seg_mlp_hidden",
            "max_new_tokens",
            "max_query_tokens",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.prefix_cache_bytes < 0:
            raise ValueError(f"prefix_cache_bytes is {self.prefix_cache_bytes}; it must not be negative")
        if self.dtype not in ("bfloat16", "float32"):
            raise ValueError(f"dtype is {self.dtype!r}; use bfloat16 or float32")


def paper() -> ReasonerConfig:
    """LLaMA2-7B-Chat with CLIP ViT-L/14 and the paper's adapter."""
    return ReasonerConfig(
        base_model="llama2-7b-chat",
        llm=LlamaDims(
            vocab_size=32_000,
            width=4096,
            mlp_width=11_008,
            layers=32,
            heads=32,
            kv_heads=32,
            max_positions=4096,
        ),
        clip_width=1024,
        image_tokens=256,
        seg_dim=256,
        seg_mlp_hidden=4096,
        # Half a MB a token in bfloat16: one pair's prefix is about 280 MB.
        prefix_cache_bytes=4 * 2**30,
    )


def paper_tiny() -> ReasonerConfig:
    """The paper's code path at a size for tests; its base weights travel in the checkpoint."""
    return ReasonerConfig(
        base_model=None,
        llm=LlamaDims(
            vocab_size=32_000, width=64, mlp_width=128, layers=2, heads=4, kv_heads=4, max_positions=4096
        ),
        clip_width=32,
        image_tokens=256,
        seg_dim=32,
        seg_mlp_hidden=64,
        max_new_tokens=48,
        prefix_cache_bytes=32 * 2**20,
        dtype="float32",
    )


def mini() -> ReasonerConfig:
    """SmolLM2-135M-Instruct, all linear layers adapted, few image tokens: runs on a laptop."""
    return ReasonerConfig(
        base_model="smollm2-135m-instruct",
        llm=LlamaDims(
            vocab_size=49_152,
            width=576,
            mlp_width=1536,
            layers=30,
            heads=9,
            kv_heads=3,
            max_positions=8192,
            rope_theta=100_000.0,
            tied_head=True,
        ),
        clip_width=128,
        image_tokens=16,
        seg_dim=96,
        seg_mlp_hidden=576,
        lora=LoraDims(rank=16, alpha=32.0, dropout=0.1, targets=ALL_LINEAR),
        decide_first=True,
    )
