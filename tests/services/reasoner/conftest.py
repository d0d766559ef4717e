"""Tiny real models of both kinds: LLaMA format with an untied head, byte-level with a tied one."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

from reasoncd.ontology import REFUSAL, SHORT_ANSWERS
from reasoncd.ports import Description, Mode, TensorShape
from reasoncd.tensors import Tensor
from services.reasoner.build import build_reasoner, merge
from services.reasoner.config import ALL_LINEAR, LlamaDims, LoraDims, ReasonerConfig
from services.reasoner.engine import ReasonerEngine
from services.reasoner.llama_tokenizer import from_sentencepiece, generate_sentencepiece
from services.reasoner.model import ReasonerModel
from services.reasoner.prompt import build_prompt
from services.reasoner.tokens import BASE_NAMES, ReasonerTokenizer
from services.wire import from_torch, to_torch

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


@pytest.fixture(scope="session")
def clip_tokens() -> torch.Tensor:
    return torch.randn(3, 2, 5, 12, generator=torch.Generator().manual_seed(5))


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A question about a pair, and the answer to it that a tiny model was taught."""

    pair: int
    query: str
    mode: Mode
    answer: str

    @property
    def features(self) -> Tensor:
        """bfloat16 (2, 5, 12)."""
        generator = torch.Generator().manual_seed(self.pair)
        return from_torch(torch.randn(2, 5, 12, generator=generator).bfloat16())


LESSONS = (
    Lesson(pair=0, query="new houses", mode=Mode.SHORT, answer="New buildings: <SEG>"),
    Lesson(
        pair=0,
        query="Where did people get more living space?",
        mode=Mode.EXPLAINED,
        answer="Roofs rose where fields were. New buildings: <SEG>",
    ),
    Lesson(pair=1, query="trees", mode=Mode.SHORT, answer="Vegetation to roads: <SEG>"),
    Lesson(pair=2, query="Did a lake dry up?", mode=Mode.EXPLAINED, answer="It is dry. Lost water: <SEG>"),
    Lesson(pair=1, query="who won the cup?", mode=Mode.SHORT, answer=REFUSAL),
)
"""Answers of different lengths in both modes, two about one pair, one without `<SEG>`."""


def engine_of(model: ReasonerModel) -> ReasonerEngine:
    """An engine of a merged model, with nothing cached."""
    return ReasonerEngine(
        model,
        Description(
            component="reasoner",
            version="1",
            preset="test",
            fingerprint="f" * 64,
            seg_space="seg-1",
            tensors=(TensorShape(name="clip_tokens", dtype="bfloat16", shape=(2, 5, 12)),),
        ),
    )


def learn(
    model: ReasonerModel, loss_of: Callable[[], torch.Tensor], *, enough: float, steps: int = 400
) -> ReasonerModel:
    """Train every weight of a tiny model until its loss is small: it then answers what it was taught."""
    # The frozen base of a random model cannot be steered by its adapter alone.
    optimizer = torch.optim.Adam(model.requires_grad_(True).parameters(), lr=5e-3)
    for _ in range(steps):
        loss = loss_of()
        if loss < enough:
            return model
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    raise AssertionError("the tiny model did not learn its answers")


@pytest.fixture(scope="session")
def taught_model(make_model: MakeModel) -> ReasonerModel:
    """A tiny model that learned `LESSONS`: untrained ones only repeat one token."""
    model = make_model(1)
    model.config = replace(model.config, max_new_tokens=64)
    clip = torch.stack([to_torch(lesson.features).float() for lesson in LESSONS])
    prompts = [build_prompt(model.tokenizer, lesson.query, lesson.mode) for lesson in LESSONS]
    answers = [lesson.answer for lesson in LESSONS]

    def loss() -> torch.Tensor:
        out = model(clip, prompts, answers)
        return torch.nn.functional.cross_entropy(out.answer_logits.flatten(0, 1), out.answer_labels.flatten())

    return merge(learn(model, loss, enough=0.02, steps=600), dtype=torch.float32)


@pytest.fixture
def taught_engine(taught_model: ReasonerModel) -> ReasonerEngine:
    return engine_of(taught_model)
