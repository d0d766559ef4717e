"""ImageNet weights of EfficientNet-Lite0, from which the image backbone's training starts.

They come as a pickle in another project's names. It is read here alone, with
`weights_only=True`, in training alone; what training writes is safetensors.
"""

import shutil
from pathlib import Path

import torch

from reasoncd.base_models import Progress, cached_base_model, downloaded, install_base, known_base_model
from reasoncd.errors import CorruptDataError, NotFoundError
from reasoncd.folders import sha256_of

NAME = "efficientnet-lite0-imagenet"
TIMM_MODEL = "tf_efficientnet_lite0"
"""The weights follow TensorFlow's padding and batch-norm epsilon, so they belong to this variant.

`efficientnet_lite0` has the same keys and shapes, loads without a complaint, and computes something else."""
MEAN = STD = (0.5, 0.5, 0.5)
"""Normalisation of inputs in [0, 1], per channel."""

_STAGE_DEPTHS = (1, 2, 2, 3, 3, 4, 1)
_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def fetch_weights(*, progress: Progress | None = None) -> Path:
    """Make sure that the weights lie in the cache, whole; only the first call downloads.

    Returns:
        The path of the weights file.

    Raises:
        NotFoundError, CorruptDataError, OutputError: as `reasoncd.base_models.downloaded`.
    """
    model = known_base_model(NAME)
    folder = cached_base_model(model)
    if folder is None:
        with downloaded(model, progress=progress) as source:
            folder = install_base(model.ref, lambda new: shutil.copyfile(source, new / source.name))
    return folder / Path(model.member).name


def load_efficientnet_lite0(path: Path) -> dict[str, torch.Tensor]:
    """Read the weights under timm's names for `TIMM_MODEL`.

    Args:
        path: the file that `fetch_weights` returned.

    Returns:
        296 tensors, classifier included, float32 (counters int64), on the CPU.

    Raises:
        NotFoundError: there is no such file.
        CorruptDataError: its bytes are not those of the known weights.
    """
    if not path.is_file():
        raise NotFoundError(f"{path} is not there; call `fetch_weights` first")
    # The hash comes first, so that no other pickle is ever looked into.
    if sha256_of(path) != known_base_model(NAME).ref.sha256:
        raise CorruptDataError(f"{path} does not hold the known ImageNet weights; fetch them again")
    source: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return {_timm_name(name): tensor for name, tensor in source.items()}


def _timm_name(name: str) -> str:
    *block, layer, field = name.split(".")
    if not block:
        return f"{_OUTER[layer]}.{field}"
    stage, index = 0, int(block[1])
    names = _SEPARABLE if index == 0 else _INVERTED
    while index >= _STAGE_DEPTHS[stage]:
        index -= _STAGE_DEPTHS[stage]
        stage += 1
    return f"blocks.{stage}.{index}.{names[layer]}.{field}"
