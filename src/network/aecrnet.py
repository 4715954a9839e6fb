"""The AECR-Net generator (Wu et al., CVPR 2021, section 3.1) in its two published forms.

`gitee` is the graph of the model-zoo reference (src/models/model.py). `paper` is the authors' graph
(models/AECRNet.py). Both have an encoder to a quarter of the size, one shared FFA block that is passed six times, one
deformable convolution that is passed twice, and a decoder with adaptive mixup of the encoder's features. Cells and
parameters have the names of the originals, so that the originals' checkpoints load by name.
"""
from __future__ import annotations

from typing import Tuple

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from ..spec import MULTIPLE, PASSES, RGB_MEAN, RGB_STD, VALUE_RANGE
from .dcn import DCN, DeformConv2d
from .fast_deconv import FastDeconv
from .layers import ReflectionPad, Shift, WideConv, conv2d, reflect, spread, upsample
from .shapes import check_form


class PALayer(nn.Cell):
    """Pixel attention (FFA-Net): a factor in 0..1 for each pixel. Tensor[n, channel, h, w] -> the same shape."""

    def __init__(self, channel: int):
        super().__init__()
        self.pa = nn.SequentialCell(conv2d(channel, channel // 8, 1), nn.ReLU(), conv2d(channel // 8, 1, 1),
                                    nn.Sigmoid())

    def construct(self, x: Tensor) -> Tensor:
        return x * spread(self.pa(x), x.shape)


class CALayer(nn.Cell):
    """Channel attention (FFA-Net): a factor in 0..1 for each channel, computed from the means over the image.

    Tensor[n, channel, h, w] -> the same shape. Through the means, every output depends on the whole image.
    """

    def __init__(self, channel: int):
        super().__init__()
        self.ca = nn.SequentialCell(conv2d(channel, channel // 8, 1), nn.ReLU(), conv2d(channel // 8, channel, 1),
                                    nn.Sigmoid())

    def construct(self, x: Tensor) -> Tensor:
        mean = x.astype(mstype.float32).mean((2, 3), keep_dims=True).astype(x.dtype)
        return x * spread(self.ca(mean), x.shape)


class DehazeBlock(nn.Cell):
    """FFA block of two convolutions, channel and pixel attention and two residuals. Tensor[n, dim, h, w] -> same."""

    def __init__(self, dim: int, kernel_size: int = 3):
        super().__init__()
        self.conv1 = conv2d(dim, dim, kernel_size, padding=kernel_size // 2)
        self.act1 = nn.ReLU()
        self.conv2 = conv2d(dim, dim, kernel_size, padding=kernel_size // 2)
        self.calayer = CALayer(dim)
        self.palayer = PALayer(dim)

    def construct(self, x: Tensor) -> Tensor:
        res = self.act1(self.conv1(x)) + x
        return self.palayer(self.calayer(self.conv2(res))) + x


class DCNBlock(nn.Cell):
    """The cell around the authors' deformable convolution. It exists for the names of the parameters."""

    def __init__(self, in_channel: int, out_channel: int, backend: str = "auto"):
        super().__init__()
        self.dcn = DCN(in_channel, out_channel, backend=backend)

    def construct(self, x: Tensor) -> Tensor:
        return self.dcn(x)


class Mix(nn.Cell):
    """Adaptive mixup (eq. 2): sigmoid(w) * fea1 + (1 - sigmoid(w)) * fea2 with a learned scalar w."""

    def __init__(self, m: float, shape=()):
        super().__init__()
        self.w = Parameter(Tensor(np.full(shape, m, np.float32)), name="w")

    def construct(self, fea1: Tensor, fea2: Tensor) -> Tensor:
        factor = ops.sigmoid(self.w)
        return fea1 * factor + fea2 * (1.0 - factor)


class Dehaze(nn.Cell):
    """AECR-Net's generator.

    Args:
        arch: "gitee" or "paper", see the docstring of this module.
        dcn_sampling: "exact", or "gitee" for the reference's checkpoints (arch gitee only).
        dcn_backend: "auto", "gather" or "native", see `src.network.dcn.DeformConv2d`.

    construct(x): hazy image, float32 Tensor[n, 3, h, w] in 0..VALUE_RANGE[arch] -> restored image of the same shape
        and range, not clipped. h and w are at least 16. Reflection enlarges a side to the next multiple of 4, and the
        result is cut back.

    Raises: ValueError for another arch, dcn_sampling or dcn_backend.
    """

    def __init__(self, arch: str = "gitee", dcn_sampling: str = "exact", dcn_backend: str = "auto"):
        super().__init__()
        check_form(arch, dcn_sampling)
        self.arch, self.dcn_sampling = arch, dcn_sampling
        ngf = 64
        self.block = DehazeBlock(ngf * 4)
        if arch == "gitee":
            self._build_gitee(ngf, dcn_backend)
        else:
            self._build_paper(ngf, dcn_backend)

    def _build_gitee(self, ngf, dcn_backend):
        mean, std = np.array(RGB_MEAN), np.array(RGB_STD)
        self.sub_mean = Shift(1 / std, -VALUE_RANGE["gitee"] * mean / std)
        self.add_mean = Shift(std, VALUE_RANGE["gitee"] * mean)
        self.deconv = conv2d(3, 3, 3, padding=1)
        self.down1 = nn.SequentialCell(conv2d(3, ngf, 7, padding=3))
        self.down2 = nn.SequentialCell(conv2d(ngf, ngf * 2, 3, stride=2, padding=1))
        self.down3 = nn.SequentialCell(conv2d(ngf * 2, ngf * 4, 3, stride=2, padding=1))
        self.up1 = nn.SequentialCell(upsample(ngf * 4, ngf * 2, 1), nn.Pad(((0, 0), (0, 0), (0, 1), (0, 1))))
        self.up2 = nn.SequentialCell(upsample(ngf * 2, ngf, 1), nn.Pad(((0, 0), (0, 0), (0, 1), (0, 1))))
        self.up3 = nn.SequentialCell(WideConv(ngf, 3, 7, padding=3))
        self.dcn_block = DeformConv2d(ngf * 4, ngf * 4, sampling=self.dcn_sampling, backend=dcn_backend)
        self.mix4 = Mix(-1.0)
        self.mix5 = Mix(-0.6)

    def _build_paper(self, ngf, dcn_backend):
        self.deconv = FastDeconv(3, 3, 3, padding=1)
        self.down1 = nn.SequentialCell(ReflectionPad(3), conv2d(3, ngf, 7), nn.ReLU())
        self.down2 = nn.SequentialCell(conv2d(ngf, ngf * 2, 3, stride=2, padding=1), nn.ReLU())
        self.down3 = nn.SequentialCell(conv2d(ngf * 2, ngf * 4, 3, stride=2, padding=1), nn.ReLU())
        self.up1 = nn.SequentialCell(upsample(ngf * 4, ngf * 2, 0), nn.ReLU())
        self.up2 = nn.SequentialCell(upsample(ngf * 2, ngf, 0), nn.ReLU())
        self.up3 = nn.SequentialCell(ReflectionPad(3), WideConv(ngf, 3, 7, padding=0), nn.Tanh())
        self.dcn_block = DCNBlock(ngf * 4, ngf * 4, dcn_backend)
        self.mix1 = Mix(-1.0, (1,))
        self.mix2 = Mix(-0.6, (1,))

    def construct(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        x = reflect(reflect(x, 0, -h % MULTIPLE, 2), 0, -w % MULTIPLE, 3)
        return self.aligned(x)[:, :, :h, :w]

    def aligned(self, x: Tensor) -> Tensor:
        """As `construct`, for sides that are multiples of 4. It takes no size from Python, so it can be exported."""
        if self.arch == "gitee":
            return self.add_mean(self._restore(self.sub_mean(x), self.mix4, self.mix5))
        return self._restore(x, self.mix1, self.mix2)

    def _restore(self, x, mix_inner, mix_outer):
        x_down2 = self.down2(self.down1(self.deconv(x)))
        x_down3 = self.down3(x_down2)
        features = self.features(x_down3)
        x_up1 = self.up1(mix_inner(x_down3, features))
        return self.up3(self.up2(mix_outer(x_down2, x_up1)))

    def features(self, x: Tensor) -> Tensor:
        """The trunk at a quarter of the size: six passes through the block, two through the deformable convolution."""
        x = self._six_passes(x)
        return self.dcn_block(self.dcn_block(x))

    def _six_passes(self, x):
        for _ in range(PASSES):
            x = self.block(x)
        return x

    def probe(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """The numbers by which src/network/health.py judges the trunk.

        Args:
            x: as for `construct`; the sides are multiples of 4.

        Returns: three scalars and a Tensor[c]. The scalars are the deviation of the features before the six passes,
            their deviation after the six passes, and the mean absolute offset of the deformable convolution. The
            tensor holds the largest activation of each channel in the three layers of the encoder. The encoder of arch
            gitee has no activations; its tensor holds those of the first convolution of the block.
        """
        down1 = self.down1(self.deconv(self.sub_mean(x) if self.arch == "gitee" else x))
        down2 = self.down2(down1)
        down3 = self.down3(down2)
        after = self._six_passes(down3)
        if self.arch == "gitee":
            offset = self.dcn_block.p_conv(after)
            activations = (self.block.act1(self.block.conv1(down3)),)
        else:
            offset = self.dcn_block.dcn.conv_offset_mask(after)[:, :2 * self.dcn_block.dcn.taps]
            activations = (down1, down2, down3)
        peaks = ()
        for activation in activations:
            peaks += (ops.amax(activation, (0, 2, 3)),)
        return _deviation(down3), _deviation(after), ops.abs(offset).mean(), ops.concat(peaks)


def _deviation(x: Tensor) -> Tensor:
    return ops.sqrt(((x - x.mean()) ** 2).mean())
