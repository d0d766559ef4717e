"""Speed: medians of interleaved rounds, each beside a fixed matrix product of the same round.

A time alone says little about another machine: the product tells what this one could do at that moment. Every
round measures each thing once, so that a busy spell falls on all of them alike.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring.outcomes import stacked
from benchmarks.progress import Progress
from gateway.embedded import build_pipeline
from gateway.pipeline import Pipeline
from reasoncd.base_models import base_model_dir
from reasoncd.checkpoint import Checkpoint
from reasoncd.config import from_dict
from reasoncd.errors import InvalidInputError, ReasonCDError
from reasoncd.ports import Mode
from services.reasoner.base_model import load_base_llm
from services.reasoner.config import ReasonerConfig
from services.reasoner.generation import first_turn_of, generate
from services.reasoner.guesses import guesses_for
from services.reasoner.model import ReasonerModel
from services.reasoner.prefix_cache import prefill
from services.reasoner.prompt import build_prompt
from services.reasoner.weights import load_reasoner
from training.data.fixed_pairs import validation_pairs

GEMM_SIDE = 1536
"""Side of the square matrices of the reference product."""
QUERIES = (
    "new buildings",
    "Where did people get more living space?",
    "Where did a lake or pond dry up?",
    "lost vegetation",
)
_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedConfig:
    """What is measured, and how often."""

    rounds: int = 15
    starts: int = 3
    """Fresh processes."""
    device: str = "cpu"
    threads: int | None = None
    """Of torch; its own choice where None."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.starts < 0 or (self.threads is not None and self.threads < 1):
            raise InvalidInputError(
                f"rounds is {self.rounds}, starts {self.starts}, threads {self.threads}; "
                "give at least 1, 0 and 1"
            )


@dataclass(kw_only=True, slots=True)
class SpeedResult:
    """Seconds of every single measurement, by what was measured."""

    config: SpeedConfig
    fingerprints: dict[str, str]
    checkpoint_mib: float
    threads: int
    cores: int
    load: float
    """Processes that wanted a core when it began, this one not yet among them."""
    times: dict[str, list[float]] = field(default_factory=dict)
    starts: list[dict[str, float]] = field(default_factory=list)
    explained_rates: list[float] = field(default_factory=list)
    """Tokens a second of each explained answer."""
    explained_tokens: list[int] = field(default_factory=list)
    passes: dict[str, list[int]] = field(default_factory=dict)
    """Runs of the language model per short answer, with and without guesses."""
    same_tokens: int = 0
    """Rounds in which both ways of decoding gave the same tokens."""

    def add(self, name: str, seconds: float) -> None:
        """Note one measurement."""
        self.times.setdefault(name, []).append(seconds)

    def as_json(self) -> dict[str, Any]:
        """Every single measurement."""
        return {
            name: getattr(self, name)
            for name in (
                "fingerprints", "checkpoint_mib", "threads", "cores", "load", "times", "starts",
                "explained_rates", "explained_tokens", "passes", "same_tokens",
            )
        }  # fmt: skip


def measure_speed(checkpoint: Path, config: SpeedConfig) -> SpeedResult:
    """Measure a checkpoint in this process and its start in fresh ones.

    Raises:
        NotFoundError, CheckpointError: as `gateway.embedded.build_pipeline`.
        ReasonCDError: a fresh process failed.
    """
    opened = Checkpoint.open(checkpoint)
    files = [p for p in checkpoint.rglob("*") if p.is_file()]
    load = os.getloadavg()[0]
    # Before this process holds models of its own, which would crowd them.
    starts, imports = _measure_starts(checkpoint, config)
    pipeline = build_pipeline(checkpoint, device=config.device, threads=config.threads)
    result = SpeedResult(
        config=config,
        fingerprints=dict(pipeline.fingerprints),
        checkpoint_mib=sum(p.stat().st_size for p in files) / 2**20,
        threads=torch.get_num_threads(),
        cores=len(os.sched_getaffinity(0)),
        load=load,
        starts=starts,
    )
    if imports:
        result.times["import torch in a fresh process"] = imports
    measure_rounds(pipeline, _load_model(opened, config.device), result)
    return result


def _measure_starts(checkpoint: Path, config: SpeedConfig) -> tuple[list[dict[str, float]], list[float]]:
    starts, imports = [], []
    for _ in range(config.starts):
        began = time.monotonic()
        _run([sys.executable, "-c", "import torch"])
        imports.append(time.monotonic() - began)
        words = [str(checkpoint), config.device, str(config.threads or 0), str(time.monotonic())]
        starts.append(json.loads(_run([sys.executable, "-m", "benchmarks.speed.startup", *words])))
    return starts, imports


