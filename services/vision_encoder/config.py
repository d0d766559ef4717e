"""Sizes of the vision encoder, and the three presets that are built from them."""

from dataclasses import dataclass
from typing import Literal

Triple = tuple[float, float, float]

CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipConfig:
    """A CLIP vision transformer, as open_clip builds it."""

    image_size: int
    """Side in pixels to which a whole image is resized."""
    patch_size: int
    width: int
    """Channels C of a patch token."""
    layers: int
    head_width: int = 64
    embed_dim: int
    """Width of the space shared with captions; used by contrastive training only."""
    quick_gelu: bool = False
    """OpenAI's weights were trained with the sigmoid approximation of GELU."""

    def __post_init__(self) -> None:
        if self.image_size % self.patch_size:
            raise ValueError("clip.image_size must be a multiple of clip.patch_size")
        if self.width % self.head_width:
            raise ValueError("clip.width must be a multiple of clip.head_width")
        if self.layers < 2:
            raise ValueError("clip.layers must be at least 2: the penultimate layer is read")

    @property
    def token_count(self) -> int:
        """Patch tokens N of one image."""
        return (self.image_size // self.patch_size) ** 2


@dataclass(frozen=True, kw_only=True, slots=True)
class SamEncoderConfig:
    """SAM's image encoder, as segment-anything builds it."""

    patch_size: int
    embed_dim: int
    depth: int
    num_heads: int
    out_channels: int
    window_size: int
    global_attention: tuple[int, ...]
    """Indices of the blocks that attend to the whole image instead of windows."""

    def __post_init__(self) -> None:
        if self.embed_dim % self.num_heads:
            raise ValueError("sam.embed_dim must be a multiple of sam.num_heads")
        if not all(0 <= block < self.depth for block in self.global_attention):
            raise ValueError(f"sam.global_attention must name blocks from 0 to {self.depth - 1}")


@dataclass(frozen=True, kw_only=True, slots=True)
class FpnConfig:
    """A convolutional backbone with a feature pyramid on top."""

    backbone: Literal["resnet34", "tf_efficientnet_lite0"]
    """A timm model name. The `tf_` variant is the one whose padding the Lite0 weights need."""
    width: int
    """Channels of each pyramid level."""
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    detail: bool = False
    """Hand the stride-2 features to the fusion beside the pyramid, for objects of few pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FusionConfig:
    """Multi-scale feature fusion (paper, section on feature fusion)."""

    multi_scale: bool = True
    """False is the paper's ablation: SAM maps of both dates -> FFN, no pyramid, no attention."""
    reduction: int = 16
    """Bottleneck of the channel attention's shared MLP."""
    hidden: int
    """Channels between the two convolutions of the FFN."""
    context_blocks: int = 0
    """ConvNeXt blocks over the fused map; the paper has none, and compares the dates cell by cell."""

    def __post_init__(self) -> None:
        if self.context_blocks < 0:
            raise ValueError("fusion.context_blocks must not be negative")


@dataclass(frozen=True, kw_only=True, slots=True)
class VisionEncoderConfig:
    """The whole vision encoder."""

    image_size: int
    """Side S of the square that `encode_for_decoding` takes, in pixels."""
    grid_stride: int
    """Input pixels per cell of the fused map; SAM's decoder upsamples it fourfold."""
    out_channels: int
    """Channels of the fused map, the mask decoder's width."""
    clip: ClipConfig
    sam: SamEncoderConfig
    fpn: FpnConfig
    fusion: FusionConfig
    both_orders: bool = False
    """Hand the decoder a second fused map beside the first, of the dates exchanged: it then answers a gain as
    the loss of the other order too, and the two cannot contradict each other. The paper has one map."""

    def __post_init__(self) -> None:
        if self.image_size % self.sam.patch_size or self.image_size % 32:
            raise ValueError("image_size must be a multiple of 32 and of sam.patch_size")
        if self.sam.patch_size % self.grid_stride or self.image_size % self.grid_stride:
            raise ValueError("image_size and sam.patch_size must be multiples of grid_stride")

    @property
    def grid_size(self) -> int:
        """Side of the fused map in cells."""
        return self.image_size // self.grid_stride

    @property
    def fused_shape(self) -> tuple[int, ...]:
        """What the decoder is handed for one pair: (C, h, w), or (2, C, h, w) in both orders."""
        shape = (self.out_channels, self.grid_size, self.grid_size)
        return (2, *shape) if self.both_orders else shape


SamSize = Literal["vit_b", "vit_l", "vit_h"]

_SAM_SHAPES: tuple[tuple[SamSize, int, int, int, tuple[int, ...]], ...] = (
    ("vit_b", 768, 12, 12, (2, 5, 8, 11)),
    ("vit_l", 1024, 24, 16, (5, 11, 17, 23)),
    ("vit_h", 1280, 32, 16, (7, 15, 23, 31)),
)
_SAM: dict[SamSize, SamEncoderConfig] = {
    name: SamEncoderConfig(
        patch_size=16,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        out_channels=256,
        window_size=14,
        global_attention=blocks,
    )
    for name, width, depth, heads, blocks in _SAM_SHAPES
}


def paper(sam: SamSize = "vit_h") -> VisionEncoderConfig:
    """The paper's encoder: CLIP ViT-L/14, SAM at 1024 px, ResNet34-FPN."""
    return VisionEncoderConfig(
        image_size=1024,
        grid_stride=16,
        out_channels=256,
        clip=ClipConfig(image_size=224, patch_size=14, width=1024, layers=24, embed_dim=768, quick_gelu=True),
        sam=_SAM[sam],
        fpn=FpnConfig(backbone="resnet34", width=256),
        fusion=FusionConfig(hidden=512),
    )


def paper_tiny() -> VisionEncoderConfig:
    """The paper's code path at a size for tests: 256 CLIP tokens an image, ResNet34-FPN."""
    return VisionEncoderConfig(
        image_size=128,
        grid_stride=16,
        out_channels=32,
        clip=ClipConfig(
            image_size=64, patch_size=4, width=32, layers=3, head_width=16, embed_dim=16, quick_gelu=True
        ),
        sam=SamEncoderConfig(
            patch_size=16,
            embed_dim=32,
            depth=2,
            num_heads=2,
            out_channels=32,
            window_size=4,
            global_attention=(1,),
        ),
        fpn=FpnConfig(backbone="resnet34", width=32),
        fusion=FusionConfig(hidden=64),
    )


def mini() -> VisionEncoderConfig:
    """What a laptop runs: EfficientNet-Lite0 pyramid, small CLIP and SAM encoders, stride 4."""
    return VisionEncoderConfig(
        image_size=256,
        grid_stride=4,
        out_channels=96,
        clip=ClipConfig(image_size=128, patch_size=32, width=128, layers=5, head_width=32, embed_dim=128),
        sam=SamEncoderConfig(
            patch_size=16,
            embed_dim=128,
            depth=4,
            num_heads=4,
            out_channels=48,
            window_size=8,
            global_attention=(1, 3),
        ),
        fpn=FpnConfig(
            backbone="tf_efficientnet_lite0",
            width=48,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            detail=True,
        ),
        fusion=FusionConfig(hidden=192, context_blocks=3),
        both_orders=True,
    )
