"""The three networks: what they take, and how they start from the image backbone's weights."""

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from benchmarks.baselines.nets import NETS, BinaryChangeNet
from reasoncd.errors import InvalidInputError
from training.importers.imagenet import TIMM_MODEL

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def backbone() -> dict[str, Tensor]:
    torch.manual_seed(0)
    state: dict[str, Tensor] = timm.create_model(TIMM_MODEL, pretrained=False).state_dict()
    return state


@pytest.mark.parametrize("name", NETS)
def test_sides_of_any_length_are_taken(name: str, backbone: dict[str, Tensor]) -> None:
    net = BinaryChangeNet(name)
    net.load_backbone(backbone)
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 33, 3), dtype=np.uint8)
    images.setflags(write=False)
    found = net.probability(images)
    assert found.shape == (40, 33)
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1


@pytest.mark.parametrize("name", NETS)
def test_every_weight_learns(name: str, backbone: dict[str, Tensor]) -> None:
    net = BinaryChangeNet(name).train()
    net.load_backbone(backbone)
    torch.manual_seed(1)
    net(torch.randint(0, 256, (2, 2, 3, 64, 64))).square().mean().backward()
    still = {n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    # The bias of the deepest features, after which nothing is cut off, leaves every difference as it is.
    cancels = {"net.encoder.model.blocks.6.0.bn3.bias"} if name == "FC-Siam-diff" else set()
    assert still == cancels


def test_dates_stacked_start_from_the_same_features(backbone: dict[str, Tensor]) -> None:
    one, both = BinaryChangeNet("FC-Siam-diff"), BinaryChangeNet("FC-EF")
    for net in (one, both):
        net.load_backbone(backbone)
    image = torch.rand(1, 3, 32, 32)
    alone = one.net.encoder.model.conv_stem(image)
    twice = both.net.encoder.model.conv_stem(torch.cat([image, image], dim=1))
    assert torch.allclose(alone, twice, atol=1e-5)
    assert torch.equal(one.net.encoder.model.conv_stem.weight, backbone["conv_stem.weight"]), (
        "the given weights are taken as they are"
    )


def test_the_order_of_the_dates_is_seen(backbone: dict[str, Tensor]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    # FC-EF begins with equal weights for both dates and has to learn their order.
    for name in ("FC-Siam-conc", "FC-Siam-diff"):
        torch.manual_seed(0)
        net = BinaryChangeNet(name)
        net.load_backbone(backbone)
        assert not np.allclose(net.probability(images), net.probability(images[::-1]), atol=1e-6), name


def test_weights_of_another_backbone_are_refused(backbone: dict[str, Tensor]) -> None:
    lacking = {name: value for name, value in backbone.items() if name != "blocks.0.0.conv_dw.weight"}
    with pytest.raises(InvalidInputError, match=r"lack blocks\.0\.0\.conv_dw\.weight; give those of"):
        BinaryChangeNet("FC-EF").load_backbone(lacking)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="'UNet' is unknown; give one of FC-EF"):
        BinaryChangeNet("UNet")
