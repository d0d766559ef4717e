"""Thresholds and the scaling of the presence and quality heads."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from reasoncd.manifest import Thresholds
from services.mask_decoder.config import paper_tiny as tiny_decoder
from services.mask_decoder.model import ChangeMaskDecoder, Prompts
from services.vision_encoder.config import paper_tiny as tiny_vision
from services.vision_encoder.model import ChangeFeatureEncoder
from training.calibration import (
    EMPTY_SHARE,
    FALSE_REJECTION,
    calibrate,
    evened,
    presence_scaling,
    presence_threshold,
    quality_scaling,
    rescale,
)
from training.data.fixed_pairs import validation_pairs

pytestmark = pytest.mark.unit


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_scaled_presence_is_a_probability() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=4000) * 2
    there = rng.random(4000) < _sigmoid(truth)
    # A head that is three times too sure of itself, and too fond of yes.
    scale, shift = presence_scaling(3 * truth + 2, there)
    assert scale == pytest.approx(1 / 3, rel=0.15)
    assert shift == pytest.approx(-2 / 3, abs=0.15)


def test_scores_that_part_the_two_kinds_stay_finite() -> None:
    logits = np.array([-3.0, -2.0, 2.0, 3.0])
    scale, shift = presence_scaling(logits, logits > 0)
    assert 0 < scale < 10
    assert abs(shift) < 1


def test_one_kind_alone_or_an_upside_down_score_changes_nothing() -> None:
    logits = np.linspace(-1, 1, 8)
    assert presence_scaling(logits, np.ones(8, dtype=bool)) == (1.0, 0.0)
    assert presence_scaling(logits, logits < 0) == (1.0, 0.0)


def test_scaled_quality_is_the_iou_to_expect() -> None:
    rng = np.random.default_rng(1)
    iou = rng.uniform(0, 1, 500)
    scale, shift = quality_scaling(0.2 + 0.5 * iou, iou)
    np.testing.assert_allclose(scale * (0.2 + 0.5 * iou) + shift, iou, atol=1e-9)
    assert quality_scaling(np.array([0.3]), np.array([0.9])) == (1.0, 0.0)
    # A quality that falls while the IoU rises says nothing: the mean remains.
    assert quality_scaling(1 - iou, iou) == pytest.approx((0.0, iou.mean()))


def test_only_the_first_output_is_rescaled() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(4, 3)
    x = torch.randn(5, 4)
    before = layer(x)
    rescale(layer, 2.0, 0.25)
    torch.testing.assert_close(layer(x)[:, 0], 2 * before[:, 0] + 0.25)
    torch.testing.assert_close(layer(x)[:, 1:], before[:, 1:])


def test_the_presence_threshold_empties_the_absent_but_keeps_most_of_the_present() -> None:
    absent, present = np.linspace(0, 0.4, 50), np.linspace(0.3, 1, 50)
    score = np.concatenate([absent, present])
    there = np.repeat([False, True], 50)
    threshold = presence_threshold(score, there)
    assert (absent < threshold).mean() >= EMPTY_SHARE
    # Where the two kinds cannot be told apart, most of the present ones are kept.
    threshold = presence_threshold(np.concatenate([present, present]), there)
    assert (present < threshold).mean() <= FALSE_REJECTION < (present < threshold + 0.02).mean()


@pytest.mark.parametrize("count", [1, 3, 9, 12, 40, 200])
def test_the_presence_threshold_is_the_lowest_that_keeps_its_promise(count: int) -> None:
    rng = np.random.default_rng(count)
    absent, present = rng.uniform(0.0, 0.4, count), rng.uniform(0.6, 1.0, 50)
    there = np.repeat([False, True], [count, 50])
    threshold = presence_threshold(np.concatenate([absent, present]), there)
    assert (absent < threshold).mean() >= EMPTY_SHARE > (absent < threshold - 1e-4).mean()


def test_an_absent_change_at_the_threshold_itself_is_not_emptied() -> None:
    score, there = np.array([0.1234, 0.9]), np.array([False, True])
    assert presence_threshold(score, there) == 0.1235
    # Scores that cannot be emptied at all leave a threshold that can be written.
    assert Thresholds(presence=presence_threshold(np.ones(2), there), probability=0.5).presence == 1.0


def test_the_threshold_does_not_hang_on_how_often_the_easy_absences_occur() -> None:
    easy, hard, present = np.linspace(0, 0.2, 400), np.linspace(0.2, 0.6, 40), np.linspace(0.5, 1, 100)
    score = np.concatenate([easy, hard, present])
    there = np.repeat([False, False, True], [400, 40, 100])
    absences = np.repeat(["nowhere", "opposite", "nowhere"], [400, 40, 100])
    weights = evened(absences, there)
    assert weights[:400].sum() == pytest.approx(weights[400:440].sum()) == pytest.approx(1)
    threshold = presence_threshold(score, there, weights)
    assert ((easy < threshold).mean() + (hard < threshold).mean()) / 2 >= EMPTY_SHARE
    assert (hard < presence_threshold(score, there)).mean() < 0.5


def test_confidence_in_a_corrected_map_is_scaled_like_that_in_others() -> None:
    torch.manual_seed(3)
    config = replace(tiny_decoder(), refines_corrections=True)
    encoder, decoder = ChangeFeatureEncoder(tiny_vision()).eval(), ChangeMaskDecoder(config).eval()
    assert decoder.correction_refiner is not None
    nn.init.normal_(decoder.correction_refiner.quality.weight)
    table, fused = torch.randn(44, config.embed_dim), torch.randn(1, config.embed_dim, 8, 8)
    where = torch.zeros(6, dtype=torch.long)
    points, labels = torch.rand(6, 1, 2) * 127, torch.tensor([[1], [0]] * 3)

    @torch.no_grad()
    def quality() -> torch.Tensor:
        asked = Prompts(seg=table[:6]), Prompts(seg=table[:6], points=points, point_labels=labels)
        return torch.cat([decoder(fused, prompts, where).quality for prompts in asked])

    before = quality()
    calibrate(encoder, decoder, table, validation_pairs("scene", "validation", 6, 9, size=128).pairs)
    after = quality()
    slope = (after[1:] - after[0]) / (before[1:] - before[0])
    assert (slope[0] - 1).abs() > 0.05
    torch.testing.assert_close(slope, slope[:1].expand_as(slope), rtol=1e-2, atol=1e-2)


def test_heads_are_changed_as_the_thresholds_were_chosen() -> None:
    torch.manual_seed(3)
    encoder, decoder = ChangeFeatureEncoder(tiny_vision()).eval(), ChangeMaskDecoder(tiny_decoder()).eval()
    table = torch.randn(44, tiny_decoder().embed_dim)
    pairs = validation_pairs("scene", "validation", 6, 9, size=128).pairs
    fused = torch.randn(1, tiny_decoder().embed_dim, 8, 8)

    def heads() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            out = decoder(fused, Prompts(seg=table[:6]), torch.zeros(6, dtype=torch.long))
        return out.mask_logits, out.presence_logits, out.quality

    before = heads()
    found = calibrate(encoder, decoder, table, pairs)
    after = heads()
    assert 0 <= found.thresholds.presence <= 1
    assert 0 <= found.empty <= 1
    assert 0 <= found.kept <= 1
    # Maps stay; presence and quality are affine in what they were.
    torch.testing.assert_close(after[0], before[0])
    for one, two in zip(before[1:], after[1:], strict=True):
        slope = (two[1:] - two[0]) / (one[1:] - one[0])
        torch.testing.assert_close(slope, slope[:1].expand_as(slope), rtol=1e-2, atol=1e-2)
