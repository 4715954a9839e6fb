"""Where a deformable convolution reads, and the sum over what it reads: exactly, and with the reference's faults."""
from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype

# One gather reads at most this much: enough work to hide the call, little enough to bound the memory.
CHUNK_BYTES = 64 * 2**20


def exact_corners(
    x_shape: Tuple[int, ...], offset: Tensor, mask: Optional[Tensor], kernel: Tuple[int, int], stride: Tuple[int, int],
    padding: Tuple[int, int], dilation: Tuple[int, int],
) -> Tuple[Tensor, Tensor]:
    """Rows of the flattened image, and their bilinear weights times the mask, for the four pixels around every sample.

    Offset and mask as in `src.dcn.modulated_deform_conv2d`.

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
    """The two pixels around each position on one axis, and their linear weights: 0 where outside."""
    low = ops.floor(position)
    fraction = position - low
    pixels, weights = (), ()
    for pixel, weight in ((low, 1.0 - fraction), (low + 1.0, fraction)):
        inside = ops.logical_and(pixel >= 0.0, pixel <= size - 1.0)
        pixels += (ops.clamp(pixel, 0.0, size - 1.0),)
        weights += (weight * inside.astype(weight.dtype),)
    return pixels, weights


def _combine(rows, columns, weight_y, weight_x, image_size, width):
    """Two pixels on each axis -> four corners: index into all images' pixels, and weight.

    Corner by corner: products that broadcast cost memory, see `src.layers.spread`.
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
    """Both weights of one axis times the mask Tensor[n, taps, h, w], or as they are for None."""
    if mask is None:
        return weights
    mask = mask.transpose(0, 2, 3, 1)
    return weights[0] * mask, weights[1] * mask


def contract(x: Tensor, index: Tensor, corner_weights: Tensor, weight: Tensor, bias: Optional[Tensor],
             out_size: Tuple[int, int]) -> Tensor:
    """Sum the weighted pixels of every tap and multiply by the kernel, a bounded chunk of outputs at a time.

    Index and weights as from `exact_corners`. Returns: Tensor[n, c_out, *out_size].
    """
    n, channels = x.shape[:2]
    taps = weight.shape[2] * weight.shape[3]
    pixels = x.transpose(0, 2, 3, 1).reshape(-1, channels)
    kernel = weight.transpose(0, 2, 3, 1).reshape(weight.shape[0], taps * channels)
    chunk = max(1, CHUNK_BYTES // (taps * 4 * channels * 4))
    # split once: slicing a large tensor chunk by chunk costs PyNative a copy of all of it each time
    parts = zip(ops.split(index.reshape(-1, taps * 4), chunk), ops.split(corner_weights.reshape(-1, taps * 4), chunk))
    multiply = ops.MatMul(transpose_b=True)
    chunks = []
    for rows, factors in parts:
        rows = rows.reshape(-1)
        if chunks:  # without this the runtime gathers all chunks at once
            rows = ops.depend(rows, chunks[-1])
        corners = ops.gather(pixels, rows, 0).reshape(-1, 4, channels)
        samples = ops.bmm(factors.reshape(-1, 1, 4), corners)
        chunks.append(multiply(kernel, samples.reshape(-1, taps * channels)))
    out = chunks[0] if len(chunks) == 1 else ops.concat(chunks, 1)
    out = out.reshape(weight.shape[0], n, out_size[0], out_size[1]).transpose(1, 0, 2, 3)
    return out if bias is None else ops.bias_add(out, bias)


def gitee_deform_conv2d(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, padding: int) -> Tensor:
    """The reference's sampling, for its checkpoints (DeformConv2d.construct of its src/models/DCN.py)."""
    n, _, h, w = x.shape
    side = weight.shape[2]
    taps = side * side
    x = _zero_pad(x, padding)
    # Meshgrid's default order is (x, y): the reference reads it as (y, x)
    reach = np.arange(side) - side // 2
    tap_y, tap_x = np.tile(reach, side), np.repeat(reach, side)
    base_y = np.tile(np.arange(h) + side // 2, (w, 1)).reshape(h, w, 1) + tap_y
    base_x = np.repeat((np.arange(w) + side // 2)[:, None], h, 1).reshape(h, w, 1) + tap_x
    offset = offset.transpose(0, 2, 3, 1)
    shape = (n, h, w, taps)
    rows, weight_y = _gitee_neighbours(offset[..., :taps] + _repeat(base_y, shape), h)
    columns, weight_x = _gitee_neighbours(offset[..., taps:] + _repeat(base_x, shape), w)
    weight_y = _masked(weight_y, mask)
    width = w + 2 * padding
    index, corner_weights = _combine(rows, columns, weight_y, weight_x, (h + 2 * padding) * width, width)
    return contract(x, _gitee_mix_rows(index, side), _gitee_mix_rows(corner_weights, side), weight, None, (h, w))


def _gitee_neighbours(position, size):
    """As `_neighbours`, but clamped to the unpadded size, position and pixels each for itself."""
    low = ops.floor(position)
    pixels = ops.clamp(low, 0.0, size - 1.0), ops.clamp(low + 1.0, 0.0, size - 1.0)
    position = ops.clamp(position, 0.0, size - 1.0)
    return pixels, (1.0 + (pixels[0] - position), 1.0 - (pixels[1] - position))


def _gitee_mix_rows(values, side):
    """The reference lays out the kernel's rows of taps one below the other for the whole map, not per pixel."""
    n, h, w = values.shape[:3]
    values = values.reshape(n, h, w, side, side, 4).transpose(0, 3, 1, 2, 4, 5)
    values = values.reshape(n, h, side, w, side, 4).transpose(0, 1, 3, 2, 4, 5)
    return values.reshape(n, h, w, side * side, 4)


def _zero_pad(x, padding):
    """Zeros around the image by concatenation: the gradient of a constant-mode pad is wrong on repeated calls."""
    if not padding:
        return x
    n, c, h, w = x.shape
    row = ops.zeros((n, c, padding, w), x.dtype)
    x = ops.concat((row, x, row), 2)
    column = ops.zeros((n, c, h + 2 * padding, padding), x.dtype)
    return ops.concat((column, x, column), 3)
