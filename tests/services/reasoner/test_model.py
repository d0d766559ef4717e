from collections.abc import Callable
from typing import Literal

import pytest
import torch

from reasoncd.errors import InvalidInputError
from reasoncd.ontology import REFUSAL
from reasoncd.ports import Mode
from services.reasoner.model import IGNORE, ReasonerModel, ReasonerOutput, pad, positions_of
from services.reasoner.prompt import Prompt, build_prompt

MakeModel = Callable[..., ReasonerModel]
Side = Literal["left", "right"]

QUERIES = ["new roads", "where did people build houses last year, and why", "trees"]
ANSWERS = ["New roads: <SEG>", "Roofs stand where fields were. New buildings: <SEG>", REFUSAL]


def prompts_for(model: ReasonerModel, mode: Mode = Mode.SHORT) -> list[Prompt]:
    return [build_prompt(model.tokenizer, q, mode) for q in QUERIES]


def check_equal(a: ReasonerOutput, b: ReasonerOutput) -> None:
    real = a.answer_labels != IGNORE
    assert torch.equal(a.answer_labels, b.answer_labels)
    torch.testing.assert_close(a.answer_logits[real], b.answer_logits[real], atol=1e-4, rtol=0)
    torch.testing.assert_close(a.seg_embeddings, b.seg_embeddings, atol=1e-4, rtol=0)
    assert torch.equal(a.seg_rows, b.seg_rows)


@pytest.mark.parametrize("side", ["left", "right"])
def test_spans_hold_the_images_under_padding_and_mixed_lengths(
    model: ReasonerModel, clip_tokens: torch.Tensor, side: Side
) -> None:
    images = model.project_images(clip_tokens)
    prompts = prompts_for(model)
    # Placeholders at other places and in the other order: nothing may depend on where they stand.
    t1, t2 = model.tokenizer.t1_id, model.tokenizer.t2_id
    rows = [
        model.splice((*prompts[0].prefix, *prompts[0].suffix), images[0]),
        model.splice((5, 6, 7, t2, 8, t1), images[1]),
        model.splice((t1, t2, *prompts[2].suffix), images[2]),
    ]
    assert rows[1].spans == (range(3, 8), range(9, 14))
    batch, mask, starts = pad([r.embeddings for r in rows], side)
    order = [(0, 1), (1, 0), (0, 1)]
    for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
        assert int(mask[i].sum()) == len(row.embeddings)
        for span, date in zip(row.spans, order[i], strict=True):
            assert torch.equal(batch[i, start + span.start : start + span.stop], images[i, date])
        text = [n for n in range(len(row.embeddings)) if not any(n in s for s in row.spans)]
        assert not any(
            torch.equal(row.embeddings[n], image) for n in text for image in images[i].flatten(0, 1)
        )


def test_positions_count_real_tokens_only() -> None:
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
    assert positions_of(mask).tolist() == [[0, 0, 0, 1], [0, 1, 2, 2]]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("side", ["left", "right"])
