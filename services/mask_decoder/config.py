"""Sizes of the mask decoder, and the three presets that are built from them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskDecoderConfig:
    """SAM's prompt encoder and mask decoder, with an object-presence head."""

    image_size: int
    """Side S of the input in pixels; points and boxes are given in them."""
    grid_size: int
    """Side of the fused map in cells; masks come out at four times it."""
    embed_dim: int
    """Width D of prompts and of the fused map's channels."""
    depth: int = 2
    num_heads: int = 8
    mlp_dim: int = 2048
    mask_in_channels: int = 16
    num_multimask_outputs: int = 3
    """Extra masks of SAM's ambiguity handling. Kept for key-compatibility, never read."""
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256
    presence_reads_mask: bool = False
    """Whether presence is judged by the mask's highest logits too, and not by the mask token alone."""
    both_orders: bool = False
    """Whether a question is answered in both orders of the dates, the exchanged one by the opposite prompt,
    and the mean is the answer; the vision encoder has to hand over both maps."""

    refines_corrections: bool = False
    """Whether clicks and boxes, beside being prompts, refine the mask at its own resolution. The paper's
    decoder has no such part."""

    def __post_init__(self) -> None:
        if self.embed_dim % 8:
            raise ValueError("mask_decoder.embed_dim must be a multiple of 8")
        if self.embed_dim // 2 % self.num_heads or self.embed_dim % self.num_heads:
            raise ValueError("half of mask_decoder.embed_dim must be a multiple of mask_decoder.num_heads")
        if self.image_size % self.grid_size:
            raise ValueError("mask_decoder.image_size must be a multiple of mask_decoder.grid_size")

    @property
    def mask_size(self) -> int:
        """Side of the decoder's own masks in pixels, before they are brought to the input's size."""
        return 4 * self.grid_size

    @property
    def fused_shape(self) -> tuple[int, ...]:
        """What the vision encoder hands over for one pair: (D, h, w), or (2, D, h, w) in both orders."""
        shape = (self.embed_dim, self.grid_size, self.grid_size)
        return (2, *shape) if self.both_orders else shape


def paper() -> MaskDecoderConfig:
    """SAM's own mask decoder over a 64 x 64 grid."""
    return MaskDecoderConfig(image_size=1024, grid_size=64, embed_dim=256)


def paper_tiny() -> MaskDecoderConfig:
    """The paper's code path at a size for tests."""
    return MaskDecoderConfig(image_size=128, grid_size=8, embed_dim=32, num_heads=4, mlp_dim=64)


def mini() -> MaskDecoderConfig:
    """Stride 4 of a 256-pixel input: masks come out at the input's own resolution."""
    return MaskDecoderConfig(
        image_size=256,
        grid_size=64,
        embed_dim=96,
        mlp_dim=384,
        num_multimask_outputs=0,
        iou_head_hidden_dim=128,
        presence_reads_mask=True,
        both_orders=True,
        refines_corrections=True,
    )
