"""Modulated deformable convolution (DCN_v2) from gathers and matrix products.

MindSpore's own `ops.deformable_conv2d` is slower on CPU, cannot be exported with a dynamic size
and is unknown to MindSpore Lite; the operators used here exist on every backend.
"""
from __future__ import annotations

from typing import Optional, Tuple, Union

from mindspore import Parameter, Tensor, nn, ops

from .sampling import contract, exact_corners, gitee_deform_conv2d

Pair = Union[int, Tuple[int, int]]


def modulated_deform_conv2d(
    x: Tensor,
    offset: Tensor,
    mask: Optional[Tensor],
    weight: Tensor,
    bias: Optional[Tensor] = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
) -> Tensor:
    """Modulated deformable convolution (DCN_v2, Zhu et al. 2019, eq. 1), as torchvision defines it.

    Args:
        x: Tensor[n, c_in, h, w].
        offset: Tensor[n, 2*kh*kw, h_out, w_out], (dy, dx) for each tap in turn, in pixels of x.
        mask: Tensor[n, kh*kw, h_out, w_out], a factor for each tap; None for all ones (DCN_v1).
        weight: Tensor[c_out, c_in, kh, kw].
        bias: Tensor[c_out] or None.
        stride, padding, dilation: int or (vertical, horizontal), as in a convolution.

    Returns: Tensor[n, c_out, h_out, w_out]. Samples outside x read 0; between pixels, bilinear.
    Raises: ValueError if offset or mask has other channels or another size than x and the kernel need.
    """
    stride, padding, dilation = _pair(stride), _pair(padding), _pair(dilation)
    _check_shapes(x.shape, offset.shape, None if mask is None else mask.shape, weight.shape,
                  (stride, padding, dilation))
    index, corner_weights = exact_corners(x.shape, offset, mask, weight.shape[2:], stride, padding, dilation)
    return contract(x, index, corner_weights, weight, bias, offset.shape[2:])


class DeformConv2d(nn.Cell):
    """The reference's DCN_v2 layer (src/models/DCN.py): offsets and mask from convolutions of the input.

    Args:
        sampling: "exact" is DCN_v2. "gitee" repeats the reference's sampling, faults included, for
            its checkpoints: taps transposed, rows of taps mixed, border samples weighted twice.

    construct(x): Tensor[n, in_channels, h, w] -> Tensor[n, out_channels, h_out, w_out].

    The offsets start at zero (the reference's do not), so training starts from a plain convolution.
    With "exact" `p_conv` gives (dy, dx) for each tap in turn, with "gitee" all dy before all dx.

    Raises: ValueError for another `sampling`, or for "gitee" with an even kernel or a stride.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1,
                 padding: int = 1, sampling: str = "exact"):
        super().__init__()
        if sampling not in ("exact", "gitee"):
            raise ValueError(f"sampling must be exact or gitee, not {sampling}")
        if sampling == "gitee" and (kernel_size % 2 == 0 or stride != 1):
            raise ValueError(f"sampling gitee needs an odd kernel and stride 1, "
                             f"not {kernel_size} and {stride}")
        self.stride, self.padding, self.sampling = stride, padding, sampling
        taps = kernel_size**2
        same = dict(kernel_size=kernel_size, stride=stride, pad_mode="pad", padding=padding, has_bias=False)
        self.p_conv = nn.Conv2d(in_channels, 2 * taps, weight_init="zeros", **same)
        self.m_conv = nn.Conv2d(in_channels, taps, **same)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=kernel_size,
                              pad_mode="valid", has_bias=False)

    def construct(self, x: Tensor) -> Tensor:
        offset, mask = self.p_conv(x), ops.sigmoid(self.m_conv(x))
        if self.sampling == "exact":
            return modulated_deform_conv2d(x, offset, mask, self.conv.weight, None, self.stride, self.padding)
        return gitee_deform_conv2d(x, offset, mask, self.conv.weight, self.padding)


class DCN(nn.Cell):
    """The authors' DCN_v2 layer: one convolution gives offsets and mask, weight and bias of its own.

    Its 27 channels (3x3 kernel) are (dy, dx) for each tap in turn, then the nine masks before the sigmoid.

    construct(x): Tensor[n, in_channels, h, w] -> Tensor[n, out_channels, h, w].
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3):
        super().__init__()
        self.taps, self.padding = kernel_size**2, kernel_size // 2
        like = nn.Conv2d(in_channels, out_channels, kernel_size, has_bias=True)
        self.weight = Parameter(like.weight.value(), name="weight")
        self.bias = Parameter(like.bias.value(), name="bias")
        self.conv_offset_mask = nn.Conv2d(in_channels, 3 * self.taps, kernel_size, pad_mode="pad",
                                          padding=self.padding, has_bias=True, weight_init="zeros",
                                          bias_init="zeros")

    def construct(self, x: Tensor) -> Tensor:
        out = self.conv_offset_mask(x)
        offset, mask = out[:, :2 * self.taps], ops.sigmoid(out[:, 2 * self.taps:])
        return modulated_deform_conv2d(x, offset, mask, self.weight, self.bias, padding=self.padding)


def _pair(value: Pair) -> Tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _check_shapes(x, offset, mask, weight, geometry):
    stride, padding, dilation = geometry
    taps = weight[2] * weight[3]
    if x[1] != weight[1]:
        raise ValueError(f"x has {x[1]} channels, weight needs {weight[1]}")
    if offset[1] != 2 * taps:
        raise ValueError(f"offset has {offset[1]} channels, a {weight[2]}x{weight[3]} kernel needs {2 * taps}")
    if mask is not None and mask[1] != taps:
        raise ValueError(f"mask has {mask[1]} channels, a {weight[2]}x{weight[3]} kernel needs {taps}")
    for axis in (0, 1):
        reach = dilation[axis] * (weight[2 + axis] - 1) + 1
        size = (x[2 + axis] + 2 * padding[axis] - reach) // stride[axis] + 1
        if offset[2 + axis] != size:
            raise ValueError(f"offset is {offset[2]}x{offset[3]}, the output's side {axis} is {size}")
        if mask is not None and mask[2 + axis] != size:
            raise ValueError(f"mask is {mask[2]}x{mask[3]}, the output's side {axis} is {size}")
