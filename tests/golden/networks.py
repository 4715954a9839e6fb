"""Both published networks and the deformable convolutions, written down from the publications in PyTorch.

Nothing here comes from src/. A dictionary holds the weights by the originals' names.
"""
from __future__ import annotations

from typing import Dict, Iterator, NamedTuple, Tuple

import numpy as np
import torch
from torch.nn import functional

Weights = Dict[str, torch.Tensor]
MEAN = torch.tensor([0.58726025, 0.59813744, 0.63799095])  # of RGB in 0..1, the model zoo's constants
STD = torch.tensor([0.18993913, 0.18339698, 0.17736082])


class Stages(NamedTuple):
    """What a network computes at a quarter of the size, and its result."""

    down3: torch.Tensor
    block6: torch.Tensor
    dcn1: torch.Tensor
    out: torch.Tensor


def convolve(x: torch.Tensor, weights: Weights, name: str, **geometry) -> torch.Tensor:
    return functional.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), **geometry)


def block(x: torch.Tensor, weights: Weights) -> torch.Tensor:
    """The FFA block: convolution, ReLU, sum; convolution, channel and pixel attention, sum."""
    inner = functional.relu(convolve(x, weights, "block.conv1", padding=1)) + x
    inner = convolve(inner, weights, "block.conv2", padding=1)
    inner = inner * _attention(inner.mean((2, 3), keepdim=True), weights, "block.calayer.ca")
    return inner * _attention(inner, weights, "block.palayer.pa") + x


def _attention(x, weights, name):
    return torch.sigmoid(convolve(functional.relu(convolve(x, weights, f"{name}.0")), weights, f"{name}.2"))


def six_blocks(x: torch.Tensor, weights: Weights) -> torch.Tensor:
    for _ in range(6):
        x = block(x, weights)
    return x


