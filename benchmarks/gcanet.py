"""GCANet's layout (Chen et al., WACV 2019) with random weights, to compare its time.

    encoder: 3x3, 3x3, 3x3 with stride 2, 64 channels, each with instance norm and ReLU; the 4th input is edges
    middle:  seven residual blocks of two smoothed dilated 3x3 convolutions, dilations 2, 2, 2, 4, 4, 4, 1
    fusion:  a 3x3 convolution weighs the features of three depths
    decoder: transposed 4x4 with stride 2, 3x3, 1x1
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DILATIONS = (2, 2, 2, 4, 4, 4, 1)
CHANNELS = 64


class Smoothed(nn.Module):
    """A dilated 3x3 convolution behind one kernel of (2 * dilation - 1)^2 that all channels share."""

    def __init__(self, dilation: int):
        super().__init__()
        self.shared = nn.Parameter(torch.rand(1, 1, 2 * dilation - 1, 2 * dilation - 1))
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.InstanceNorm2d(CHANNELS, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.shared.expand(CHANNELS, 1, -1, -1).contiguous()
        smooth = F.conv2d(x, kernel, padding=self.shared.shape[-1] // 2, groups=CHANNELS)
        return self.norm(self.conv(smooth))


class Residual(nn.Module):
    def __init__(self, dilation: int):
        super().__init__()
        self.first, self.second = Smoothed(dilation), Smoothed(dilation)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class GCANet(nn.Module):
    """float32[n, 4, h, w], h and w even -> float32[n, 3, h, w]."""

    def __init__(self):
        super().__init__()
        def layer(kind, c_in, *arguments, **more):
            return nn.Sequential(kind(c_in, CHANNELS, *arguments, **more), nn.InstanceNorm2d(CHANNELS, affine=True),
                                 nn.ReLU())

        self.encoder = nn.Sequential(layer(nn.Conv2d, 4, 3, padding=1, bias=False),
                                     layer(nn.Conv2d, CHANNELS, 3, padding=1, bias=False),
                                     layer(nn.Conv2d, CHANNELS, 3, stride=2, padding=1, bias=False))
        self.blocks = nn.ModuleList(Residual(dilation) for dilation in DILATIONS)
        self.gate = nn.Conv2d(3 * CHANNELS, 3, 3, padding=1)
        self.decoder = nn.Sequential(layer(nn.ConvTranspose2d, CHANNELS, 4, 2, 1),
                                     layer(nn.Conv2d, CHANNELS, 3, padding=1, bias=False),
                                     nn.Conv2d(CHANNELS, 3, 1))

    def forward(self, x: Tensor) -> Tensor:
        first = x = self.encoder(x)
        depths = [first]
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number == 2:
                depths.append(x)
        depths.append(x)
        gates = self.gate(torch.cat(depths, 1))
        return self.decoder(sum(gates[:, i:i + 1] * depth for i, depth in enumerate(depths)))