def _run(command: list[str]) -> str:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ReasonCDError(f"a fresh process for the start-up measurement failed: {last}")
    return done.stdout


def _load_model(checkpoint: Checkpoint, device: str) -> ReasonerModel:
    """The reasoner's model by itself, to compare its ways of decoding."""
    config = from_dict(ReasonerConfig, checkpoint.config("reasoner"), where="config.json: reasoner")
    dtype = _DTYPES[config.dtype]
    base = None
    if config.base_model is not None:
        base = load_base_llm(base_model_dir(config.base_model), dtype=dtype)
    return load_reasoner(checkpoint.path / "reasoner", config, base_llm=base, dtype=dtype).to(device)


def measure_rounds(pipeline: Pipeline, model: ReasonerModel, result: SpeedResult) -> None:
    """Run the rounds and note their times in `result`; `model` is the pipeline's own reasoner by itself."""
    rounds = result.config.rounds
    pairs = validation_pairs("scene", "validation", rounds + 1, 0).pairs
    products = _products(result.config.device)
    rng = np.random.default_rng(0)
    progress = Progress("rounds", rounds + 1)
    for number, pair in enumerate(pairs):
        # The first round warms up and is forgotten.
        noted = result if number else _scratch(result)
        images = stacked(pair)
        for name, product in products.items():
            noted.add(name, _timed(product))
        one, two = (QUERIES[(number + i) % len(QUERIES)] for i in range(2))
        noted.add("cold query", _timed(partial(pipeline.detect, images, [one])))
        noted.add("repeated query", _timed(partial(pipeline.detect, images, [two])))
        _measure_decoding(model, one, rng, noted)
        progress.advance()


def _scratch(result: SpeedResult) -> SpeedResult:
    return SpeedResult(
        config=result.config,
        fingerprints={},
        checkpoint_mib=0,
        threads=result.threads,
        cores=result.cores,
        load=0,
    )


def _measure_decoding(
    model: ReasonerModel, query: str, rng: np.random.Generator, result: SpeedResult
) -> None:
    """The reasoner alone, on random patch tokens: with and without guesses and a cached prefix."""
    config = model.config
    device = next(model.parameters()).device
    shape = (2, config.image_tokens, config.clip_width)
    tokens = torch.from_numpy(rng.standard_normal(shape).astype(np.float32)).to(device, torch.bfloat16)
    began = _now(device)
    prefix = prefill(model, tokens, build_prompt(model.tokenizer, query, Mode.SHORT).prefix)
    prefix_time = _now(device) - began
    same = True
    for mode in Mode:
        prompt = build_prompt(model.tokenizer, query, mode, decide_first=config.decide_first)
        limit = config.max_new_tokens
        guesses = guesses_for(model.tokenizer, mode, decide_first=config.decide_first)
        first_turn = first_turn_of(prompt, guesses_for(model.tokenizer, Mode.SHORT))
        name = f"{mode} answer"
        began = _now(device)
        guessed = generate(model, prefix, prompt.suffix, limit=limit, guesses=guesses, first_turn=first_turn)
        walked = _now(device)
        plain = generate(model, prefix, prompt.suffix, limit=limit, first_turn=first_turn_of(prompt))
        done = _now(device)
        result.add(f"{name}, prefix cached", walked - began)
        result.add(f"{name}, prefix computed", walked - began + prefix_time)
        result.add(f"{name}, plain greedy, prefix cached", done - walked)
        result.passes.setdefault(f"{name}, with guesses", []).append(guessed.passes)
        result.passes.setdefault(f"{name}, plain greedy", []).append(plain.passes)
        same = same and guessed.token_ids == plain.token_ids
        if mode is Mode.EXPLAINED:
            result.explained_rates.append(guessed.generated / (walked - began))
            result.explained_tokens.append(guessed.generated)
    result.same_tokens += same


def _products(device: str) -> dict[str, Callable[[], object]]:
    """The reference: square matrix products of fixed size, ended by reading one element."""
    torch.manual_seed(0)
    a = torch.randn(GEMM_SIDE, GEMM_SIDE, device=device)
    b = a.to(torch.bfloat16)
    return {
        f"fp32 product of side {GEMM_SIDE}": lambda: float((a @ a)[0, 0]),
        f"bf16 product of side {GEMM_SIDE}": lambda: float((b @ b)[0, 0]),
    }


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
