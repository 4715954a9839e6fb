"""AECR-Net in the authors' form (`--arch paper`) for PyTorch, on CPU and CUDA, in bfloat16 if they have it.

Parameters have the authors' names, so `scripts/convert_weights.py aecrnet` reads the trained weights.
"""
from __future__ import annotations

import functools
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Callable, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recipe.winograd import Winograd4x4
from src.errors import InputError
from src.spec import PASSES


@functools.cache
def compiled(name: str) -> Any:
    """The operators of `name`.cpp. The first call compiles it. Raises: InputError if that needs what is not there."""
    from torch.utils.cpp_extension import load

    # PyTorch looks for ninja on PATH, where that of an environment is not unless somebody activated it
    os.environ["PATH"] += os.pathsep + str(Path(sys.executable).parent)
    needed = {"g++": shutil.which(os.environ.get("CXX", "c++")), "ninja": shutil.which("ninja")}
    if not all(needed.values()):
        missing = " and ".join(package for package, there in needed.items() if not there)
        raise InputError(f"{name}.cpp: to compile it for training on CPU takes {missing}")
    flags = ["-O3", "-march=native", "-ffast-math", "-fno-finite-math-only", "-fopenmp"]
    load(name, [str(Path(__file__).with_name(f"{name}.cpp"))], extra_cflags=flags, is_python_module=False)
    return getattr(torch.ops, name)


def has_bfloat16(x: Tensor) -> bool:
    """Whether the device of a tensor computes in bfloat16, and does not imitate it. CUDA is taken to."""
    return x.is_cuda or torch.cpu._is_avx512_bf16_supported()


