"""ResNet34 with ImageNet's weights, as torchvision and timm write it."""

from pathlib import Path

import torch

from reasoncd.errors import CheckpointError
from services.vision_encoder.fpn import BackboneFpn
from training.importers.state_files import load_into, read_state

_CLASSIFIER = ("fc.weight", "fc.bias")
_COUNTER = ".num_batches_tracked"


def import_resnet34(path: Path, fpn: BackboneFpn) -> None:
    """Load the backbone; the classifier is left out, the pyramid stays as it is.

    Args:
        path: `resnet34-*.pth`, or timm's safetensors.
        fpn: with backbone `resnet34`.

    Raises:
        NotFoundError, CheckpointError, CorruptDataError: as `read_state` and `load_into`, and where the
            configuration has another backbone.
    """
    if fpn.config.backbone != "resnet34":
        raise CheckpointError(
            f"the configuration's backbone is {fpn.config.backbone}; {path} is for resnet34"
        )
    state = {key: value for key, value in read_state(path).items() if key not in _CLASSIFIER}
    # Files older than torch 0.4.1 lack the batch counters; nothing reads them, since momentum is fixed.
    for key in fpn.backbone.state_dict():
        if key.endswith(_COUNTER) and f"{key.removesuffix(_COUNTER)}.running_mean" in state:
            state.setdefault(key, torch.tensor(0))
    load_into({"": fpn.backbone}, state, where=path)
