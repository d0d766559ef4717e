"""What the reasoner is shown is what it is asked when it is served."""

from dataclasses import replace

import pytest
import torch

from reasoncd.ontology import TARGETS
from reasoncd.ports import Mode
from services.reasoner.build import build_reasoner
from services.reasoner.model import ReasonerModel
from services.reasoner.prompt import Prompt, answer_text, build_prompt
from services.reasoner.tokens import ReasonerTokenizer
from services.vision_encoder.clip import ClipPatchEncoder
from training import recipes
from training.queries.sampler import TrainingQuery
from training.reasoner_start import generated_tokenizer
from training.stages.reasoner import QueryBatch, ReasonerStage

pytestmark = pytest.mark.unit

_TARGET = TARGETS[0]


@pytest.fixture(scope="module")
def tokenizer() -> ReasonerTokenizer:
    return generated_tokenizer(32_000)


def _stage(tokenizer: ReasonerTokenizer, *, decide_first: bool) -> ReasonerStage:
    recipe = recipes.paper_tiny()
    config = replace(recipe.reasoner, decide_first=decide_first)
    model = build_reasoner(config, tokenizer, seed=0)
    table = torch.randn(len(TARGETS), config.seg_dim, generator=torch.Generator().manual_seed(0))
    return ReasonerStage(model, ClipPatchEncoder(recipe.vision.clip), table)


def _shown(stage: ReasonerStage, query: TrainingQuery, monkeypatch: pytest.MonkeyPatch) -> Prompt:
    seen: list[Prompt] = []
    forward = ReasonerModel.forward

    def watch(
        model: ReasonerModel, tokens: object, prompts: list[Prompt], *rest: object, **named: object
    ) -> object:
        seen.extend(prompts)
        return forward(model, tokens, prompts, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(ReasonerModel, "forward", watch)
    size = recipes.paper_tiny().vision.image_size
    images = torch.zeros(1, 2, 3, size, size, dtype=torch.uint8)
    losses = stage(QueryBatch(images=images, queries=(query,), pair_index=(0,)))
    assert torch.isfinite(losses["loss"])
    return seen[0]


def _query(mode: Mode) -> TrainingQuery:
    reason = "Roofs rose." if mode is Mode.EXPLAINED else None
    return TrainingQuery(
        query="more homes", mode=mode, answer=answer_text(_TARGET, reason=reason), target=_TARGET
    )


@pytest.mark.parametrize("mode", list(Mode))
def test_one_turn_is_shown_as_it_is_asked(
    tokenizer: ReasonerTokenizer, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    stage = _stage(tokenizer, decide_first=False)
    assert _shown(stage, _query(mode), monkeypatch) == build_prompt(tokenizer, "more homes", mode)


def test_the_second_of_two_turns_follows_the_right_answer(
    tokenizer: ReasonerTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = _stage(tokenizer, decide_first=True)
    shown = _shown(stage, _query(Mode.EXPLAINED), monkeypatch)
    asked = build_prompt(tokenizer, "more homes", Mode.EXPLAINED, decide_first=True)
    answer = tokenizer.encode_answer("New buildings: <SEG>")[:-1]
    assert shown.suffix == (*asked.suffix, *answer, *asked.follow_up)
    short = _shown(stage, _query(Mode.SHORT), monkeypatch)
    assert short == build_prompt(tokenizer, "more homes", Mode.SHORT)
