"""The reasoner before training: its base model, its tokenizer, random adapter and projections."""

from collections.abc import Callable
from pathlib import Path

import torch

from reasoncd.ontology import SHORT_ANSWERS
from services.reasoner.base_model import fetch_base, load_base_llm
from services.reasoner.build import build_reasoner
from services.reasoner.config import ReasonerConfig
from services.reasoner.llama_tokenizer import from_sentencepiece, generate_sentencepiece, load_sentencepiece
from services.reasoner.model import ReasonerModel
from services.reasoner.tokens import TOKENIZER_FILE, ReasonerTokenizer

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def start_reasoner(
    config: ReasonerConfig,
    *,
    seed: int,
    dtype: torch.dtype,
    say: Callable[[str], None],
    base: Path | None = None,
) -> ReasonerModel:
    """A reasoner on its base model, or on random weights where the configuration names none.

    Args:
        config: the sizes.
        seed: of everything that is drawn.
        dtype: of the frozen language model.
        say: is told what is downloaded.
        base: the base model's folder; None fetches one that can be downloaded.

    Raises:
        NotFoundError, CorruptDataError, CheckpointError, OutputError: the base model cannot be had.
    """
    if config.base_model is None:
        return build_reasoner(config, generated_tokenizer(config.llm.vocab_size), seed=seed, dtype=dtype)
    base = base or fetch_base(config.base_model, progress=say)
    return build_reasoner(
        config,
        base_tokenizer(base),
        base_llm=load_base_llm(base, dtype=dtype),
        seed=seed,
        dtype=dtype,
    )


def base_tokenizer(base: Path) -> ReasonerTokenizer:
    """The tokenizer in a base model's folder, in either of LLaMA's formats."""
    if not (base / TOKENIZER_FILE).is_file() and (base / "tokenizer.model").is_file():
        return load_sentencepiece(base / "tokenizer.model")
    return ReasonerTokenizer.load(base)


def generated_tokenizer(entries: int) -> ReasonerTokenizer:
    """A tokenizer in LLaMA's format that spells the words of the short answers in few pieces."""
    words = {word.strip(":.") for answer in SHORT_ANSWERS for word in answer.split()}
    plain = tuple(sorted(word for word in words if word.isalpha()))
    return from_sentencepiece(generate_sentencepiece(entries, words=plain))
