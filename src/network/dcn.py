"""Modulated deformable convolution (DCN_v2), from gathers and matrix products or by MindSpore's own operator.

`ops.deformable_conv2d` ("native") is made for Ascend and GPU. It is slower on CPU, cannot be exported with a dynamic
size, and is unknown to MindSpore Lite. The operators of "gather" exist on every backend.
"""
from __future__ import annotations

from typing import Optional, Tuple, Union

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from ..spec import DCN_BACKENDS, SAMPLINGS
from .dcn_gitee import gitee_neighbours, mix_rows, tap_positions
from .layers import zero_pad

IntOrPair = Union[int, Tuple[int, int]]  # one number for both axes, or (vertical, horizontal)

# The bytes that one gather reads: enough to hide the cost of the call, and few enough to bound the memory.
CHUNK_BYTES = 64 * 2**20


def modulated_deform_conv2d(
    x: Tensor,
    offset: Tensor,
    mask: Optional[Tensor],
    weight: Tensor,
    bias: Optional[Tensor] = None,
    stride: IntOrPair = (1, 1),
    padding: IntOrPair = (0, 0),
    dilation: IntOrPair = (1, 1),
    backend: str = "gather",
) -> Tensor:
    """Modulated deformable convolution (DCN_v2, Zhu et al. 2019, eq. 1), as torchvision defines it.

    Args:
        x: Tensor[n, c_in, h, w].
        offset: Tensor[n, 2*kh*kw, h_out, w_out], (dy, dx) for each tap in turn, in pixels of x.
        mask: Tensor[n, kh*kw, h_out, w_out], a factor for each tap; None for all ones (DCN_v1).
        weight: Tensor[c_out, c_in, kh, kw].
        bias: Tensor[c_out] or None.
        stride, padding, dilation: int or (vertical, horizontal), as in a convolution.
        backend: "gather" or "native", see the module's docstring.

    Returns: Tensor[n, c_out, h_out, w_out]. Samples outside x read 0; between pixels, bilinear.
    Raises: ValueError if offset or mask has other channels or another size than x and the kernel need.
    """
    stride, padding, dilation = _pair(stride), _pair(padding), _pair(dilation)
    _check_shapes(x.shape, offset.shape, None if mask is None else mask.shape, weight.shape,
                  (stride, padding, dilation))
    offset = offset.astype(mstype.float32)
    if backend == "native":
        return _native(x, offset, mask, weight, bias, (stride, padding, dilation))
    index, corner_weights = exact_corners(x.shape, offset, mask, weight.shape[2:], stride, padding, dilation)
    return contract(x, index, corner_weights, weight, bias, offset.shape[2:])


def _native(x, offset, mask, weight, bias, geometry):
    """`ops.deformable_conv2d`, whose channels are dx of all taps, dy of all taps, mask; float32 for the positions."""
    stride, padding, dilation = geometry
    n, _, h, w = offset.shape
    kernel = weight.shape[2:]
    offset = offset.reshape(n, -1, 2, h, w)
    mask = ops.ones_like(offset[:, :, 0]) if mask is None else mask.astype(mstype.float32)
    offset = ops.concat((offset[:, :, 1], offset[:, :, 0], mask), 1)
    out = ops.deformable_conv2d(
        x.astype(mstype.float32), weight.astype(mstype.float32), offset, kernel,
        (1, 1) + stride, (padding[0], padding[0], padding[1], padding[1]), None, (1, 1) + dilation)
    out = out.astype(x.dtype)
    return out if bias is None else ops.bias_add(out, bias)


def _of_device(backend, sampling):
    """The backend that "auto" means: "native" if the device is a card and the sampling is exact."""
    if backend not in DCN_BACKENDS:
        raise ValueError(f"dcn_backend must be one of {', '.join(DCN_BACKENDS)}, not {backend}")
    if backend == "native" and sampling != "exact":
        raise ValueError(f"dcn_backend native needs dcn_sampling exact, not {sampling}")
    if backend != "auto":
        return backend
    return "gather" if sampling != "exact" or mindspore.get_context("device_target") == "CPU" else "native"