class DeformPatches(torch.autograd.Function):
    """The patches that a 3x3 modulated deformable convolution multiplies with its kernel.

    x[n, h, w, c], offset[n, h, w, 18] as (dy, dx) for each tap, mask[n, h, w, 9] -> [n * h * w, 9 * c]. Samples
    outside x read 0.
    """

    @staticmethod
    def forward(ctx, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(x, offset, mask)
        return DeformPatches.code(x).im2col(x, offset, mask)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, offset, mask = ctx.saved_tensors
        grad_x, grad_offset, grad_mask = DeformPatches.code(x).im2col_grad(
            x, offset, mask, grad.contiguous().to(x.dtype))
        return grad_x.to(x.dtype), grad_offset, grad_mask

    @staticmethod
    def code(x: Tensor) -> Any:
        if x.is_cuda:
            from recipe import deform_triton

            return deform_triton
        return compiled("deform_im2col")


class DCN(nn.Module):
    """DCN_v2, 3x3. One convolution of the input, whose weights start at zero, gives offsets and mask."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.weight = nn.Parameter(nn.Conv2d(in_channels, out_channels, 3).weight.data)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.conv_offset_mask = nn.Conv2d(in_channels, 27, 3, padding=1)
        nn.init.zeros_(self.conv_offset_mask.weight)
        nn.init.zeros_(self.conv_offset_mask.bias)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv_offset_mask(x).float()  # a bfloat16 position is wrong by half a pixel at 128
        n, c, h, w = x.shape
        out = out.permute(0, 2, 3, 1)
        patches = DeformPatches.apply(x.permute(0, 2, 3, 1).contiguous(), out[..., :18].contiguous(),
                                      torch.sigmoid(out[..., 18:]).contiguous())
        weight = self.weight.permute(2, 3, 1, 0).reshape(9 * c, -1)
        result = torch.addmm(self.bias.to(patches.dtype), patches, weight.to(patches.dtype))
        return result.view(n, h, w, -1).permute(0, 3, 1, 2)


class FastDeconv(nn.Module):
    """A 3x3 convolution of whitened patches with the stored statistics, as `train.py --freeze_deconv` uses them."""

    def __init__(self):
        super().__init__()
        like = nn.Conv2d(3, 3, 3)
        self.weight, self.bias = nn.Parameter(like.weight.data), nn.Parameter(like.bias.data)
        self.register_buffer("running_mean", torch.zeros(27))
        self.register_buffer("running_deconv", torch.eye(27))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.reshape(3, 27) @ self.running_deconv
        bias = self.bias - weight @ self.running_mean
        return F.conv2d(x, weight.view_as(self.weight), bias, padding=1)


class WinogradConv(torch.autograd.Function):
    """3x3 convolution with padding 1 by Winograd's F(2x2, 3x3), in bfloat16 on CPU.

    x[n, h, w, in] bfloat16, weight[out, in, 3, 3], bias[out] float32 -> [n, h, w, out] bfloat16; in and out are
    multiples of 64. In bfloat16, oneDNN has only the direct convolution. With all gradients, this code takes 0.55 of
    its time (3 maps of 48x48, 256 channels) and has 1.6 to 2 times its rounding error.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x, weight = x.contiguous(), weight.contiguous()
        ctx.save_for_backward(x, weight)
        return compiled("winograd").convolve(x, weight, bias, False)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        grad = grad.to(x.dtype).contiguous()
        code = compiled("winograd")
        return code.convolve(grad, weight, None, True), code.weight_grad(x, grad), grad.float().sum((0, 1, 2))


class Conv3x3(nn.Conv2d):
    """3x3 convolution with padding 1. Uses Winograd's method on CPU: larger tiles in float32 than in bfloat16."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda:
            return super().forward(x)
        if torch.is_autocast_enabled("cpu"):
            rows = WinogradConv.apply(x.to(torch.bfloat16).permute(0, 2, 3, 1), self.weight, self.bias)
        else:
            rows = Winograd4x4.apply(x.permute(0, 2, 3, 1), self.weight, self.bias)
        return rows.permute(0, 3, 1, 2)


class ShallowConv(nn.Conv2d):
    """A large convolution from few channels. The rows of its kernel become channels, which fill the vector units.

    It is exact, and takes 0.56 of the time of `nn.Conv2d` (3 to 64 channels, 7x7, float32, with gradients).
    """

    def forward(self, x: Tensor) -> Tensor:
        rows, out_height = self.kernel_size[0], x.shape[2] - self.kernel_size[0] + 1
        shifted = torch.cat([x[:, :, row:row + out_height] for row in range(rows)], 1)
        weight = self.weight.permute(0, 2, 1, 3).reshape(self.out_channels, -1, 1, self.kernel_size[1])
        return F.conv2d(shifted, weight, self.bias)


class WideConv(nn.Conv2d):
    """A large convolution to few channels as a sum of one-row kernels, as `WideConv` in src/network/layers.py.

    It is exact, and takes 0.43 of the time of `nn.Conv2d` (64 to 3 channels, 7x7, float32, with gradients).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(in_channels, out_channels, kernel_size)
        ones = torch.zeros(out_channels, kernel_size, out_channels, kernel_size, 1)
        for row in range(kernel_size):
            ones[:, row, :, row, 0] = torch.eye(out_channels)
        self.register_buffer("ones", ones.reshape(out_channels, -1, kernel_size, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.permute(2, 0, 1, 3).reshape(-1, self.in_channels, 1, self.kernel_size[1])
        return F.conv2d(F.conv2d(x, weight), self.ones, self.bias)


class CALayer(nn.Module):
    def __init__(self, channel: int):
        super().__init__()
        self.ca = nn.Sequential(nn.Conv2d(channel, channel // 8, 1), nn.ReLU(), nn.Conv2d(channel // 8, channel, 1),
                                nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True, dtype=torch.float32)
        return x * self.ca(mean.to(x.dtype))


class PALayer(nn.Module):
    def __init__(self, channel: int):
        super().__init__()
        self.pa = nn.Sequential(nn.Conv2d(channel, channel // 8, 1), nn.ReLU(), nn.Conv2d(channel // 8, 1, 1),
                                nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.pa(x)


class DehazeBlock(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.conv1, self.conv2 = Conv3x3(dim, dim), Conv3x3(dim, dim)
        self.calayer, self.palayer = CALayer(dim), PALayer(dim)

    def forward(self, x: Tensor) -> Tensor:
        res = self.conv2(torch.relu(self.conv1(x)) + x)
        return self.palayer(self.calayer(res)) + x


class DCNBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.dcn = DCN(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.dcn(x)


class Mix(nn.Module):
    """Adaptive mixup: sigmoid(w) * a + (1 - sigmoid(w)) * b."""

    def __init__(self, m: float):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([m]))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        factor = torch.sigmoid(self.w).to(a.dtype)
        return a * factor + b * (1 - factor)


class Dehaze(nn.Module):
    """The network. Hazy float32[n, 3, h, w] in 0..1, sides multiples of 4 -> restored, the same shape.

    Args:
        amp: compute in bfloat16, except in the first layer, and on CPU in the second and the last one, which are slower
            in bfloat16 there. Parameters, sampling positions and channel means stay float32. A CPU without AVX-512's
            bfloat16 computes in float32: there, a training step in bfloat16 took 22 times as long (8 crops of 64 px).
    """

    def __init__(self, ngf: int = 64, amp: bool = True):
        super().__init__()
        self.amp = amp
        self.deconv = FastDeconv()
        self.down1 = nn.Sequential(nn.ReflectionPad2d(3), ShallowConv(3, ngf, 7), nn.ReLU())
        self.down2 = nn.Sequential(nn.Conv2d(ngf, ngf * 2, 3, 2, 1), nn.ReLU())
        self.down3 = nn.Sequential(nn.Conv2d(ngf * 2, ngf * 4, 3, 2, 1), nn.ReLU())
        self.block = DehazeBlock(ngf * 4)
        self.up1 = nn.Sequential(nn.ConvTranspose2d(ngf * 4, ngf * 2, 3, 2, 1, 1), nn.ReLU())
        self.up2 = nn.Sequential(nn.ConvTranspose2d(ngf * 2, ngf, 3, 2, 1, 1), nn.ReLU())
        self.up3 = nn.Sequential(nn.ReflectionPad2d(3), WideConv(ngf, 3, 7), nn.Tanh())
        self.dcn_block = DCNBlock(ngf * 4, ngf * 4)
        self.mix1, self.mix2 = Mix(-1.0), Mix(-0.6)

    def forward(self, x: Tensor) -> Tensor:
        return self.pass_through(x, self.encode, self.block, self.decode)

    def pass_through(self, x: Tensor, encode: Callable, block: Callable, decode: Callable) -> Tensor:
        """`forward` with these functions in place of the network's own, which may be compiled forms of them."""
        down2, down3 = encode(x)
        with self._autocast(x):
            features = down3
            for _ in range(PASSES):
                features = block(features)
            features = self.dcn_block(self.dcn_block(features)).to(down3.dtype)
        return decode(down2, down3, features)

    def encode(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        """Hazy image -> features at a half and a quarter of its sides."""
        x = self.deconv(x)
        with self._autocast(x, "cuda"):
            x = self.down1(x)
        with self._autocast(x):
            down2 = self.down2(x)
            return down2, self.down3(down2)

    def decode(self, down2: Tensor, down3: Tensor, features: Tensor) -> Tensor:
        """Features of the encoder and of the trunk -> restored image."""
        with self._autocast(features):
            up1 = self.up1(self.mix1(down3, features))
            up2 = self.up2(self.mix2(down2, up1))
        with self._autocast(features, "cuda"):
            return self.up3(up2 if features.is_cuda else up2.float()).float()

    def _autocast(self, x: Tensor, *devices: str) -> torch.autocast:
        kind = x.device.type
        wanted = self.amp and kind in (devices or (kind,)) and has_bfloat16(x)
        return torch.autocast(kind, dtype=torch.bfloat16, enabled=wanted)


def compiled_network(net: Dehaze) -> Callable[[Tensor], Tensor]:
    """`net` with its parts compiled by torch.compile, except the deformable convolution. Hooks are not called."""
    parts = [torch.compile(part, dynamic=False) for part in (net.encode, net.block, net.decode)]
    return lambda x: net.pass_through(x, *parts)
