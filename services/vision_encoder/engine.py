"""The vision encoder as the pipeline sees it: uint8 images in, bfloat16 features out.

A pure function of pixels and weights: no cache, no state. It does not know protobuf, nor who keeps
the features. T = 2 dates, S the side of the square input.
"""

from collections.abc import Collection
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from reasoncd import __version__
from reasoncd.checkpoint import Checkpoint
from reasoncd.config import from_dict
from reasoncd.errors import CheckpointError, InvalidInputError
from reasoncd.ports import Description, TensorShape
from reasoncd.tensors import Tensor
from services.vision_encoder.clip import ClipPatchEncoder
from services.vision_encoder.config import VisionEncoderConfig
from services.vision_encoder.model import ChangeFeatureEncoder
from services.vision_encoder.speedups import Bfloat16, computes_bfloat16, fold_batch_norms
from services.vision_encoder.weights import CHANGE_FEATURES, CLIP, load_change_features, load_clip
from services.wire import from_torch

Part = Literal["clip", "change_features"]
PARTS: tuple[Part, ...] = get_args(Part)
"""The two halves; each can be served alone."""

SamDType = Literal["auto", "float32", "bfloat16"]


class VisionEncoderEngine:
    """Implements `reasoncd.ports.VisionEncoder`.

    Args:
        clip: answers `encode_for_reasoning`; None where this engine does not. Taken over.
        change_features: answers `encode_for_decoding`; None where this engine does not. Taken over and
            changed in place, see `speedups`.
        description: who the service is.
        device: where it computes.
        sam_dtype: of the matrix products in SAM's transformer, the dearest part. `auto` is bfloat16
            where the device has instructions for it. All else is float32.
    """

    def __init__(
        self,
        clip: ClipPatchEncoder | None,
        change_features: ChangeFeatureEncoder | None,
        description: Description,
        *,
        device: torch.device | str = "cpu",
        sam_dtype: SamDType = "auto",
    ) -> None:
        self._device = torch.device(device)
        self._description = description
        self._clip = clip
        self._change_features = change_features
        if clip is not None:
            clip.to(self._device).eval().requires_grad_(False)
        if change_features is not None:
            change_features.to(self._device).eval().requires_grad_(False)
            change_features.to(memory_format=torch.channels_last)
            fold_batch_norms(change_features)
            if sam_dtype == "bfloat16" or (sam_dtype == "auto" and computes_bfloat16(self._device)):
                change_features.set_submodule("sam", Bfloat16(change_features.sam))

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        *,
        device: torch.device | str = "cpu",
        parts: Collection[Part] = PARTS,
        sam_dtype: SamDType = "auto",
    ) -> "VisionEncoderEngine":
        """Load the encoder of a checkpoint.

        Args:
            checkpoint: opened.
            device: a torch device.
            parts: the halves to load; a service that answers one call needs one.
            sam_dtype: as above.

        Raises:
            CheckpointError: configuration or weights do not fit.
        """
        section = checkpoint.config("vision_encoder")
        config = from_dict(VisionEncoderConfig, section, where="config.json: vision_encoder")
        description = Description(
            component="vision_encoder",
            version=__version__,
            preset=checkpoint.preset,
            fingerprint=checkpoint.fingerprint("vision_encoder"),
            seg_space=None,
            image_size=config.image_size,
            tensors=(
                TensorShape(
                    name="clip_tokens",
                    dtype="bfloat16",
                    shape=(2, config.clip.token_count, config.clip.width),
                ),
                TensorShape(
                    name="fused_map",
                    dtype="bfloat16",
                    shape=config.fused_shape,
                ),
            ),
        )
        clip = change_features = None
        if "clip" in parts:
            clip = load_clip(checkpoint.safetensors("vision_encoder", CLIP), config)
        if "change_features" in parts:
            path = checkpoint.safetensors("vision_encoder", CHANGE_FEATURES)
            change_features = load_change_features(path, config)
        return cls(clip, change_features, description, device=device, sam_dtype=sam_dtype)

    def describe(self) -> Description:
        """Who this service is."""
        return self._description

    @torch.inference_mode()
    def encode_for_reasoning(self, images: NDArray[np.uint8]) -> Tensor:
        """CLIP's patch tokens of two whole images.

        Args:
            images: uint8 (T, H, W, 3), RGB 0-255, any size; resized to CLIP's own square.

        Returns:
            bfloat16 (T, N, C).

        Raises:
            InvalidInputError: the images have another shape or dtype.
            CheckpointError: this engine was loaded without the half that answers it.
        """
        if self._clip is None:
            raise _not_loaded("clip")
        return from_torch(self._clip(self._to_torch(images)).to(torch.bfloat16))

    @torch.inference_mode()
    def encode_for_decoding(self, images: NDArray[np.uint8]) -> Tensor:
        """The fused map of one pair.

        Args:
            images: uint8 (T, S, S, 3), RGB 0-255.

        Returns:
            bfloat16 (C, h, w), or (2, C, h, w) where the configuration has both orders of the dates.

        Raises:
            InvalidInputError: the images have another shape, size or dtype.
            CheckpointError: this engine was loaded without the half that answers it.
        """
        if self._change_features is None:
            raise _not_loaded("change_features")
        pair = self._to_torch(images)
        side = self._change_features.config.image_size
        if pair.shape[-2:] != (side, side):
            height, width = pair.shape[-2:]
            raise InvalidInputError(
                f"images are {height} x {width} pixels but {side} x {side} are taken; cut or pad them"
            )
        return from_torch(self._change_features.for_decoder(pair[None])[0].to(torch.bfloat16))

    def _to_torch(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """Checked uint8 (T, H, W, 3) -> uint8 (T, 3, H, W) on the device."""
        if images.dtype != np.uint8:
            raise InvalidInputError(f"images have dtype {images.dtype}; give uint8, RGB from 0 to 255")
        if images.ndim != 4 or images.shape[0] != 2 or images.shape[3] != 3 or 0 in images.shape:
            raise InvalidInputError(
                f"images have shape {images.shape}; give (2, height, width, 3), the earlier image first"
            )
        # A copy: torch can neither wrap what is read-only nor what is stored backwards.
        return torch.from_numpy(np.array(images, order="C")).to(self._device).permute(0, 3, 1, 2)


def _not_loaded(part: Part) -> CheckpointError:
    return CheckpointError(f"this vision encoder was loaded without {part}; ask the service that has it")
