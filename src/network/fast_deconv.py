"""FastDeconv: a convolution over whitened input patches (Ye et al., ICLR 2020)."""
from __future__ import annotations

from typing import Tuple

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from .layers import zero_pad


class FastDeconv(nn.Cell):
    """A convolution with stride 1 over centred and decorrelated patches, as in the authors' deconv.py.

    In training, the patch mean and the whitening matrix come from the batch, and the cell updates their running
    averages. The whitening matrix is the inverse square root of the covariance, from Newton-Schulz iterations. In
    evaluation, the cell uses the running averages. It folds mean and matrix into the kernel, so it costs as much as a
    convolution.

    Args:
        padding: number of zeros on each side.

    construct(x): Tensor[n, in_channels, h, w] -> Tensor[n, out_channels, h', w'].

    After `freeze_statistics()` training uses the running averages and does not change them.
    After `average_over_ranks(size)` the statistics are those of the batch of all ranks of a distributed run.
    """

    eps = 1e-5
    iterations = 5
    momentum = 0.1
    sampling_stride = 3

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, padding: int = 0):
        super().__init__()
        self.kernel_size, self.padding = kernel_size, padding
        self.features = in_channels * kernel_size**2
        like = nn.Conv2d(in_channels, out_channels, kernel_size, has_bias=True)
        self.weight = Parameter(like.weight.value(), name="weight")
        self.bias = Parameter(like.bias.value(), name="bias")
        self.running_mean = Parameter(np.zeros(self.features, np.float32), name="running_mean", requires_grad=False)
        self.running_deconv = Parameter(np.eye(self.features, dtype=np.float32), name="running_deconv",
                                        requires_grad=False)
        self.identity = Tensor(np.eye(self.features, dtype=np.float32))
        self.frozen = False
        self.ranks, self.sum_over_ranks = 1, None
        self.conv = ops.Conv2D(out_channels, kernel_size, pad_mode="pad", pad=padding)

    def freeze_statistics(self) -> None:
        """Use the running averages in training too, from the next compilation on."""
        self.frozen = True

    def average_over_ranks(self, size: int) -> None:
        """Compute mean and covariance over patches of all `size` ranks. The ranks must have equally many patches."""
        self.ranks, self.sum_over_ranks = size, ops.AllReduce()

    def construct(self, x: Tensor) -> Tensor:
        if self.training and not self.frozen:
            mean, deconv = self._statistics(x)
            ops.assign(self.running_mean, self._average(self.running_mean, mean))
            ops.assign(self.running_deconv, self._average(self.running_deconv, deconv))
        else:
            mean, deconv = self.running_mean, self.running_deconv
        weight = ops.matmul(self.weight.reshape(-1, self.features), deconv)
        bias = self.bias - ops.matmul(weight, mean.reshape(-1, 1)).reshape(-1)
        return self.conv(x, weight.reshape(self.weight.shape)) + bias.reshape(1, -1, 1, 1)

    def _average(self, old: Tensor, new: Tensor) -> Tensor:
        return old * (1.0 - self.momentum) + ops.stop_gradient(new) * self.momentum

    def _statistics(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        """Mean and whitening matrix of every third patch in both directions, which is the authors' sample."""
        patches = self._patches(x)
        mean = self._over_ranks(patches.mean(0))
        patches = patches - mean
        covariance = self._over_ranks(ops.matmul(patches.transpose(1, 0), patches) / patches.shape[0])
        return mean, self._inverse_square_root(covariance + self.eps * self.identity)

    def _over_ranks(self, x: Tensor) -> Tensor:
        return x if self.ranks == 1 else self.sum_over_ranks(x) / self.ranks

    def _patches(self, x: Tensor) -> Tensor:
        """The patches, Tensor[count, in_channels * kernel_size**2]. The order is that of the kernel's weights."""
        h, w = x.shape[2:]
        p, k = self.padding, self.kernel_size
        x = zero_pad(x, p)
        # gather, because strided slices raise an error in the backward pass of PyNative mode
        starts_y = np.arange(0, h + 2 * p - k + 1, self.sampling_stride)
        starts_x = np.arange(0, w + 2 * p - k + 1, self.sampling_stride)
        taps = []
        for i in range(k):
            rows = ops.gather(x, Tensor(starts_y + i, mstype.int32), 2)
            for j in range(k):
                taps.append(ops.gather(rows, Tensor(starts_x + j, mstype.int32), 3))
        return ops.stack(taps, 2).transpose(0, 3, 4, 1, 2).reshape(-1, self.features)

    def _inverse_square_root(self, matrix: Tensor) -> Tensor:
        norm = ops.sqrt((matrix * matrix).sum())
        y, z = matrix / norm, self.identity
        for _ in range(self.iterations):
            t = 0.5 * (3.0 * self.identity - ops.matmul(z, y))
            y, z = ops.matmul(y, t), ops.matmul(t, z)
        return z / ops.sqrt(norm)
