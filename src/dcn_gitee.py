"""The faults of the reference's deformable sampling (DeformConv2d.construct in its src/models/DCN.py).

Its checkpoints were trained with these faults, so `--dcn_sampling gitee` repeats them.
"""
from __future__ import annotations

from typing import Callable, Tuple

import numpy as np
from mindspore import Tensor, ops


def tap_positions(h: int, w: int, side: int) -> Tuple[np.ndarray, np.ndarray]:
    """Where the taps of a side x side kernel read in a padded h x w map, rows and columns, [h, w, side**2] each.

    Rows and columns are exchanged: Meshgrid gives (x, y) by default, the reference reads it as (y, x).
    """
    reach = np.arange(side) - side // 2
    tap_y, tap_x = np.tile(reach, side), np.repeat(reach, side)
    base_y = np.tile(np.arange(h) + side // 2, (w, 1)).reshape(h, w, 1) + tap_y
    base_x = np.repeat((np.arange(w) + side // 2)[:, None], h, 1).reshape(h, w, 1) + tap_x
    return base_y, base_x


def gitee_neighbours(position: Tensor, size, clamp: Callable = ops.clamp):
    """The two pixels around each position on one axis, and their weights.

    Positions in the padded map are clamped to the size without padding, and each pixel for itself; at the border the
    weights sum to 2.

    Args:
        size: of the map without padding, a number or a tensor.
        clamp: of the export graph, which needs tensors as bounds.
    """
    low = ops.floor(position)
    pixels = clamp(low, 0.0, size - 1.0), clamp(low + 1.0, 0.0, size - 1.0)
    position = clamp(position, 0.0, size - 1.0)
    return pixels, (1.0 + (pixels[0] - position), 1.0 - (pixels[1] - position))


def mix_rows(values: Tensor, side: int) -> Tensor:
    """Tensor[n, h, w, side**2, 4] in the order in which the reference reads it.

    The reference lays out the kernel's rows of taps one below the other for the whole map, not for each pixel.
    """
    n, h, w = values.shape[:3]
    values = values.reshape(n, h, w, side, side, 4).transpose(0, 3, 1, 2, 4, 5)
    values = values.reshape(n, h, side, w, side, 4).transpose(0, 1, 3, 2, 4, 5)
    return values.reshape(n, h, w, side * side, 4)
