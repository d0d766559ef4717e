"""The two frozen encoders of the sample stage, asked image by image, and what they said before.

N patch tokens and C channels of CLIP, c, h, w the map of SAM, S the side that SAM takes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from reasoncd.config import to_dict
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.config import VisionEncoderConfig
from services.vision_encoder.sam import SamImageEncoder
from training.samples.feature_cache import FeatureCache, fingerprint_of, key_of
from training.stages.precision import Precision, autocast

_KEPT_AS = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFeatures:
    """What the frozen encoders say of one image."""

    clip_tokens: Tensor
    """(N, C)."""
    sam_map: Tensor
    """(c, h, w)."""


class FrozenFeatures:
    """CLIP and SAM, in evaluation mode, with a memory.

    Args:
        clip: frozen.
        sam: frozen.
        config: of both.
        precision: in which they compute, and in which their features are kept.
        cache: None keeps nothing.
    """

    def __init__(
        self,
        clip: ClipPatchEncoder,
        sam: SamImageEncoder,
        config: VisionEncoderConfig,
        precision: Precision,
        cache: FeatureCache | None = None,
    ) -> None:
        self._clip = clip
        self._sam = sam
        self._side = config.image_size
        self._precision = precision
        self._cache = cache
        self.computed = 0
        """Images that were encoded, and not found."""

    @torch.no_grad()
    def of(self, image: NDArray[np.uint8]) -> ImageFeatures:
        """The features of one image (H, W, 3), RGB 0-255, any size, on the CPU."""
        key = key_of(image)
        found = self._cache.get(key) if self._cache is not None else None
        if found is None:
            found = self._encode(image)
            self.computed += 1
            if self._cache is not None:
                self._cache.put(key, found)
        return ImageFeatures(clip_tokens=found["clip"], sam_map=found["sam"])

    def _encode(self, image: NDArray[np.uint8]) -> dict[str, Tensor]:
        # Not `eval()`: the stage, whose members they are, switches modes; neither has a layer that cares.
        device = self._clip.mean.device
        whole = to_tensor(image).to(device)[None]
        square = to_tensor(resized(image, self._side)).to(device)[None]
        with autocast(device, self._precision):
            tokens, sam = self._clip(whole)[0], self._sam(square)[0]
        kept = _KEPT_AS[self._precision]
        return {"clip": tokens.to("cpu", kept), "sam": sam.to("cpu", kept)}


def encoders_fingerprint(
    clip: ClipPatchEncoder, sam: SamImageEncoder, config: VisionEncoderConfig, precision: Precision
) -> str:
    """What features follow from, beside the image."""
    sizes = {"image_size": config.image_size, "clip": to_dict(config.clip), "sam": to_dict(config.sam)}
    return fingerprint_of({"clip": clip, "sam": sam}, {**sizes, "precision": precision})


def resized(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An image (H, W, 3) as a square of `side` pixels, bilinear; as it is where it is one."""
    if image.shape[:2] == (side, side):
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR), dtype=np.uint8)


def to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) -> uint8 (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
