"""The deformable convolution for export. Height and width may stay open; MindSpore Lite has all its operators.

src/network/dcn.py takes sizes from Python numbers, which an exported file would hold as constants. Here sizes are
tensors, and a cumulative sum of ones numbers the rows and columns.
"""
from __future__ import annotations

from typing import List, Tuple

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from ..network.dcn import DCN, DeformConv2d
from ..network.dcn_gitee import gitee_neighbours
from ..spec import TAPS

TAPS_AT_ONCE = 3  # all 9 need 1.5 GB instead of 1.3 GB at 480x640; fewer taps need more nodes


class GiteeDeformConv(nn.Cell):
    """`src.network.dcn.DeformConv2d` with a 3x3 kernel, stride 1 and padding 1, for one image."""

    def __init__(self, layer: DeformConv2d):
        super().__init__()
        self.layer, self.deform_conv = layer, DeformConvGraph(layer.sampling)

    def construct(self, x: Tensor) -> Tensor:
        layer = self.layer
        return self.deform_conv(x, layer.p_conv(x), ops.sigmoid(layer.m_conv(x)), layer.conv.weight)


class PaperDeformConv(nn.Cell):
    """`src.network.dcn.DCN` with a 3x3 kernel, for one image."""

    def __init__(self, layer: DCN):
        super().__init__()
        self.layer, self.deform_conv = layer, DeformConvGraph("exact")

    def construct(self, x: Tensor) -> Tensor:
        layer = self.layer
        out = layer.conv_offset_mask(x)
        out = self.deform_conv(x, out[:, :2 * TAPS], ops.sigmoid(out[:, 2 * TAPS:]), layer.weight)
        return out + layer.bias.reshape(1, -1, 1, 1)


