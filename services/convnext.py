"""A block that changes nothing before it has learned to: for parts that are grown into a finished model."""

from timm.models.convnext import ConvNeXtBlock
from torch import nn


def identity_block(channels: int, *, mlp_ratio: float, dilation: int = 1) -> ConvNeXtBlock:
    """A ConvNeXt block (Liu et al., 2022) as timm has it, 7 x 7 without layer scale; it adds 0.

    Args:
        channels: of the map that goes in and comes out.
        mlp_ratio: hidden channels, as a multiple.
        dilation: of the depthwise convolution.
    """
    block = ConvNeXtBlock(
        channels, kernel_size=7, dilation=(dilation, dilation), mlp_ratio=mlp_ratio, ls_init_value=None
    )
    for parameter in block.get_submodule("mlp.fc2").parameters():
        nn.init.zeros_(parameter)
    return block
