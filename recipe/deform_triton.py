"""deform_im2col.cpp for CUDA, as Triton kernels. The layout is channels last: a corner that a tap reads is one row."""
from __future__ import annotations

from typing import Tuple

import torch
import triton
import triton.language as tl
from torch import Tensor

TAPS = tl.constexpr(9)
ROWS = 16  # places for one program


@triton.jit
def _sample(offset, mask, place, valid, tap, height, width):
    """Where a tap reads. Returns: row and column of the upper left corner, what is left of the position, the mask."""
    row, column = place % (height * width) // width, place % width
    y = row + tap // 3 - 1 + tl.load(offset + place * 18 + 2 * tap, valid, 0.0)
    x = column + tap % 3 - 1 + tl.load(offset + place * 18 + 2 * tap + 1, valid, 0.0)
    top, left = tl.floor(y), tl.floor(x)
    return top, left, y - top, x - left, tl.load(mask + place * TAPS + tap, valid, 0.0)


@triton.jit
def _corner(place, valid, y, x, height, width, channels, C: tl.constexpr):
    """Indices [ROWS, C] of one corner in the images, and whether it is inside of them."""
    inside = valid & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    first = place - place % (height * width)
    row = tl.where(inside, first + y.to(tl.int32) * width + x.to(tl.int32), 0)
    return row[:, None] * C + channels[None, :], inside[:, None]


@triton.jit
def _im2col(images, offset, mask, patches, places, height, width, C: tl.constexpr, ROWS: tl.constexpr):
    tap = tl.program_id(0)
    place = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    valid, channels = place < places, tl.arange(0, C)
    top, left, fy, fx, m = _sample(offset, mask, place, valid, tap, height, width)
    value = tl.zeros((ROWS, C), tl.float32)
    for i in tl.static_range(4):
        down, right = i // 2, i % 2
        at, inside = _corner(place, valid, top + down, left + right, height, width, channels, C)
        weight = m * (fy if down else 1 - fy) * (fx if right else 1 - fx)
        value += weight[:, None] * tl.load(images + at, inside, 0.0).to(tl.float32)
    out = (place.to(tl.int64) * TAPS + tap)[:, None] * C + channels[None, :]
    tl.store(patches + out, value.to(patches.dtype.element_ty), valid[:, None])


@triton.jit
def _im2col_grad(images, offset, mask, grad, grad_images, grad_offset, grad_mask, places, height, width,
                 C: tl.constexpr, ROWS: tl.constexpr):
    tap = tl.program_id(0)
    place = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    valid, channels = place < places, tl.arange(0, C)
    top, left, fy, fx, m = _sample(offset, mask, place, valid, tap, height, width)
    at = (place.to(tl.int64) * TAPS + tap)[:, None] * C + channels[None, :]
    g = tl.load(grad + at, valid[:, None], 0.0).to(tl.float32)
    dy, dx, dm = tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.float32)
    for i in tl.static_range(4):
        down, right = i // 2, i % 2
        at, inside = _corner(place, valid, top + down, left + right, height, width, channels, C)
        wy, wx = fy if down else 1 - fy, fx if right else 1 - fx
        tl.atomic_add(grad_images + at, (m * wy * wx)[:, None] * g, inside, sem="relaxed")
        product = tl.sum(g * tl.load(images + at, inside, 0.0).to(tl.float32), 1)
        dm += wy * wx * product
        dy += (wx if down else -wx) * m * product
        dx += (wy if right else -wy) * m * product
    tl.store(grad_mask + place * TAPS + tap, dm, valid)
    tl.store(grad_offset + place * 18 + 2 * tap, dy, valid)
    tl.store(grad_offset + place * 18 + 2 * tap + 1, dx, valid)


def im2col(x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
    """x[n, h, w, c], float32 offset[n, h, w, 18] and mask[n, h, w, 9] -> patches[n * h * w, 9 * c]. c: a power of 2."""
    n, height, width, c = x.shape
    places = n * height * width
    patches = x.new_empty(places, 9 * c)
    _im2col[(9, triton.cdiv(places, ROWS))](x, offset, mask, patches, places, height, width, c, ROWS)
    return patches


def im2col_grad(x: Tensor, offset: Tensor, mask: Tensor, grad: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """The gradients of x, offset and mask, float32. Those of x are summed in no fixed order."""
    n, height, width, c = x.shape
    places = n * height * width
    grads = torch.zeros_like(x, dtype=torch.float32), torch.empty_like(offset), torch.empty_like(mask)
    _im2col_grad[(9, triton.cdiv(places, ROWS))](x, offset, mask, grad, *grads, places, height, width, c, ROWS)
    return grads