class DeformConvGraph(nn.Cell):
    """3x3 DCN_v2 with stride 1 and padding 1; sampling "exact" or "gitee" as in `src.network.dcn.DeformConv2d`.

    construct(x, offset, mask, weight): Tensor[1, c_in, h, w], Tensor[1, 18, h, w], Tensor[1, 9, h, w],
        Tensor[c_out, c_in, 3, 3] -> Tensor[1, c_out, h, w].
    """

    def __init__(self, sampling: str):
        super().__init__()
        self.is_exact = sampling == "exact"
        # exact: two rows of zeros, so that both neighbours of a far sample are 0. gitee: the padding of the reference
        self.margin = 2 if self.is_exact else 1
        self.pad = ops.Pad(((0, 0), (self.margin,) * 2, (self.margin,) * 2, (0, 0)))
        tap_row, tap_column = np.divmod(np.arange(TAPS), 3)
        self.tap_row, self.tap_column = _constant(tap_row), _constant(tap_column)
        self.sum = ops.ReduceSum(keep_dims=True)
        # tensors, because MindSpore 2.8 exports tensor * number as an operator that Lite does not have
        self.three, self.taps = Tensor(3.0, mstype.float32), Tensor(TAPS, mstype.int32)

    def construct(self, x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
        c_out, c_in = weight.shape[:2]
        ones = ops.ones_like(mask[:, :1])
        row, column = ops.cumsum(ones, 2) - 1.0, ops.cumsum(ones, 3) - 1.0
        h, w = self.sum(ones[:, :, :, :1], (2, 3)), self.sum(ones[:, :, :1], (2, 3))
        place = (row.reshape(-1, 1), column.reshape(-1, 1), h.reshape(1, 1), w.reshape(1, 1))
        offset = ops.transpose(offset, (0, 2, 3, 1)).reshape(-1, 2 * TAPS)
        mask = ops.transpose(mask, (0, 2, 3, 1)).reshape(-1, TAPS)
        corners = (self._exact_corners if self.is_exact else self._gitee_corners)(offset, mask, place)
        pixels = self.pad(ops.transpose(x, (0, 2, 3, 1))).reshape(-1, c_in)
        kernel = ops.transpose(weight, (2, 3, 1, 0)).reshape(TAPS * c_in, c_out)
        out = _sample_and_multiply(pixels, corners, kernel)
        # Rows of pixels -> map, without h and w: a map of the row numbers gathers the rows.
        order = ops.cast(row * w + column, mstype.int32)[:, 0]
        # Lite 2.0.0 fails when it merges the transpose into a following convolution. The factor 1 prevents this.
        return ops.transpose(ops.gather(out, order, 0), (0, 3, 1, 2)) * ones

    def _exact_corners(self, offset, mask, place):
        row, column, h, w = place
        offset = offset.reshape(-1, TAPS, 2)
        y = _clamp(offset[:, :, 0] + (row + (self.tap_row - 1.0)), -2.0, h)
        x = _clamp(offset[:, :, 1] + (column + (self.tap_column - 1.0)), -2.0, w)
        top, left = ops.floor(y), ops.floor(x)
        down, right = y - top, x - left
        return _corners((top, top + 1.0), (left, left + 1.0), ((1.0 - down) * mask, down * mask), (1.0 - right, right),
                        w, self.margin, self.margin)

    def _gitee_corners(self, offset, mask, place):
        """The reference mixes rows of taps over the map and reads (x, y) as (y, x); see src/network/dcn_gitee.py."""
        row, column, h, w = place
        line = row * self.three + self.tap_row
        from_tap_row = ops.floor((line + 0.5) / h)
        from_pixel = (line - from_tap_row * h) * w + column
        from_tap = from_tap_row * self.three + self.tap_column
        source = ops.cast(from_pixel, mstype.int32) * self.taps + ops.cast(from_tap, mstype.int32)
        base_x = ops.floor((from_pixel + 0.5) / h)
        base_y = from_pixel - base_x * h
        y = ops.gather(offset[:, :TAPS].reshape(-1), source, 0) + (base_y + self.tap_column)
        x = ops.gather(offset[:, TAPS:].reshape(-1), source, 0) + (base_x + from_tap_row)
        mask = ops.gather(mask.reshape(-1), source, 0)
        rows, (up, down) = gitee_neighbours(y, h, _clamp)
        columns, to_columns = gitee_neighbours(x, w, _clamp)
        return _corners(rows, columns, (up * mask, down * mask), to_columns, w, self.margin, 0)


def _constant(values) -> Tensor:
    return Tensor(np.asarray(values, np.float32).reshape(1, -1))


def _clamp(x, low, high):
    return ops.maximum(ops.minimum(x, high), Tensor(low, mstype.float32))


def _corners(rows, columns, to_rows, to_columns, w, margin, shift) -> List[Tuple[Tensor, Tensor]]:
    """(index into the pixels of the padded map, weight) of the four neighbours, Tensor[h * w, 9] each."""
    stride = ops.cast(w + 2.0 * margin, mstype.int32)
    corners = []
    for y, to_y in zip(rows, to_rows):
        start = ops.cast(y + float(shift), mstype.int32) * stride
        for x, to_x in zip(columns, to_columns):
            corners.append((start + ops.cast(x + float(shift), mstype.int32), to_y * to_x))
    return corners


def _sample_and_multiply(pixels, corners, kernel):
    """The weighted neighbours of each tap times the kernel, Tensor[h * w, c_out]."""
    c_in = pixels.shape[1]
    out = None
    for start in range(0, TAPS, TAPS_AT_ONCE):
        stop = start + TAPS_AT_ONCE
        samples = None
        for index, factor in corners:
            if samples is not None or out is not None:  # otherwise MindSpore's runtime computes all at once
                index = ops.depend(index, out if samples is None else samples)
            # tile, because MindSpore's CPU kernel keeps 16 bytes of workspace for each element of a broadcast product
            factor = ops.tile(ops.depend(factor[:, start:stop].reshape(-1, 1), index), (1, c_in))
            corner = ops.gather(pixels, index[:, start:stop].reshape(-1), 0) * factor
            samples = corner if samples is None else samples + corner
        part = ops.matmul(samples.reshape(-1, TAPS_AT_ONCE * c_in), kernel[start * c_in:stop * c_in])
        out = part if out is None else out + part
    return out
