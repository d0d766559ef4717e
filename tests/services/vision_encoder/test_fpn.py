from dataclasses import replace

import pytest
import torch
from torch import nn

from services.vision_encoder.config import mini, paper, paper_tiny
from services.vision_encoder.fpn import BackboneFpn

pytestmark = pytest.mark.unit


def test_resnet34_has_the_papers_channels_and_strides() -> None:
    with torch.device("meta"):
        fpn = BackboneFpn(paper().fpn)
        levels = fpn(torch.zeros(1, 3, 256, 256))
    info = fpn.backbone.feature_info
    assert info.channels() == [64, 64, 128, 256, 512]  # type: ignore[operator, union-attr]
    assert info.reduction() == [2, 4, 8, 16, 32]  # type: ignore[operator, union-attr]
    assert [tuple(level.shape) for level in levels] == [(1, 256, 256 // s, 256 // s) for s in (4, 8, 16, 32)]


def test_detail_stands_before_the_pyramid() -> None:
    with torch.device("meta"):
        fpn = BackboneFpn(mini().fpn)
        levels = fpn(torch.zeros(1, 3, 64, 64))
    assert fpn.detail_channels == levels[0].shape[1]
    assert [64 // level.shape[-1] for level in levels] == [2, 4, 8, 16, 32]


def test_mini_uses_the_variant_with_tensorflows_padding_and_epsilon() -> None:
    with torch.device("meta"):
        fpn = BackboneFpn(mini().fpn)
    norms = [m for m in fpn.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} == {1e-3}


def test_backbone_statistics_stay_put_in_training() -> None:
    fpn = BackboneFpn(paper_tiny().fpn).train()
    before = {k: v.clone() for k, v in fpn.backbone.state_dict().items() if "running" in k}
    fpn(torch.rand(2, 3, 64, 64) * 255)
    assert all(torch.equal(v, fpn.backbone.state_dict()[k]) for k, v in before.items())
    assert fpn.pyramid.training


def test_normalisation_is_the_configurations() -> None:
    torch.manual_seed(0)
    fpn = BackboneFpn(paper_tiny().fpn).eval()
    other = BackboneFpn(replace(paper_tiny().fpn, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))).eval()
    other.load_state_dict(fpn.state_dict())
    images = torch.rand(1, 3, 64, 64) * 255
    mean = torch.tensor(paper_tiny().fpn.mean).view(3, 1, 1)
    std = torch.tensor(paper_tiny().fpn.std).view(3, 1, 1)
    with torch.no_grad():
        for a, b in zip(fpn(images), other((images / 255 - mean) / std * 255), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
