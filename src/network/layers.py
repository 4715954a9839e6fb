"""Plain layers of the network. They are exact, and need little memory and time on CPU."""
from __future__ import annotations

from typing import Tuple

import numpy as np
from mindspore import Parameter, Tensor, nn, ops


def conv2d(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """Convolution with bias and zero padding."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, pad_mode="pad", padding=padding,
                     has_bias=True)


def upsample(in_channels: int, out_channels: int, far_padding: int) -> nn.Conv2dTranspose:
    """3x3 transposed convolution to twice the size. With `far_padding` 1 the result has one row and column less.

    `far_padding` 0 is PyTorch's output_padding=1.
    """
    return nn.Conv2dTranspose(in_channels, out_channels, 3, stride=2, pad_mode="pad",
                              padding=(1, far_padding, 1, far_padding), has_bias=True)


class Shift(nn.Conv2d):
    """The reference's MeanShift: a fixed 1x1 convolution, out = x * scale + shift for each channel."""

    def __init__(self, scale, shift):
        super().__init__(3, 3, 1, has_bias=True)
        weight = np.diag(np.asarray(scale, np.float32)).reshape(3, 3, 1, 1)
        self.weight = Parameter(Tensor(weight), name="weight", requires_grad=False)
        self.bias = Parameter(Tensor(np.asarray(shift, np.float32)), name="bias", requires_grad=False)


class ReflectionPad(nn.Cell):
    """Mirror `pad` pixels on each side, without the edge pixel. It uses slices, which MindSpore Lite has too."""

    def __init__(self, pad: int):
        super().__init__()
        self.pad = pad

    def construct(self, x: Tensor) -> Tensor:
        return reflect(reflect(x, self.pad, self.pad, 2), self.pad, self.pad, 3)


class WideConv(nn.Conv2d):
    """A large convolution to few channels as a sum of one-row kernels. It is exact.

    The k rows of the kernel become k * out_channels channels of a 1 x k convolution. A k x 1 convolution with ones then
    shifts each map by its row and adds the maps. The patch matrix is k times smaller, which saves time on CPU: 64 to 3
    channels with 7x7 take a quarter of the time.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, padding: int):
        super().__init__(in_channels, out_channels, kernel_size, pad_mode="pad", padding=padding, has_bias=True)
        self.side, self.rows = kernel_size, padding
        self.row_conv = ops.Conv2D(out_channels * kernel_size, (1, kernel_size), pad_mode="pad",
                                   pad=(0, 0, padding, padding))
        self.sum_conv = ops.Conv2D(out_channels, (kernel_size, 1), pad_mode="pad", pad=(padding, padding, 0, 0))
        ones = np.zeros((out_channels, kernel_size, out_channels, kernel_size, 1), np.float32)
        for row in range(kernel_size):
            ones[:, row, :, row, 0] = np.eye(out_channels)
        self.ones = Tensor(ones.reshape(out_channels, -1, kernel_size, 1))

    def construct(self, x: Tensor) -> Tensor:
        weight = self.weight.transpose(2, 0, 1, 3).reshape(-1, self.in_channels, 1, self.side)
        maps = self.row_conv(x, weight)
        return ops.bias_add(self.sum_conv(maps, self.ones.astype(maps.dtype)), self.bias)


def spread(factor: Tensor, shape: Tuple[int, int, int, int]) -> Tensor:
    """Repeat Tensor[n, c, 1, 1] or Tensor[n, 1, h, w] to shape (n, c, h, w), by a product with ones.

    A broadcasting product in a graph on CPU keeps four more maps of that shape for each call (1 GB in the network at
    480x640), and sums its gradient slowly.
    """
    n, c, h, w = shape
    if factor.shape[1] == 1:
        return ops.bmm(ops.ones((n, c, 1), factor.dtype), factor.reshape(n, 1, h * w)).reshape(shape)
    return ops.bmm(factor.reshape(n, c, 1), ops.ones((n, 1, h * w), factor.dtype)).reshape(shape)


def reflect(x: Tensor, before: int, after: int, axis: int) -> Tensor:
    """Mirror pixels along axis 2 or 3 of Tensor[n, c, h, w], without the edge pixel. The size may stay open."""
    if before + after == 0:
        return x
    parts = []
    for i in range(before, 0, -1):
        parts.append(x[:, :, i:i + 1] if axis == 2 else x[:, :, :, i:i + 1])
    parts.append(x)
    for i in range(2, after + 2):
        parts.append(x[:, :, -i:1 - i] if axis == 2 else x[:, :, :, -i:1 - i])
    return ops.concat(parts, axis)


def zero_pad(x: Tensor, padding: int) -> Tensor:
    """Put `padding` zeros around Tensor[n, c, h, w] by concatenation.

    The gradient of MindSpore's constant-mode pad is wrong from the second call of a compiled graph.
    """
    if not padding:
        return x
    n, c, h, w = x.shape
    row = ops.zeros((n, c, padding, w), x.dtype)
    x = ops.concat((row, x, row), 2)
    column = ops.zeros((n, c, h + 2 * padding, padding), x.dtype)
    return ops.concat((column, x, column), 3)
