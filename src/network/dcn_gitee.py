"""The faults of the reference's deformable sampling (DeformConv2d.construct in its src/models/DCN.py).

Its checkpoints were trained with these faults, so `--dcn_sampling gitee` repeats them.
"""
from __future__ import annotations

from typing import Callable, Tuple

import numpy as np
from mindspore import Tensor, ops


def tap_positions(h: int, w: int, side: int) -> Tuple[np.ndarray, np.ndarray]:
    """Positions of the taps of a side x side kernel in a padded h x w map: rows and columns, [h, w, side**2] each.

    Rows and columns are exchanged, because Meshgrid gives (x, y) by default and the reference reads (y, x).
    """
    reach = np.arange(side) - side // 2
    tap_y, tap_x = np.tile(reach, side), np.repeat(reach, side)
    base_y = np.tile(np.arange(h) + side // 2, (w, 1)).reshape(h, w, 1) + tap_y
    base_x = np.repeat((np.arange(w) + side // 2)[:, None], h, 1).reshape(h, w, 1) + tap_x
    return base_y, base_x


def gitee_neighbours(position: Tensor, size, clamp: Callable = ops.clamp):
    """The two pixels around each position on one axis, and their weights.

    The reference clamps positions of the padded map to the size without padding. It clamps each pixel by itself, so the
    two weights sum to 2 at the border.

    Args:
        size: size of the map without padding, a number or a tensor.
        clamp: the function that limits a tensor. The export graph has its own, because it needs tensors as bounds.
    """
    low = ops.floor(position)
    pixels = clamp(low, 0.0, size - 1.0), clamp(low + 1.0, 0.0, size - 1.0)
    position = clamp(position, 0.0, size - 1.0)
    return pixels, (1.0 + (pixels[0] - position), 1.0 - (pixels[1] - position))


def mix_rows(values: Tensor, side: int) -> Tensor:
    """Reorder Tensor[n, h, w, side**2, 4] as the reference reads it.

    The reference stacks the rows of taps for the whole map, and not for each pixel.
    """
    n, h, w = values.shape[:3]
    values = values.reshape(n, h, w, side, side, 4).transpose(0, 3, 1, 2, 4, 5)
    values = values.reshape(n, h, side, w, side, 4).transpose(0, 1, 3, 2, 4, 5)
    return values.reshape(n, h, w, side * side, 4)
