"""ImageNet weights: every tensor lands under timm's name for the right variant."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from reasoncd.base_models import base_model_dir, known_base_model
from reasoncd.errors import CorruptDataError, NotFoundError
from training.importers.imagenet import MEAN, NAME, STD, TIMM_MODEL, load_efficientnet_lite0


@pytest.fixture
def real_file() -> Path:
    try:
        return base_model_dir(NAME) / Path(known_base_model(NAME).member).name
    except NotFoundError as error:
        pytest.skip(error.message)


def test_all_tensors_fit_the_model_by_name(real_file: Path) -> None:
    weights = load_efficientnet_lite0(real_file)
    assert len(weights) == 296
    model = timm.create_model(TIMM_MODEL)
    model.load_state_dict(weights, strict=True)
    # Equal shapes could hide swapped names; a trained net keeps its order of depth.
    assert list(weights) == list(model.state_dict())


def test_variant_and_normalisation_are_those_of_the_weights() -> None:
    model: Any = timm.create_model(TIMM_MODEL)
    assert (model.pretrained_cfg["mean"], model.pretrained_cfg["std"]) == (MEAN, STD)
    assert model.bn1.eps == 1e-3
    assert type(model.conv_stem).__name__ == "Conv2dSame"


def test_trained_statistics_fit_the_activations(real_file: Path) -> None:
    """Batch norm after each convolution must see about the variance that it was trained on.

    A wrong order of layers or a wrong normalisation breaks this by orders of magnitude.
    """
    model = timm.create_model(TIMM_MODEL).eval()
    model.load_state_dict(load_efficientnet_lite0(real_file))
    generator = torch.Generator().manual_seed(0)
    # Smooth noise has the falling spectrum of photographs.
    image = torch.zeros(4, 3, 128, 128)
    for side in (4, 8, 16, 32, 64):
        noise = torch.randn(4, 3, side, side, generator=generator)
        image += torch.nn.functional.interpolate(noise, 128, mode="bicubic") / 4
    ratios: dict[torch.nn.Module, float] = {}

    def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(module, torch.nn.BatchNorm2d) and module.running_var is not None
        ratios[module] = (inputs[0].var(dim=(0, 2, 3)) / module.running_var).log().median().exp().item()

    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_pre_hook(hook)
    with torch.inference_mode():
        model(image)
    assert len(ratios) == 49
    assert min(ratios.values()) > 0.02 and max(ratios.values()) < 50


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none\.pth"):
        load_efficientnet_lite0(tmp_path / "none.pth")


def test_code_in_the_pickle_is_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"_fc.weight": Bomb()}))
    with pytest.raises(CorruptDataError, match=r"bomb\.pth does not hold"):
        load_efficientnet_lite0(tmp_path / "bomb.pth")
    assert not (tmp_path / "exploded").exists()


def test_truncated_file(real_file: Path, tmp_path: Path) -> None:
    shutil.copyfile(real_file, tmp_path / "cut.pth")
    with (tmp_path / "cut.pth").open("r+b") as file:
        file.truncate(10_000)
    with pytest.raises(CorruptDataError, match=r"cut\.pth"):
        load_efficientnet_lite0(tmp_path / "cut.pth")