class DeformConv2d(nn.Cell):
    """The reference's DCN_v2 layer (src/models/DCN.py): offsets and mask from convolutions of the input.

    Args:
        sampling: "exact" is DCN_v2. "gitee" repeats the reference's sampling, faults included, for
            its checkpoints: taps transposed, rows of taps mixed, border samples weighted twice.
        backend: "gather", "native" (sampling exact only), or "auto": native on a card, gather on CPU.

    construct(x): Tensor[n, in_channels, h, w] -> Tensor[n, out_channels, h_out, w_out].

    The offsets start at zero, unlike the reference's, so training starts from a plain convolution. With "exact",
    `p_conv` gives (dy, dx) for each tap in turn. With "gitee", it gives all dy before all dx.

    Raises: ValueError for another `sampling` or `backend`, or for "gitee" with an even kernel or a stride.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1,
                 padding: int = 1, sampling: str = "exact", backend: str = "auto"):
        super().__init__()
        if sampling not in SAMPLINGS:
            raise ValueError(f"sampling must be exact or gitee, not {sampling}")
        if sampling == "gitee" and (kernel_size % 2 == 0 or stride != 1):
            raise ValueError(f"sampling gitee needs an odd kernel and stride 1, "
                             f"not {kernel_size} and {stride}")
        self.stride, self.padding, self.sampling = stride, padding, sampling
        self.backend = _of_device(backend, sampling)
        taps = kernel_size**2
        same = dict(kernel_size=kernel_size, stride=stride, pad_mode="pad", padding=padding, has_bias=False)
        self.p_conv = nn.Conv2d(in_channels, 2 * taps, weight_init="zeros", **same)
        self.m_conv = nn.Conv2d(in_channels, taps, **same)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=kernel_size,
                              pad_mode="valid", has_bias=False)

    def construct(self, x: Tensor) -> Tensor:
        offset, mask = self.p_conv(x), ops.sigmoid(self.m_conv(x))
        if self.sampling == "exact":
            return modulated_deform_conv2d(x, offset, mask, self.conv.weight, None, self.stride, self.padding,
                                           backend=self.backend)
        return _gitee_deform_conv2d(x, offset, mask, self.conv.weight, self.padding)


class DCN(nn.Cell):
    """The authors' DCN_v2 layer. One convolution gives both offsets and mask.

    For a 3x3 kernel, its 27 channels are (dy, dx) for each tap in turn, and then the nine masks before the sigmoid.
    `backend` as in `DeformConv2d`.

    construct(x): Tensor[n, in_channels, h, w] -> Tensor[n, out_channels, h, w].
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, backend: str = "auto"):
        super().__init__()
        self.backend = _of_device(backend, "exact")
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
        return modulated_deform_conv2d(x, offset, mask, self.weight, self.bias, padding=self.padding,
                                       backend=self.backend)


def exact_corners(
    x_shape: Tuple[int, ...], offset: Tensor, mask: Optional[Tensor], kernel: Tuple[int, int], stride: Tuple[int, int],
    padding: Tuple[int, int], dilation: Tuple[int, int],
) -> Tuple[Tensor, Tensor]:
    """The four pixels around every sample: rows in the flattened image, and bilinear weights times the mask.

    Offset and mask are those of `modulated_deform_conv2d`.

    Returns: int32 and float32 Tensor[n, h_out, w_out, taps, 4], corners in the order
        top left, top right, bottom left, bottom right.
    """
    n, _, h, w = x_shape
    h_out, w_out = offset.shape[2:]
    tap_y, tap_x = np.divmod(np.arange(kernel[0] * kernel[1]), kernel[1])
    base_y = np.arange(h_out)[:, None, None] * stride[0] - padding[0] + tap_y * dilation[0]
    base_x = np.arange(w_out)[None, :, None] * stride[1] - padding[1] + tap_x * dilation[1]
    taps = kernel[0] * kernel[1]
    offset = offset.transpose(0, 2, 3, 1).reshape(n, h_out, w_out, taps, 2)
    rows, weight_y = _neighbours(offset[..., 0] + _repeat(base_y, offset.shape[:4]), h)
    columns, weight_x = _neighbours(offset[..., 1] + _repeat(base_x, offset.shape[:4]), w)
    return _combine(rows, columns, _masked(weight_y, mask), weight_x, h * w, w)


def _neighbours(position, size):
    """The two pixels around each position on one axis, and their linear weights. Pixels outside have weight 0."""
    position = ops.clamp(position, -2.0, size + 1.0)  # infinity minus itself would be nan
    low = ops.floor(position)
    fraction = position - low
    pixels, weights = (), ()
    for pixel, weight in ((low, 1.0 - fraction), (low + 1.0, fraction)):
        inside = ops.logical_and(pixel >= 0.0, pixel <= size - 1.0)
        pixels += (ops.clamp(pixel, 0.0, size - 1.0),)
        weights += (weight * inside.astype(weight.dtype),)
    return pixels, weights


