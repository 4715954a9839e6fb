"""DCN_v2 in ONNX: as DeformConv, or from gathers and matrix products for the runtimes that lack it.

onnxruntime has DeformConv from 1.25 on. OpenVINO 2026.4 does not have it.
"""
from __future__ import annotations

from typing import List, Optional, Tuple

import numpy as np

from ..spec import TAPS
from .onnx_nodes import Graph, Size

ONE = np.float32(1)


def deform_conv(g: Graph, x: str, offset: str, mask: str, weight: np.ndarray, bias: Optional[np.ndarray],
                sampling: str, dcn: str, size: Size = None) -> str:
    """3x3 DCN_v2 with stride 1 and padding 1, as `src.network.dcn.DeformConv2d` defines it.

    Args:
        g: the graph to add to; x, offset and mask are the names of [n, c_in, h, w], [n, 18, h, w] and [n, 9, h, w].
        sampling: "exact" or "gitee".
        dcn: "gather" or "native".
        size: h and w; None where they are open. With a size, places in the map are constants of the file.

    Returns: the name of [n, c_out, h, w].
    """
    if dcn == "native":
        inputs = (weight, offset, np.zeros(len(weight), np.float32) if bias is None else bias, mask)
        return g("DeformConv", x, *inputs, kernel_shape=[3, 3], pads=[1] * 4)
    sides = g("Shape", x, start=2) if size is None else np.array(size)
    h, w = (g("Gather", sides, np.int64(axis)) for axis in (0, 1))
    # exact: two rows of zeros, so that both neighbours of a far sample read 0. gitee: the reference's padding
    corners, margin = (_exact_corners, 2) if sampling == "exact" else (_gitee_corners, 1)
    index, factors = corners(g, offset, mask, h, w)
    first = _first_pixels(g, mask, h, w, margin)
    channels = weight.shape[1]
    pixels = g.pad(x, margin, margin, "constant")
    pixels = g("Reshape", g("Transpose", pixels, perm=[0, 2, 3, 1]), np.array([-1, channels]))
    out = _sample_and_multiply(g, pixels, [g("Add", corner, first) for corner in index], factors, weight)
    out = out if bias is None else g("Add", out, bias)
    out = g("Reshape", out, g("Concat", np.array([-1]), sides, np.array([len(weight)]), axis=0))
    return g("Transpose", out, perm=[0, 3, 1, 2])


def _first_pixels(g, mask, h, w, margin):
    """Where each image of the batch begins among the pixels of all padded maps, int32[n, 1, 1, 1].

    Counted by a sum of ones, because OpenCV replaces the open size of a batch by 1 where a graph asks for it.
    """
    one = np.array([1, 1, 1])
    ones = g("Slice", mask, np.array([0, 0, 0]), one, np.array([1, 2, 3]))
    ones = g("Add", g("Mul", g.cast(ones, np.int32), np.int32(0)), np.int32(1))
    rows, columns = (g("Add", g.cast(side, np.int32), np.int32(2 * margin)) for side in (h, w))
    return g("Mul", g("CumSum", ones, np.int64(0), exclusive=1), g("Mul", rows, columns))


def _exact_corners(g, offset, mask, h, w):
    """Indices into the pixels of the padded map and weights, [n, 9, h, w] each, of the four neighbours."""
    offset_y, offset_x = (g("Gather", offset, np.arange(i, 2 * TAPS, 2), axis=1) for i in (0, 1))
    top, down = _whole_and_fraction(g, offset_y)
    left, right = _whole_and_fraction(g, offset_x)
    row, column, h, w = _place(g, h, w)
    tap_row, tap_column = _taps()
    # a tap reaches back by 1, the margin moves all by 2
    two = np.int32(2)
    top = _clamp(g, g("Add", top, g("Add", row, tap_row + 1)), g("Add", h, two))
    left = _clamp(g, g("Add", left, g("Add", column, tap_column + 1)), g("Add", w, two))
    rows, columns = (top, g("Add", top, np.int32(1))), (left, g("Add", left, np.int32(1)))
    to_rows = g("Mul", g("Sub", ONE, down), mask), g("Mul", down, mask)
    return _corners(g, rows, columns, to_rows, (g("Sub", ONE, right), right), g("Add", w, np.int32(4)))


