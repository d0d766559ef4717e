import copy

import pytest
import timm
import torch

from services.vision_encoder.fusion import feed_forward
from services.vision_encoder.speedups import Bfloat16, computes_bfloat16, fold_batch_norms

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", ["resnet34", "tf_efficientnet_lite0"])
def test_folding_leaves_the_backbones_maps(name: str, shake: object) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, features_only=True, pretrained=False).eval()
    shake(model)  # type: ignore[operator]
    folded = copy.deepcopy(model)
    norms = sum(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
    assert fold_batch_norms(folded) == norms > 30
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(model(x), folded(x), strict=True):
            assert float((a - b).norm() / a.norm()) < 1e-5
            assert float(a.std()) > 0


def test_folding_leaves_the_feed_forward(shake: object) -> None:
    torch.manual_seed(0)
    model = feed_forward(8, 6, 4).eval()
    shake(model)  # type: ignore[operator]
    folded = copy.deepcopy(model)
    assert fold_batch_norms(folded) == 2
    x = torch.randn(2, 8, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-5)


def test_bfloat16_comes_back_as_float32_and_close() -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(64, 64)
    x = torch.randn(8, 64)
    with torch.inference_mode():
        exact, low = linear(x), Bfloat16(linear)(x)
    assert low.dtype == torch.float32
    assert 0 < float((exact - low).norm() / exact.norm()) < 0.01


def test_unknown_devices_keep_float32() -> None:
    assert computes_bfloat16(torch.device("meta")) is False