def _combine(rows, columns, weight_y, weight_x, image_size, width):
    """Combine the two pixels on each axis to four corners: index into the pixels of all images, and weight.

    The loop avoids broadcasting products, which cost memory, see `src.network.layers.spread`.
    """
    shape = rows[0].shape
    first_pixel = _repeat(np.arange(shape[0]).reshape(-1, 1, 1, 1) * image_size, shape, mstype.int32)
    index, weights = [], []
    for row, factor_y in zip(rows, weight_y):
        start = row.astype(mstype.int32) * width + first_pixel
        for column, factor_x in zip(columns, weight_x):
            index.append(start + column.astype(mstype.int32))
            weights.append(factor_y * factor_x)
    return ops.stack(index, -1), ops.stack(weights, -1)


def _repeat(values, shape, dtype=mstype.float32):
    """numpy array -> Tensor of `shape`."""
    return Tensor(np.broadcast_to(values, shape), dtype)


def _masked(weights, mask):
    """Both weights of one axis times the mask, Tensor[n, taps, h, w]. None leaves the weights as they are."""
    if mask is None:
        return weights
    mask = mask.astype(mstype.float32).transpose(0, 2, 3, 1)
    return weights[0] * mask, weights[1] * mask


def contract(x: Tensor, index: Tensor, corner_weights: Tensor, weight: Tensor, bias: Optional[Tensor],
             out_size: Tuple[int, int]) -> Tensor:
    """Sum the weighted pixels of every tap and multiply by the kernel, in chunks of bounded size.

    Index and weights come from `exact_corners`. Returns: Tensor[n, c_out, *out_size].
    """
    n, channels = x.shape[:2]
    taps = weight.shape[2] * weight.shape[3]
    pixels = x.transpose(0, 2, 3, 1).reshape(-1, channels)
    kernel = weight.astype(x.dtype).transpose(0, 2, 3, 1).reshape(weight.shape[0], taps * channels)
    corner_weights = corner_weights.astype(x.dtype)
    chunk = max(1, CHUNK_BYTES // (taps * 4 * channels * 4))
    # one split, because each slice of a large tensor copies the whole tensor in PyNative mode
    parts = zip(ops.split(index.reshape(-1, taps * 4), chunk), ops.split(corner_weights.reshape(-1, taps * 4), chunk))
    multiply = ops.MatMul(transpose_b=True)
    chunks = []
    for rows, factors in parts:
        rows = rows.reshape(-1)
        if chunks:  # otherwise the runtime gathers all chunks at once
            rows = ops.depend(rows, chunks[-1])
        corners = ops.gather(pixels, rows, 0).reshape(-1, 4, channels)
        samples = ops.bmm(factors.reshape(-1, 1, 4), corners)
        chunks.append(multiply(kernel, samples.reshape(-1, taps * channels)))
    out = chunks[0] if len(chunks) == 1 else ops.concat(chunks, 1)
    out = out.reshape(weight.shape[0], n, out_size[0], out_size[1]).transpose(1, 0, 2, 3)
    return out if bias is None else ops.bias_add(out, bias)


def _gitee_deform_conv2d(x, offset, mask, weight, padding):
    """DeformConv2d with the reference's sampling (src/network/dcn_gitee.py)."""
    n, _, h, w = x.shape
    side = weight.shape[2]
    taps = side * side
    base_y, base_x = tap_positions(h, w, side)
    offset = offset.astype(mstype.float32).transpose(0, 2, 3, 1)
    shape = (n, h, w, taps)
    rows, weight_y = gitee_neighbours(offset[..., :taps] + _repeat(base_y, shape), h)
    columns, weight_x = gitee_neighbours(offset[..., taps:] + _repeat(base_x, shape), w)
    width = w + 2 * padding
    index, corner_weights = _combine(rows, columns, _masked(weight_y, mask), weight_x, (h + 2 * padding) * width, width)
    return contract(zero_pad(x, padding), mix_rows(index, side), mix_rows(corner_weights, side), weight, None, (h, w))


def _pair(value: IntOrPair) -> Tuple[int, int]:
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
