"""The fusion's formulas, computed a second time by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from services.vision_encoder.config import FusionConfig, paper_tiny
from services.vision_encoder.fusion import ChannelAttention, MultiScaleFusion, ToGrid, context, feed_forward
from services.vision_encoder.model import ChangeFeatureEncoder

pytestmark = pytest.mark.unit


def _fusion(multi_scale: bool = True) -> MultiScaleFusion:
    torch.manual_seed(0)
    return MultiScaleFusion(
        FusionConfig(multi_scale=multi_scale, reduction=2, hidden=10),
        levels=[(6, 4), (6, 8), (6, 16), (6, 32)],
        level_width=6,
        sam_channels=5,
        grid_stride=8,
        out_channels=7,
    ).eval()


def test_channel_attention_follows_the_papers_formula() -> None:
    torch.manual_seed(0)
    attention = ChannelAttention(16, 2)
    x = torch.randn(2, 16, 5, 4)
    first, last = attention.mlp[0], attention.mlp[2]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    w1, b1, w2, b2 = (p.detach().numpy() for p in (first.weight, first.bias, last.weight, last.bias))
    values = x.numpy()

    def mlp(v: np.ndarray) -> np.ndarray:
        return np.maximum(v @ w1.T + b1, 0) @ w2.T + b2

    score = 1 / (1 + np.exp(-(mlp(values.mean((2, 3))) + mlp(values.max((2, 3))))))
    expected = values * score[:, :, None, None]
    np.testing.assert_allclose(attention(x).detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_feed_forward_is_conv_norm_gelu_twice() -> None:
    layers = feed_forward(4, 6, 3)
    assert [type(layer) for layer in layers] == 2 * [nn.Conv2d, nn.BatchNorm2d, nn.GELU]
    convs = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert all(conv.kernel_size == (1, 1) and conv.stride == (1, 1) for conv in convs)


def test_feed_forward_by_hand() -> None:
    torch.manual_seed(0)
    layers = feed_forward(4, 6, 3).eval()
    x = torch.randn(1, 4, 2, 2)
    expected = x
    for conv, norm in ((layers[0], layers[1]), (layers[3], layers[4])):
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        y = torch.einsum("oc,bchw->bohw", conv.weight[:, :, 0, 0], expected)
        mean, var = norm.running_mean[:, None, None], norm.running_var[:, None, None]
        y = (y - mean) / (var + norm.eps).sqrt()
        expected = y * 0.5 * (1 + torch.erf(y / 2**0.5))
    torch.testing.assert_close(layers(x), expected)


def test_finer_levels_reach_the_grid_without_averaging() -> None:
    to_grid = ToGrid(1, 1, stride=4, grid_stride=16)
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, ::2, ::2], x[0, 0, 1::2, 1::2] = 1.0, 1.0
    x[0, 0, ::2, 1::2], x[0, 0, 1::2, ::2] = -1.0, -1.0
    with torch.no_grad():
        flat = to_grid(torch.zeros_like(x), (2, 2))
        checked = to_grid(x, (2, 2))
    assert F.avg_pool2d(x, 4).abs().max() == 0  # An average would not see this pattern.
    assert (checked - flat).abs().min() > 1e-3


def test_every_pixel_of_a_finer_level_reaches_its_own_cell_alone() -> None:
    to_grid = ToGrid(1, 1, stride=4, grid_stride=8)
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    to_grid(x, (2, 2))[0, 0, 0, 1].backward()
    assert x.grad is not None
    touched = x.grad[0, 0] != 0
    expected = torch.zeros(4, 4, dtype=torch.bool)
    expected[:2, 2:] = True
    assert torch.equal(touched, expected)


def test_coarser_levels_are_interpolated() -> None:
    x = torch.randn(1, 3, 2, 2)
    expected = F.interpolate(x, (8, 8), mode="bilinear", align_corners=False)
    assert torch.equal(ToGrid(3, 3, stride=32, grid_stride=8)(x, (8, 8)), expected)


def test_dates_are_weighed_alone_and_then_together() -> None:
    fusion = _fusion()
    torch.manual_seed(1)
    sams = [torch.randn(1, 5, 4, 4) for _ in range(2)]
    levels = [[torch.randn(1, 6, 64 // s, 64 // s) for s in (4, 8, 16, 32)] for _ in range(2)]
    with torch.no_grad():
        dates = []
        for sam, level in zip(sams, levels, strict=True):
            maps = [m(x, (8, 8)) for m, x in zip(fusion.to_grid, level, strict=True)]
            sam_there = F.interpolate(sam, (8, 8), mode="bilinear", align_corners=False)
            dates.append(fusion.date_attention(torch.cat([*maps, sam_there], 1)))
        expected = fusion.ffn(fusion.pair_attention(torch.cat(dates, 1)))
        got = [fusion.fuse_date(s, lv, (8, 8)) for s, lv in zip(sams, levels, strict=True)]
        torch.testing.assert_close(fusion.fuse_pair(torch.stack(got, 1)), expected)
    assert expected.shape == (1, 7, 8, 8)


def test_order_of_the_dates_matters() -> None:
    fusion = _fusion()
    torch.manual_seed(1)
    dates = torch.randn(1, 2, fusion.date_channels, 8, 8)
    with torch.no_grad():
        assert not torch.allclose(fusion.fuse_pair(dates), fusion.fuse_pair(dates.flip(1)), atol=1e-3)


def test_ablation_is_sam_maps_and_ffn_alone() -> None:
    config = paper_tiny()
    torch.manual_seed(0)
    encoder = ChangeFeatureEncoder(replace(config, fusion=replace(config.fusion, multi_scale=False))).eval()
    prefixes = {key.split(".")[0] + "." + key.split(".")[1] for key in encoder.state_dict()}
    assert prefixes == {"sam.encoder", "fusion.ffn"}
    assert encoder.fpn is None
    assert not [m for m in encoder.modules() if isinstance(m, ChannelAttention)]
    images = torch.rand(1, 2, 3, 128, 128) * 255
    with torch.no_grad():
        sams = torch.cat([encoder.sam(images[:, 0]), encoder.sam(images[:, 1])], 1)
        torch.testing.assert_close(encoder(images), encoder.fusion.ffn(sams), rtol=1e-4, atol=1e-5)


def test_context_changes_nothing_until_it_has_learned_and_then_looks_around() -> None:
    torch.manual_seed(0)
    layers = context(8, 2)
    x = torch.randn(1, 8, 16, 16)
    assert torch.equal(layers(x), x)
    with torch.no_grad():
        for name, parameter in layers.named_parameters():
            if name.endswith("fc2.weight"):
                nn.init.normal_(parameter)
        moved = x.clone()
        moved[0, :, 8, 8] += 1
        reached = (layers(moved) - layers(x)).abs().sum(1)[0] > 1e-5
    # Two kernels of 7 reach six cells each way, and no farther.
    assert reached[2:15, 2:15].all()
    assert not reached[:2].any() and not reached[:, 15:].any()


def test_context_is_none_unless_it_is_asked_for() -> None:
    assert not any(name.startswith("context.") for name in _fusion().state_dict())