def test_batched_equals_single(
    make_model: MakeModel, clip_tokens: torch.Tensor, side: Side, tied: bool
) -> None:
    model: ReasonerModel = make_model(3, tied=tied)
    prompts = prompts_for(model)
    with torch.no_grad():
        whole = model(clip_tokens, prompts, ANSWERS, padding_side=side)
        assert whole.seg_rows.tolist() == [0, 1]
        for i in range(3):
            one = model(clip_tokens[i : i + 1], prompts[i : i + 1], ANSWERS[i : i + 1])
            n = one.answer_labels.shape[1]
            torch.testing.assert_close(whole.answer_logits[i, :n], one.answer_logits[0], atol=1e-4, rtol=0)
            assert torch.equal(whole.answer_labels[i, :n], one.answer_labels[0])
            assert (whole.answer_labels[i, n:] == IGNORE).all()
            if i < 2:
                torch.testing.assert_close(whole.seg_embeddings[i], one.seg_embeddings[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_shared_prefix_equals_whole_rows(model: ReasonerModel, clip_tokens: torch.Tensor, side: Side) -> None:
    prompts, pairs = prompts_for(model), [1, 0, 1]
    with torch.no_grad():
        whole = model(clip_tokens[pairs], prompts, ANSWERS)
        shared = model(clip_tokens[:2], prompts, ANSWERS, pair_index=pairs, padding_side=side)
    check_equal(whole, shared)


def test_shared_prefix_has_the_same_gradients(make_model: MakeModel, clip_tokens: torch.Tensor) -> None:
    model: ReasonerModel = make_model(1)
    prompts, pairs = prompts_for(model), [1, 0, 1]
    gradients = []
    for clip, index in ((clip_tokens[pairs], None), (clip_tokens[:2], pairs)):
        model.zero_grad()
        out = model(clip, prompts, ANSWERS, pair_index=index)
        loss = torch.nn.functional.cross_entropy(out.answer_logits.flatten(0, 1), out.answer_labels.flatten())
        (loss + out.seg_embeddings.pow(2).sum()).backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    trainable = {n for n, p in model.named_parameters() if p.requires_grad}
    assert gradients[0].keys() == trainable
    for name, gradient in gradients[0].items():
        assert gradient.abs().sum() > 0, name
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-4, rtol=1e-3)


def test_gradient_checkpointing_changes_nothing(make_model: MakeModel, clip_tokens: torch.Tensor) -> None:
    model: ReasonerModel = make_model(1)
    prompts, pairs = prompts_for(model), [1, 0, 1]
    plain = model(clip_tokens[:2], prompts, ANSWERS, pair_index=pairs)
    model.llama.activation_checkpointing_enable({"use_reentrant": False})
    model.train()
    check_equal(plain, model(clip_tokens[:2], prompts, ANSWERS, pair_index=pairs))


def test_labels_are_the_answer_even_where_pad_is_end_of_text(
    model: ReasonerModel, clip_tokens: torch.Tensor
) -> None:
    labels = model(clip_tokens, prompts_for(model), ANSWERS).answer_labels
    for row, answer in zip(labels, ANSWERS, strict=True):
        ids = model.tokenizer.encode_answer(answer)
        assert tuple(row[: len(ids)].tolist()) == ids
        assert set(row[len(ids) :].tolist()) <= {IGNORE}


def test_logits_predict_the_next_answer_token_and_state_is_taken_at_seg(
    model: ReasonerModel, clip_tokens: torch.Tensor
) -> None:
    prompt = prompts_for(model)[0]
    target = model.tokenizer.encode_answer(ANSWERS[0])
    with torch.no_grad():
        out = model(clip_tokens[:1], [prompt], ANSWERS[:1])
        row = model.splice(
            (*prompt.prefix, *prompt.suffix, *target), model.project_images(clip_tokens[:1])[0]
        ).embeddings
        states = model.run(row.unsqueeze(0))[0]
        # The row ends `<SEG> end-of-text`: the answer is predicted from one position before it on.
        torch.testing.assert_close(
            out.answer_logits[0], model.logits(states[-len(target) - 1 : -1]), atol=1e-4, rtol=0
        )
        torch.testing.assert_close(out.seg_embeddings[0], model.seg_head(states[-2]), atol=1e-4, rtol=0)
        before = model.seg_head(states[-3])
    assert (out.seg_embeddings[0] - before).abs().max() > 1e-2


def test_the_images_and_their_order_reach_the_answer(model: ReasonerModel, clip_tokens: torch.Tensor) -> None:
    prompts, answers = prompts_for(model)[:1], ANSWERS[:1]
    with torch.no_grad():
        forward = model(clip_tokens[:1], prompts, answers).seg_embeddings
        swapped = model(clip_tokens[:1].flip(1), prompts, answers).seg_embeddings
    assert (forward - swapped).abs().max() > 1e-4


def test_control_rows_are_read_as_peft_reads_them(make_model: MakeModel) -> None:
    for tied in (True, False):
        model: ReasonerModel = make_model(2, tied=tied)
        ids = torch.tensor([[3, *model.tokenizer.control_ids, 9]])
        torch.testing.assert_close(model.embed(ids), model.llama.embed_tokens(ids))
        states = torch.randn(2, 3, model.config.llm.width)
        torch.testing.assert_close(model.logits(states), model.causal_lm.lm_head(states))


def test_wrong_inputs_are_named(model: ReasonerModel, clip_tokens: torch.Tensor) -> None:
    prompts = prompts_for(model)
    with pytest.raises(InvalidInputError, match="clip_tokens has shape"):
        model(clip_tokens[..., :-1], prompts, ANSWERS)
    with pytest.raises(InvalidInputError, match="2 answers"):
        model(clip_tokens, prompts, ANSWERS[:2])
