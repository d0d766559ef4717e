"""What the reasoner is shown is what it is asked when it is served."""

from dataclasses import replace

import pytest
import torch

from reasoncd.errors import InvalidInputError
from reasoncd.ontology import REFUSAL, TARGETS
from reasoncd.ports import Mode
from services.reasoner.build import build_reasoner
from services.reasoner.model import IGNORE, ReasonerModel
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
        query="more homes",
        mode=mode,
        answer=answer_text(_TARGET, reason=reason),
        target=_TARGET,
        reason=reason,
    )


@pytest.mark.parametrize("mode", list(Mode))
def test_one_turn_is_shown_as_it_is_asked(
    tokenizer: ReasonerTokenizer, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    stage = _stage(tokenizer, decide_first=False)
    assert _shown(stage, _query(mode), monkeypatch) == build_prompt(tokenizer, "more homes", mode)


def test_two_turns_are_shown_as_they_are_asked_and_both_are_taught(
    tokenizer: ReasonerTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = _stage(tokenizer, decide_first=True)
    asked = build_prompt(tokenizer, "more homes", Mode.EXPLAINED, decide_first=True)
    assert _shown(stage, _query(Mode.EXPLAINED), monkeypatch) == asked
    short = _shown(stage, _query(Mode.SHORT), monkeypatch)
    assert short == build_prompt(tokenizer, "more homes", Mode.SHORT)
    size = recipes.paper_tiny().vision.image_size
    images = torch.zeros(1, 2, 3, size, size, dtype=torch.uint8)
    out = stage.read(QueryBatch(images=images, queries=(_query(Mode.EXPLAINED),), pair_index=(0,)))
    # The answer and its end, then the reason and its end; what asks for the reason is not to be written.
    answer, reason = (tokenizer.encode_answer(text) for text in ("New buildings: <SEG>", "Roofs rose."))
    between = [IGNORE] * (len(asked.follow_up) - 1)
    assert out.answer_labels[0].tolist() == [*answer, *between, *reason]
    assert out.seg_rows.tolist() == [0]


def test_a_batch_without_any_seg_teaches_its_words(tokenizer: ReasonerTokenizer) -> None:
    stage = _stage(tokenizer, decide_first=False)
    size = recipes.paper_tiny().vision.image_size
    images = torch.zeros(1, 2, 3, size, size, dtype=torch.uint8)
    refused = TrainingQuery(query="who won?", mode=Mode.SHORT, answer=REFUSAL, target=None, reason=None)
    losses = stage(QueryBatch(images=images, queries=(refused, refused), pair_index=(0, 0)))
    assert all(torch.isfinite(value) for value in losses.values())
    assert (float(losses["seg"]), float(losses["nearest"])) == (0.0, 0.0)
    losses["loss"].backward()
    gradients = [p.grad for p in stage.parameters() if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)


def test_a_reason_is_predicted_from_what_is_fed_when_it_is_decoded(tokenizer: ReasonerTokenizer) -> None:
    stage = _stage(tokenizer, decide_first=True).eval()
    size = recipes.paper_tiny().vision.image_size
    images = torch.zeros(1, 2, 3, size, size, dtype=torch.uint8)
    with torch.no_grad():
        stage.set_submodule("model", stage.model.float())
        out = stage.read(QueryBatch(images=images, queries=(_query(Mode.EXPLAINED),), pair_index=(0,)))
        prompt = build_prompt(tokenizer, "more homes", Mode.EXPLAINED, decide_first=True)
        answer, reason = (tokenizer.encode_answer(text) for text in ("New buildings: <SEG>", "Roofs rose."))
        fed = replace(prompt, suffix=(*prompt.suffix, *answer[:-1], *prompt.follow_up), follow_up=())
        tokens = stage.clip(images.flatten(0, 1)).unflatten(0, (-1, 2))
        alone = stage.model(tokens, [fed], ["Roofs rose."])
    got = out.answer_logits[0, -len(reason) :]
    torch.testing.assert_close(got, alone.answer_logits[0], rtol=2e-2, atol=2e-2)


def test_a_second_turn_needs_a_reason(tokenizer: ReasonerTokenizer) -> None:
    model = _stage(tokenizer, decide_first=True).model
    prompt = build_prompt(tokenizer, "more homes", Mode.EXPLAINED, decide_first=True)
    with pytest.raises(InvalidInputError, match="without a reason"):
        model(torch.zeros(1, 2, 256, 32), [prompt], ["New buildings: <SEG>"])
