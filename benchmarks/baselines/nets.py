"""The supervised binary networks that the model is compared with: FC-EF, FC-Siam-conc, FC-Siam-diff.

The three ways of Daudt et al. (ICIP 2018) to let a U-Net see two dates: stacked at the input, or read apart
by one encoder whose features are joined or subtracted at every scale. The two Siamese ones are torchgeo's;
for the stacked one torchgeo takes the plain U-Net below them, with six channels, and so does this module.
All stand on the image backbone of `mini`, with the same ImageNet weights, so that what is compared is what
was built on top.

B pairs, T = 2 dates, H, W pixels. It does not know how they are trained or measured.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from reasoncd.errors import InvalidInputError
from training.importers.imagenet import MEAN, STD, TIMM_MODEL
from training.stages.precision import keep_depthwise_in_float32

NETS = ("FC-EF", "FC-Siam-conc", "FC-Siam-diff")
_STRIDE = 32
"""Of the deepest features: sides are filled up to a multiple of it."""
_STEM = "conv_stem.weight"


class BinaryChangeNet(nn.Module):
    """One of the networks, from images as they are read to logits of "changed".

    Args:
        name: one of `NETS`.

    Raises:
        InvalidInputError: there is no such network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in NETS:
            raise InvalidInputError(f"network {name!r} is unknown; give one of {', '.join(NETS)}")
        self.name = name
        self.net = _built(name)
        keep_depthwise_in_float32(self.net.encoder)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1) * 255, persistent=False)

    def load_backbone(self, state: dict[str, Tensor]) -> None:
        """Start from ImageNet weights (timm's names, the classifier may be there).

        Raises:
            InvalidInputError: an entry that the backbone needs is not there.
        """
        backbone = self.net.encoder.model
        own = backbone.state_dict()
        lacking = [name for name in own if name not in state]
        if lacking:
            raise InvalidInputError(f"backbone weights lack {lacking[0]}; give those of {TIMM_MODEL}")
        found = {name: state[name] for name in own}
        # Both dates at the input: each gets half of the weights, so the first features keep their size.
        dates = own[_STEM].shape[1] // found[_STEM].shape[1]
        found[_STEM] = found[_STEM].repeat(1, dates, 1, 1) / dates
        backbone.load_state_dict(found)

    def forward(self, images_BTCHW: Tensor) -> Tensor:
        """Images (B, T, 3, H, W) in 0-255 -> logits (B, H, W), float32."""
        height, width = images_BTCHW.shape[-2:]
        images = (images_BTCHW.float() - self.mean) / self.std
        below, right = -height % _STRIDE, -width % _STRIDE
        if below or right:
            padded = F.pad(images.flatten(0, 1), (0, right, 0, below), mode="replicate")
            images = padded.view(-1, 2, *padded.shape[1:])
        x = images.flatten(1, 2) if self.name == "FC-EF" else images
        logits: Tensor = self.net(x)
        return logits[:, 0, :height, :width].float()

    @torch.no_grad()
    def probability(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images (T, H, W, 3), RGB 0-255 -> probability of change (H, W), in evaluation mode."""
        self.eval()
        # A copy, since arrays that are read from files may refuse to be written, which torch warns of.
        batch = torch.from_numpy(images.copy()).permute(0, 3, 1, 2)[None]
        found = torch.sigmoid(self(batch.to(self.mean.device)))[0].cpu().numpy()
        return np.asarray(found, dtype=np.float32)


def _built(name: str) -> Any:
    # Here, since torchgeo takes seconds to import.
    import segmentation_models_pytorch as smp
    from torchgeo.models import FCSiamConc, FCSiamDiff

    encoder: dict[str, Any] = {"encoder_name": f"tu-{TIMM_MODEL}", "encoder_weights": None, "classes": 1}
    if name == "FC-EF":
        return smp.Unet(in_channels=6, **encoder)
    return {"FC-Siam-conc": FCSiamConc, "FC-Siam-diff": FCSiamDiff}[name](in_channels=3, **encoder)