def mix(one: torch.Tensor, other: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Adaptive mixup, eq. 2 of Wu et al. 2021."""
    share = torch.sigmoid(weight)
    return share * one + (1 - share) * other


# The authors' network

def authors(x: torch.Tensor, weights: Weights, mean: torch.Tensor, whitening: torch.Tensor) -> Stages:
    """Values of 0..1. FastDeconv has the statistics `mean` and `whitening` of `whitening_of`."""
    kernel = (weights["deconv.weight"].reshape(3, 27) @ whitening).reshape(3, 3, 3, 3)
    shift = weights["deconv.bias"] - kernel.reshape(3, 27) @ mean
    x = functional.conv2d(x, kernel, shift, padding=1)
    down1 = functional.relu(convolve(functional.pad(x, (3,) * 4, "reflect"), weights, "down1.1"))
    down2 = functional.relu(convolve(down1, weights, "down2.0", stride=2, padding=1))
    down3 = functional.relu(convolve(down2, weights, "down3.0", stride=2, padding=1))
    block6 = six_blocks(down3, weights)
    dcn1 = authors_deformable(block6, weights)
    dcn2 = authors_deformable(dcn1, weights)
    up1 = functional.relu(_enlarged(mix(down3, dcn2, weights["mix1.w"]), weights, "up1.0", output_padding=1))
    up2 = functional.relu(_enlarged(mix(down2, up1, weights["mix2.w"]), weights, "up2.0", output_padding=1))
    out = torch.tanh(convolve(functional.pad(up2, (3,) * 4, "reflect"), weights, "up3.1"))
    return Stages(down3, block6, dcn1, out)


def _enlarged(x, weights, name, **geometry):
    return functional.conv_transpose2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=2, padding=1,
                                       **geometry)


def authors_deformable(x: torch.Tensor, weights: Weights) -> torch.Tensor:
    """DCN_v2 with offsets and masks from one convolution of 27 channels."""
    channels = convolve(x, weights, "dcn_block.dcn.conv_offset_mask", padding=1)
    return deform_conv2d(x, channels[:, :18], weights["dcn_block.dcn.weight"], weights["dcn_block.dcn.bias"],
                         padding=(1, 1), mask=torch.sigmoid(channels[:, 18:]))


def deform_conv2d(x, offset, weight, bias, stride=(1, 1), padding=(0, 0), dilation=(1, 1), mask=None):
    """torchvision's operator where it can be used, otherwise its definition."""
    try:
        from torchvision.ops import deform_conv2d as operator
    except (ImportError, RuntimeError):  # RuntimeError: a torchvision that does not fit to torch
        operator = by_definition
    return operator(x, offset, weight, bias, stride=stride, padding=padding, dilation=dilation, mask=mask)


def by_definition(x, offset, weight, bias, stride, padding, dilation, mask=None):
    """Equation 1 of Zhu et al. 2019, with `grid_sample` for the bilinear samples, which are 0 outside the map."""
    n, _, height, width = x.shape
    kernel_h, kernel_w = weight.shape[2:]
    rows, columns = offset.shape[2:]
    out = bias.reshape(1, -1, 1, 1).expand(n, -1, rows, columns)
    for tap in range(kernel_h * kernel_w):
        i, j = divmod(tap, kernel_w)
        y = offset[:, 2 * tap] + (torch.arange(rows) * stride[0] - padding[0] + i * dilation[0])[:, None]
        x_at = offset[:, 2 * tap + 1] + torch.arange(columns) * stride[1] - padding[1] + j * dilation[1]
        grid = torch.stack([2 * x_at / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)
        samples = functional.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
        samples = samples if mask is None else samples * mask[:, tap:tap + 1]
        out = out + torch.einsum("nchw,oc->nohw", samples, weight[:, :, i, j])
    return out


def whitening_of(patches: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Mean of patches[count, features], and the inverse square root of their covariance by five Newton-Schulz steps.

    Ye et al. 2020, section 3.
    """
    size = patches.shape[1]
    mean = patches.mean(0)
    covariance = (patches - mean).T @ (patches - mean) / len(patches) + 1e-5 * np.eye(size)
    norm = np.sqrt((covariance**2).sum())
    y, z = covariance / norm, np.eye(size)
    for _ in range(5):
        t = 0.5 * (3 * np.eye(size) - z @ y)
        y, z = y @ t, t @ z
    return mean, z / np.sqrt(norm)


def patches_of(x: np.ndarray, stride: int) -> np.ndarray:
    """The 3x3 patches of the zero-padded images, [count, channels * 9]."""
    columns = functional.unfold(torch.tensor(x), 3, padding=1, stride=stride)
    return columns.transpose(1, 2).reshape(-1, columns.shape[1]).numpy()


# The model zoo's network

def model_zoo(x: torch.Tensor, weights: Weights, given: Stages = None) -> Stages:
    """Values of 0..255. Without activations outside the block, zero padding, the sampling of `zoo_deformable`.

    Args: `given` stages: each is computed from the given one before it. Offsets of thousands of pixels would otherwise
        carry the rounding of one stage into the next.
    """
    x = (x - 255 * MEAN.reshape(1, 3, 1, 1)) / STD.reshape(1, 3, 1, 1)
    x = convolve(x, weights, "deconv", padding=1)
    down2 = convolve(convolve(x, weights, "down1.0", padding=3), weights, "down2.0", stride=2, padding=1)
    down3 = convolve(down2, weights, "down3.0", stride=2, padding=1)
    first = given.down3 if given else down3
    block6 = six_blocks(first, weights)
    dcn1 = zoo_deformable(given.block6 if given else block6, weights)
    dcn2 = zoo_deformable(given.dcn1 if given else dcn1, weights)
    up1 = _last_zero(_enlarged(mix(first, dcn2, weights["mix4.w"]), weights, "up1.0"))
    up2 = _last_zero(_enlarged(mix(down2, up1, weights["mix5.w"]), weights, "up2.0"))
    out = convolve(up2, weights, "up3.0", padding=3)
    out = (out + 255 * MEAN.reshape(1, 3, 1, 1)) / STD.reshape(1, 3, 1, 1)  # its add_mean is no inverse
    return Stages(down3, block6, dcn1, out)


def _last_zero(x):
    """A row and a column of zeros at the end."""
    return functional.pad(x, (0, 1, 0, 1))


def zoo_deformable(x: torch.Tensor, weights: Weights, name: str = "dcn_block") -> torch.Tensor:
    """The model zoo's DCN_v2 with its three faults.

    Element f of the flattened map, and not pixel (i, j), has row f mod h and column f div h. Positions of the padded
    map are limited to the size without padding, so that the two weights of an axis add up to 2 at the border. The rows
    of taps are stacked for the whole map.
    """
    n, channels, h, w = x.shape
    offset = convolve(x, weights, f"{name}.p_conv", padding=1)
    mask = torch.sigmoid(convolve(x, weights, f"{name}.m_conv", padding=1))
    pixels = functional.pad(x, (1, 1, 1, 1)).reshape(n, channels, -1)
    flat, tap = torch.arange(h * w).reshape(h, w), torch.arange(9).reshape(9, 1, 1)
    y = offset[:, :9] + (flat % h + 1) + (tap % 3 - 1)
    x_at = offset[:, 9:] + (flat // h + 1) + (tap // 3 - 1)
    samples = 0
    for row, weight_y in _neighbours(y, h):
        for column, weight_x in _neighbours(x_at, w):
            index = (row * (w + 2) + column).long().reshape(n, 1, -1).expand(-1, channels, -1)
            values = pixels.gather(2, index).reshape(n, channels, 9, h, w)
            samples = samples + values * (weight_y * weight_x * mask)[:, None]
    rows = [samples[:, :, start:start + 3].permute(0, 1, 3, 4, 2).reshape(n, channels, h, 3 * w)
            for start in (0, 3, 6)]
    return convolve(torch.cat(rows, 2), weights, f"{name}.conv", stride=3)


def _neighbours(position: torch.Tensor, size: int) -> Iterator[Tuple[torch.Tensor, torch.Tensor]]:
    """The two pixels of one axis, each limited to the size, and their weights."""
    low = torch.floor(position)
    inside = position.clamp(0, size - 1)
    for pixel in (low.clamp(0, size - 1), (low + 1).clamp(0, size - 1)):
        yield pixel, 1 - (pixel - inside).abs()


# VGG19

VGG = ((0, 2), (5, 7), (10, 12, 14, 16), (19, 21, 23, 25), (28,))  # convolutions between the poolings
CUTS = (0, 5, 10, 19, 28)  # convolutions whose ReLU gives the five maps


def vgg_maps(x: torch.Tensor, weights: Weights, name: str) -> list:
    """The maps relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1."""
    maps = []
    for level, layers in enumerate(VGG):
        x = functional.max_pool2d(x, 2) if level else x
        for layer in layers:
            x = functional.relu(convolve(x, weights, f"{name}.{layer}", padding=1))
            maps += [x] if layer in CUTS else []
    return maps


def vgg_shapes(name: str, has_bias: bool) -> Dict[str, Tuple[int, ...]]:
    """The names and shapes of the weights that `vgg_maps` needs."""
    shapes, before = {}, 3
    for level, layers in enumerate(VGG):
        for layer in layers:
            after = 64 * min(8, 2**level)
            shapes[f"{name}.{layer}.weight"] = (after, before, 3, 3)
            shapes.update({f"{name}.{layer}.bias": (after,)} if has_bias else {})
            before = after
    return shapes
