"""The network for export. Height and width may stay open; MindSpore Lite has all its operators.

It is `Dehaze` itself with other layers in four places. These layers compute the same from the same parameters.
"""
from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops

from ..network.aecrnet import Dehaze
from ..network.layers import WideConv
from ..spec import VALUE_RANGE
from .dcn_graph import GiteeDeformConv, PaperDeformConv


class ExportGraph(nn.Cell):
    """`net` in evaluation, for export.

    construct(x): hazy image, float32 Tensor[1, 3, h, w] in 0..VALUE_RANGE[net.arch], h and w multiples of 4
        -> restored image, same shape, clipped to the range.
    """

    def __init__(self, net: Dehaze):
        super().__init__()
        self.net = with_export_layers(net)
        self.top = VALUE_RANGE[net.arch]
        self.set_train(False)

    def construct(self, x: Tensor) -> Tensor:
        return ops.clip_by_value(self.net.aligned(x), 0.0, self.top)


def with_export_layers(net: Dehaze) -> Dehaze:
    """A copy of `net` whose layers take no size from Python numbers."""
    copy = Dehaze(net.arch, net.dcn_sampling, "gather")
    for own, parameter in zip(copy.get_parameters(), net.get_parameters()):
        own.set_data(parameter.value())
    copy.block.calayer = ChannelAttention(copy.block.calayer.ca)
    copy.block.palayer = PixelAttention(copy.block.palayer.pa)
    if net.arch == "gitee":
        copy.dcn_block = GiteeDeformConv(copy.dcn_block)
        copy.up3[0] = WideConvGraph(copy.up3[0])
    else:
        copy.dcn_block = PaperDeformConv(copy.dcn_block.dcn)
        copy.up3[1] = WideConvGraph(copy.up3[1])
    return copy


class ChannelAttention(nn.Cell):
    """`src.network.aecrnet.CALayer` with a broadcasting product, which needs no size."""

    def __init__(self, ca: nn.Cell):
        super().__init__()
        self.ca = ca

    def construct(self, x: Tensor) -> Tensor:
        return x * self.ca(x.mean((2, 3), keep_dims=True))


class PixelAttention(nn.Cell):
    """`src.network.aecrnet.PALayer` with a broadcasting product, which needs no size."""

    def __init__(self, pa: nn.Cell):
        super().__init__()
        self.pa = pa

    def construct(self, x: Tensor) -> Tensor:
        return x * self.pa(x)


class WideConvGraph(nn.Cell):
    """As `WideConv`, but slices count from the end, and the number of maps is filled up to a multiple of 16.

    For other numbers of maps, Lite 2.0.0 computes a wrong size of its workspace: 8 GB at 480x640, or a negative size.
    """

    def __init__(self, conv: WideConv):
        super().__init__()
        self.conv = conv
        k, maps = conv.side, conv.side * conv.out_channels
        filled = -(-maps // 16) * 16
        self.fill = Tensor(np.zeros((filled - maps, conv.in_channels, 1, k), np.float32))
        self.row_conv = ops.Conv2D(filled, (1, k), pad_mode="pad", pad=(0, 0, conv.rows, conv.rows))

    def construct(self, x: Tensor) -> Tensor:
        conv = self.conv
        k, channels = conv.side, conv.out_channels
        weight = ops.transpose(conv.weight, (2, 0, 1, 3)).reshape(k * channels, conv.in_channels, 1, k)
        maps = self.row_conv(x, ops.concat((weight, self.fill), 0))
        if conv.rows:
            row = ops.zeros_like(maps[:, :, :conv.rows])
            maps = ops.concat((row, maps, row), 2)
        out = maps[:, (k - 1) * channels:k * channels, k - 1:]
        for i in range(k - 1):
            out = out + maps[:, i * channels:(i + 1) * channels, i:i + 1 - k]
        return out + conv.bias.reshape(1, -1, 1, 1)
