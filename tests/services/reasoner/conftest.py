"""Tiny real models of both kinds: LLaMA format with an untied head, byte-level with a tied one."""

from collections.abc import Callable

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

from reasoncd.ontology import SHORT_ANSWERS
from services.reasoner.build import build_reasoner
from services.reasoner.config import ALL_LINEAR, LlamaDims, LoraDims, ReasonerConfig
from services.reasoner.llama_tokenizer import from_sentencepiece, generate_sentencepiece
from services.reasoner.model import ReasonerModel
from services.reasoner.tokens import BASE_NAMES, ReasonerTokenizer

MakeModel = Callable[..., ReasonerModel]


@pytest.fixture(scope="session")
def sentencepiece_model() -> bytes:
    return generate_sentencepiece(words=("building", "road", "new"))


@pytest.fixture(scope="session")
def llama_tokenizer(sentencepiece_model: bytes) -> ReasonerTokenizer:
    return from_sentencepiece(sentencepiece_model)


@pytest.fixture(scope="session")
def byte_tokenizer() -> ReasonerTokenizer:
    """Byte-level BPE with SmolLM2's special tokens and an added token that is *not* marked special."""
    bos, eos, unk = BASE_NAMES[1]
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[unk, bos, eos],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([*SHORT_ANSWERS, "where did people build new houses"] * 3, trainer)
    backend.add_tokens(["<file_sep>"])
    return ReasonerTokenizer(backend, bos=bos, eos=eos, unk=unk)


@pytest.fixture(params=["llama", "byte"])
def tokenizer(
    request: pytest.FixtureRequest, llama_tokenizer: ReasonerTokenizer, byte_tokenizer: ReasonerTokenizer
) -> ReasonerTokenizer:
    return llama_tokenizer if request.param == "llama" else byte_tokenizer


def tiny_config(tokenizer: ReasonerTokenizer, *, tied: bool = True) -> ReasonerConfig:
    return ReasonerConfig(
        base_model=None,
        llm=LlamaDims(
            vocab_size=tokenizer.control_ids[0],
            width=32,
            mlp_width=64,
            layers=2,
            heads=4,
            kv_heads=2,
            max_positions=512,
            tied_head=tied,
        ),
        clip_width=12,
        image_tokens=5,
        seg_dim=8,
        seg_mlp_hidden=16,
        lora=LoraDims(rank=4, alpha=8.0, targets=ALL_LINEAR),
        max_new_tokens=16,
        prefix_cache_bytes=2**20,
        dtype="float32",
    )


def disturb(model: ReasonerModel, seed: int, *, scale: float = 0.3) -> ReasonerModel:
    """Random adapter weights, as after training: B starts at zero and would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(noise * (scale * parameter.std() + 0.05))
    return model.eval()


@pytest.fixture(scope="session")
def make_model(byte_tokenizer: ReasonerTokenizer) -> MakeModel:
    """Builds a trained-looking tiny model over the byte-level tokenizer."""

    def make(seed: int = 0, *, tied: bool = True) -> ReasonerModel:
        config = tiny_config(byte_tokenizer, tied=tied)
        return disturb(build_reasoner(config, byte_tokenizer, seed=seed), seed)

    return make


@pytest.fixture(scope="session")
def model(make_model: MakeModel) -> ReasonerModel:
    return make_model()


@pytest.fixture
def clip_tokens() -> torch.Tensor:
    return torch.randn(3, 2, 5, 12, generator=torch.Generator().manual_seed(5))