def _gitee_corners(g, offset, mask, h, w):
    """As `_exact_corners`. The reference mixes rows of taps and reads (x, y) as (y, x); see src/network/dcn_gitee.py"""
    tap_row, tap_column = _taps()
    row, column, h, w = _place(g, h, w)
    three = np.int32(3)
    line = g("Add", g("Mul", row, three), tap_row)
    from_tap_row = g("Div", line, h)
    from_row = g("Sub", line, g("Mul", from_tap_row, h))
    from_pixel = g("Add", g("Mul", from_row, w), column)
    from_tap = g("Add", g("Mul", from_tap_row, three), tap_column)
    source = g("Add", g("Mul", from_tap, g("Mul", h, w)), from_pixel)
    base_x = g("Div", from_pixel, h)
    base_y = g("Sub", from_pixel, g("Mul", base_x, h))

    def taken(values):
        return g("Gather", g("Reshape", values, np.array([0, -1])), source, axis=1)

    offset_y, offset_x = g("Split", offset, np.array([TAPS, TAPS]), axis=1, outputs=2)
    rows, (up, down) = _gitee_neighbours(g, taken(offset_y), g("Add", base_y, tap_column), h)
    columns, to_columns = _gitee_neighbours(g, taken(offset_x), g("Add", base_x, from_tap_row), w)
    mask = taken(mask)
    return _corners(g, rows, columns, (g("Mul", up, mask), g("Mul", down, mask)), to_columns,
                    g("Add", w, np.int32(2)))


def _gitee_neighbours(g, offset, base, size):
    """`src.network.dcn_gitee.gitee_neighbours` of base + offset: both weights are 1 where that lies outside."""
    whole, fraction = _whole_and_fraction(g, offset)
    low = g("Add", whole, base)
    last = g("Sub", size, np.int32(1))
    pixels = _clamp(g, low, last), _clamp(g, g("Add", low, np.int32(1)), last)
    # the two are one pixel apart inside, and the same pixel outside
    inside = g.cast(g("Sub", pixels[1], pixels[0]), g.dtype)
    rest = g("Sub", ONE, fraction)
    return pixels, (g("Sub", ONE, g("Mul", fraction, inside)), g("Sub", ONE, g("Mul", rest, inside)))


def _taps():
    """Row and column of each tap of the kernel, int32[9, 1, 1]."""
    return np.divmod(np.arange(TAPS, dtype=np.int32).reshape(-1, 1, 1), np.int32(3))


def _place(g, h, w):
    """Row and column of each pixel, int32[1, h, 1] and [1, 1, w], and both sides as int32."""
    row, column = (g.cast(g("Range", np.int64(0), side, np.int64(1)), np.int32) for side in (h, w))
    return (g("Reshape", row, np.array([1, -1, 1])), g("Reshape", column, np.array([1, 1, -1])),
            g.cast(h, np.int32), g.cast(w, np.int32))


def _whole_and_fraction(g, offset):
    """int32 and float: added to a position as a float, an offset would lose its fraction in 16 bits."""
    low = g("Floor", offset)
    return g.cast(low, np.int32), g("Sub", offset, low)


def _clamp(g, x, high):
    return g("Max", g("Min", x, high), np.int32(0))


def _corners(g, rows, columns, to_rows, to_columns, stride) -> Tuple[List[str], List[str]]:
    index, factors = [], []
    for y, to_y in zip(rows, to_rows):
        start = g("Mul", y, stride)
        for x, to_x in zip(columns, to_columns):
            index.append(g("Add", start, x))
            factors.append(g("Mul", to_y, to_x))
    return index, factors


def _sample_and_multiply(g, pixels, index, factors, weight):
    """[n * h * w, c_out]: the weighted neighbours of each tap times its part of the kernel, a tap at a time.

    So the gathered pixels take 4 kB for each pixel of the map (78 MB for an image of 480x640), not nine times as much.
    """
    kernel = np.ascontiguousarray(weight.transpose(2, 3, 1, 0)).reshape(TAPS, *weight.shape[1::-1])
    index, factors = (_taps_apart(g, corners) for corners in (index, factors))
    out = None
    for tap in range(TAPS):
        neighbours = g("Gather", pixels, g("Reshape", index[tap], np.array([-1, 4])))
        factor = g("Reshape", factors[tap], np.array([-1, 1, 4]))
        samples = g("Reshape", g("MatMul", factor, neighbours), np.array([-1, weight.shape[1]]))
        part = g("MatMul", samples, kernel[tap])
        out = part if out is None else g("Add", out, part)
    return out


def _taps_apart(g, corners):
    """Four of [n, 9, h, w] -> nine of [n, 1, h * w, 4]."""
    together = g("Concat", *(g("Reshape", corner, np.array([0, TAPS, -1, 1])) for corner in corners), axis=3)
    return g("Split", together, np.ones(TAPS, np.int64), axis=1, outputs=TAPS)
