from dataclasses import replace
from typing import Any

import pytest
import torch
from segment_anything.modeling.common import LayerNorm2d

from reasoncd.ontology import TARGETS
from services.mask_decoder.config import MaskDecoderConfig, mini, paper_tiny
from services.mask_decoder.model import (
    ChangeMaskDecoder,
    ChannelLayerNorm,
    OppositePrompts,
    Prompts,
    mask_peaks,
)

pytestmark = pytest.mark.unit


def test_channel_layer_norm_is_sams() -> None:
    torch.manual_seed(0)
    ours, theirs = ChannelLayerNorm(6), LayerNorm2d(6)
    with torch.no_grad():
        ours.weight.normal_()
        ours.bias.normal_()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, 3, 5) * 4 + 2
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", [paper_tiny(), replace(mini(), image_size=64, grid_size=16)])
def test_shapes(config: MaskDecoderConfig) -> None:
    torch.manual_seed(0)
    decoder = ChangeMaskDecoder(config).eval()
    fused = torch.randn(2, config.embed_dim, config.grid_size, config.grid_size)
    with torch.no_grad():
        out = decoder(fused, Prompts(seg=torch.randn(3, config.embed_dim)), torch.tensor([0, 1, 1]))
    assert out.mask_logits.shape == (3, config.mask_size, config.mask_size)
    assert out.quality.shape == out.presence_logits.shape == (3,)
    assert decoder.to_input_size(out.mask_logits).shape == (3, config.image_size, config.image_size)


def test_points_without_labels_are_refused() -> None:
    decoder = ChangeMaskDecoder(paper_tiny())
    prompts = Prompts(seg=torch.randn(1, 32), points=torch.zeros(1, 1, 2))
    with pytest.raises(ValueError, match="point_labels"):
        decoder(torch.randn(1, 32, 8, 8), prompts, torch.tensor([0]))


def test_every_learned_part_of_one_mask_gets_a_gradient() -> None:
    torch.manual_seed(0)
    decoder = ChangeMaskDecoder(paper_tiny())
    fused, seg = torch.randn(1, 32, 8, 8, requires_grad=True), torch.randn(1, 32, requires_grad=True)
    out = decoder(fused, Prompts(seg=seg), torch.tensor([0]))
    (out.mask_logits.sum() + out.quality.sum() + out.presence_logits.sum()).backward()
    assert fused.grad is not None
    assert seg.grad is not None
    assert fused.grad.abs().sum() > 0
    assert seg.grad.abs().sum() > 0
    assert all(p.grad is not None for p in decoder.presence_head.parameters())


@pytest.mark.parametrize(
    ("change", "said"),
    [({"embed_dim": 36}, "multiple of 8"), ({"num_heads": 5}, "num_heads"), ({"grid_size": 7}, "grid_size")],
)
def test_impossible_sizes_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(paper_tiny(), **change)


def test_peaks_are_means_of_the_highest_logits() -> None:
    logits = torch.full((2, 64, 64), -10.0)
    logits[0, 3, 5:9] = 20.0
    peaks = mask_peaks(logits)
    assert peaks[1].tolist() == pytest.approx([-1.0] * 4)
    means = [(4 * 20.0 - (count - 4) * 10.0) / count for count in (4, 32, 256, 2048)]
    assert peaks[0].tolist() == pytest.approx([0.1 * mean for mean in means], abs=1e-5)
    # Of a mask with fewer pixels than that: all of them.
    assert mask_peaks(logits[:1, :8, :8])[0, 3].item() == pytest.approx((3 * 20 - 61 * 10) / 640)


def test_presence_may_read_the_mask_and_does_not_draw_it() -> None:
    torch.manual_seed(0)
    config = replace(paper_tiny(), presence_reads_mask=True)
    decoder = ChangeMaskDecoder(config)
    fused, prompts = torch.randn(1, 32, 8, 8), Prompts(seg=torch.randn(1, 32))
    with torch.no_grad():
        before = decoder(fused, prompts, torch.tensor([0]))
        for parameter in decoder.mask_decoder.output_hypernetworks_mlps[0].parameters():
            parameter.mul_(3)
        after = decoder(fused, prompts, torch.tensor([0]))
    assert not torch.equal(before.presence_logits, after.presence_logits)
    decoder(fused, prompts, torch.tensor([0])).presence_logits.sum().backward()
    drawing = decoder.mask_decoder.output_hypernetworks_mlps[0].parameters()
    assert all(p.grad is None or not p.grad.any() for p in drawing)


def _in_both_orders() -> ChangeMaskDecoder:
    torch.manual_seed(0)
    decoder = ChangeMaskDecoder(replace(paper_tiny(), both_orders=True)).eval()
    decoder.opposites = OppositePrompts(torch.randn(len(TARGETS), 32))
    return decoder


def test_an_opposite_prompt_is_that_of_the_exchanged_dates() -> None:
    torch.manual_seed(0)
    opposites = OppositePrompts(torch.randn(len(TARGETS), 32))
    rows = {target.key: row for row, target in enumerate(TARGETS)}
    for key, other in (
        ("water.gain", "water.loss"),
        ("water.loss", "water.gain"),
        ("road.change", "road.change"),
        ("water>road", "road>water"),
    ):
        near = opposites.table[rows[key]] + 0.05
        torch.testing.assert_close(opposites(near[None])[0], opposites.table[rows[other]] + 0.05)
        torch.testing.assert_close(opposites(opposites(near[None]))[0], near)


def test_exchanged_dates_and_the_opposite_question_give_the_same_answer() -> None:
    decoder = _in_both_orders()
    handed, seg, where = torch.randn(1, 2, 32, 8, 8), torch.randn(2, 32), torch.tensor([0, 0])
    assert decoder.opposites is not None
    with torch.no_grad():
        one = decoder.answer(handed, Prompts(seg=seg), where)
        other = decoder.answer(handed.flip(1), Prompts(seg=decoder.opposites(seg)), where)
        alone = decoder(handed[:, 0], Prompts(seg=seg), where)
    for name in ("mask_logits", "quality", "presence_logits"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(getattr(one, name), getattr(alone, name), atol=1e-4)


def test_one_order_is_answered_as_it_is_trained() -> None:
    torch.manual_seed(0)
    decoder = ChangeMaskDecoder(paper_tiny()).eval()
    fused, prompts = torch.randn(1, 32, 8, 8), Prompts(seg=torch.randn(1, 32))
    with torch.no_grad():
        served, trained = (f(fused, prompts, torch.tensor([0])) for f in (decoder.answer, decoder.forward))
    assert torch.equal(served.mask_logits, trained.mask_logits)


def test_both_orders_need_the_table_and_keep_it_out_of_the_weights() -> None:
    decoder = ChangeMaskDecoder(replace(paper_tiny(), both_orders=True))
    with pytest.raises(ValueError, match="table of prompts"):
        decoder.answer(torch.randn(1, 2, 32, 8, 8), Prompts(seg=torch.randn(1, 32)), torch.tensor([0]))
    assert _in_both_orders().state_dict().keys() == ChangeMaskDecoder(paper_tiny()).state_dict().keys()
