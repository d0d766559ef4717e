"""Each loss against its formula, worked out by hand in plain floats."""

from math import exp, log

import pytest
import torch
from torch import Tensor

from training.losses import (
    IGNORE_TOKEN,
    LossWeights,
    mask_bce,
    mask_dice,
    partial_label_loss,
    presence_loss,
    quality_loss,
    text_loss,
)

pytestmark = pytest.mark.unit


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + exp(-x))


LOGITS = torch.tensor([[[2.0, -1.0], [0.5, 3.0]]])
"""One query of 2 x 2 pixels."""
TRUTH = torch.tensor([[[1, 0], [1, 255]]], dtype=torch.uint8)


def test_weights_are_the_papers() -> None:
    weights = LossWeights()
    assert (weights.text, weights.bce, weights.dice, weights.missing_seg) == (1.0, 2.0, 0.5, 10.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("text", -1.0), ("bce", -1.0), ("dice", -1.0), ("missing_seg", 0.0), ("changed_pixel", 0.0)],
)
def test_weights_without_sense_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        LossWeights(**{field: value})


def test_bce_weighs_changed_pixels_and_leaves_unknown_ones_out() -> None:
    changed = [-log(_sigmoid(2.0)), -log(_sigmoid(0.5))]
    unchanged = -log(1.0 - _sigmoid(-1.0))
    by_hand = (3.0 * sum(changed) + unchanged) / (3.0 + 3.0 + 1.0)
    assert mask_bce(LOGITS, TRUTH, changed_pixel=3.0).tolist() == pytest.approx([by_hand], abs=1e-6)


def test_dice_follows_the_formula() -> None:
    yes, no = [_sigmoid(2.0), _sigmoid(0.5)], _sigmoid(-1.0)
    for smooth in (1.0, 0.25):
        by_hand = 1.0 - (2.0 * sum(yes) + smooth) / (sum(yes) + no + 2.0 + smooth)
        assert mask_dice(LOGITS, TRUTH, smooth=smooth).tolist() == pytest.approx([by_hand], abs=1e-6)


@pytest.mark.parametrize("loss", [lambda x, y: mask_bce(x, y, changed_pixel=2.0), mask_dice])
def test_unknown_pixels_get_no_gradient(loss: object) -> None:
    assert callable(loss)
    logits = LOGITS.clone().requires_grad_()
    loss(logits, TRUTH).sum().backward()
    assert logits.grad is not None
    assert (logits.grad != 0).tolist() == [[[True, True], [True, False]]]


def test_queries_of_which_nothing_is_known_cost_nothing() -> None:
    unknown = torch.full((1, 2, 2), 255, dtype=torch.uint8)
    assert mask_bce(LOGITS, unknown, changed_pixel=2.0).tolist() == [0.0]
    assert mask_dice(LOGITS, unknown).tolist() == [0.0]
    assert mask_dice(LOGITS, torch.zeros(1, 2, 2, dtype=torch.uint8)).tolist() == [0.0]


SEG, WORD = 3, 1


def _answer(*predicted: int) -> Tensor:
    """Logits (1, A, V = 5) whose argmax is as given, by a margin of 1."""
    logits = torch.zeros(1, len(predicted), 5)
    for place, token in enumerate(predicted):
        logits[0, place, token] = 1.0
    return logits


HIT = -(1.0 - log(exp(1.0) + 4.0))
"""Cross-entropy of the token with the highest logit."""
MISS = log(exp(1.0) + 4.0)
"""Cross-entropy of another one."""


@pytest.mark.parametrize(
    ("labels", "predicted", "by_hand"),
    [
        ([WORD, SEG], [WORD, SEG], (HIT + HIT) / 2),
        ([WORD, SEG], [WORD, 0], (HIT + 10 * MISS) / 11),
        # Emitted, though at another place: nothing is missing.
        ([WORD, SEG], [SEG, 0], (MISS + MISS) / 2),
        # A refusal owes no <SEG>.
        ([WORD, 2], [WORD, 0], (HIT + MISS) / 2),
        # What the model says outside the answer is not generated.
        ([WORD, SEG, IGNORE_TOKEN], [WORD, 0, SEG], (HIT + 10 * MISS) / 11),
    ],
)
def test_a_due_seg_weighs_more_only_where_it_is_missing(
    labels: list[int], predicted: list[int], by_hand: float
) -> None:
    loss = text_loss(_answer(*predicted), torch.tensor([labels]), seg_id=SEG, missing_seg=10.0)
    assert loss.item() == pytest.approx(by_hand, abs=1e-6)


def test_missing_is_judged_sample_by_sample() -> None:
    logits = torch.cat([_answer(WORD, SEG), _answer(WORD, 0)])
    labels = torch.tensor([[WORD, SEG], [WORD, SEG]])
    loss = text_loss(logits, labels, seg_id=SEG, missing_seg=10.0)
    assert loss.item() == pytest.approx((3 * HIT + 10 * MISS) / 13, abs=1e-6)


def test_presence_is_taken_where_it_is_known() -> None:
    logits = torch.tensor([1.5, -0.5, 9.0])
    by_hand = (-log(_sigmoid(1.5)) - log(1 - _sigmoid(-0.5))) / 2
    known = torch.tensor([1, 0, 255], dtype=torch.uint8)
    assert presence_loss(logits, known).item() == pytest.approx(by_hand, abs=1e-6)
    assert presence_loss(logits, torch.full((3,), 255, dtype=torch.uint8)).item() == 0.0


def test_quality_is_held_against_the_iou_that_was_reached() -> None:
    # Marked and changed: 2 pixels; marked and not: 0 (the fourth is unknown). IoU 1.
    # The second query marks one of two changed pixels and one wrong one: IoU 1 / 3.
    logits = torch.cat([LOGITS, torch.tensor([[[1.0, 1.0], [-1.0, -1.0]]])])
    truth = torch.cat([TRUTH, torch.tensor([[[1, 0], [1, 0]]], dtype=torch.uint8)])
    quality = torch.tensor([0.5, 0.5])
    by_hand = (0.5**2 + (0.5 - 1 / 3) ** 2) / 2
    assert quality_loss(quality, logits, truth).item() == pytest.approx(by_hand, abs=1e-6)
    nothing = torch.zeros_like(truth)
    assert quality_loss(quality, logits, nothing).item() == 0.0


def test_partial_labels_ask_for_the_set_and_not_for_one_of_it() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1).repeat(1, 1, 1, 3)
    allowed = torch.tensor([[1, 1, 1], [0, 1, 1], [0, 0, 1]], dtype=torch.bool).view(1, 3, 1, 3)
    # Columns: one class is left, two are, all three are.
    assert allowed[0, :, 0].T.tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    total = exp(1) + exp(2) + exp(3)
    by_hand = (-log(exp(1) / total) - log((exp(1) + exp(2)) / total)) / 2
    assert partial_label_loss(logits, allowed).item() == pytest.approx(by_hand, abs=1e-5)
    assert partial_label_loss(logits, torch.ones_like(allowed)).item() == 0.0
