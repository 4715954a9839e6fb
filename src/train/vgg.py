"""The VGG19 features in which the contrastive loss compares images."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Tuple

import numpy as np
from mindspore import Tensor, nn, ops

from ..errors import InputError
from ..files import PathLike
from ..network.checkpoint import load_checkpoint, load_into

WIDTHS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512, 512, 512, "pool", 512)
SLICE_ENDS = (1, 6, 11, 20, 29)  # last layers of the maps relu1_1, relu2_1, relu3_1, relu4_1, relu5_1
SURPLUS = re.compile(r"layers\.(30|32|34)\.(weight|bias)|classifier\..+")  # parameters of a whole VGG19 after relu5_1
WHERE_TO_GET = (
    "give --vgg_ckpt the model zoo's vgg19_ImageNet.ckpt (MindSpore download centre, VGG19) or torchvision's"
    " vgg19-dcbb9e9d.pth converted with `python scripts/convert_weights.py vgg19 vgg19-dcbb9e9d.pth vgg19.ckpt`,"
    " or train without the contrastive loss: --contra_lambda 0"
)


class Vgg19(nn.Cell):
    """VGG19 (Simonyan and Zisserman 2015, configuration E) up to relu5_1; its weights are never trained.

    Layer N is torchvision's `features.N`: the parameters are `layers.N.weight[, layers.N.bias]`. The input is not
    normalised with ImageNet's mean and deviation, as in both originals. Its values are 0..255 in the gitee graph and
    0..1 in the authors' graph.

    Args:
        has_bias: whether the convolutions add a bias. torchvision's weights have biases, the model zoo's have none.

    Inputs: x Tensor[n, 3, h, w], h and w at least 16.
    Outputs: five Tensors[n, 64 | 128 | 256 | 512 | 512, h / s, w / s], s = 1, 2, 4, 8, 16, rounded down.
    """

    def __init__(self, has_bias: bool = False) -> None:
        super().__init__()
        layers = []
        channels = 3
        for width in WIDTHS:
            if width == "pool":
                layers.append(nn.MaxPool2d(2, 2))
                continue
            # for three input channels MindSpore's own gradient is faster
            conv = nn.Conv2d if channels == 3 else FrozenConv2d
            layers += [conv(channels, width, 3, pad_mode="pad", padding=1, has_bias=has_bias), nn.ReLU()]
            channels = width
        self.layers = nn.SequentialCell(layers)
        for parameter in self.get_parameters():
            parameter.requires_grad = False

    def construct(self, x: Tensor) -> Tuple[Tensor, ...]:
        maps = ()
        for index in range(len(SLICE_ENDS)):
            x = self.slice(index, x)
            maps += (x,)
        return maps

    def slice(self, index: int, x: Tensor) -> Tensor:
        """Map `index` of the five, computed from the map before it. `x` of the first map is the image."""
        start = SLICE_ENDS[index - 1] + 1 if index else 0
        for layer in range(start, SLICE_ENDS[index] + 1):
            x = self.layers[layer](x)
        return x


class FrozenConv2d(nn.Conv2d):
    """nn.Conv2d with a 3x3 kernel and padding 1, whose weights never get a gradient.

    Its gradient by x is a convolution with the kernel turned by 180 degrees, and is written as one here. A forward and
    backward pass of VGG19 (4 images of 240 px, MindSpore 2.8.0 on CPU) then takes 0.5 GB instead of 1.2 GB in the same
    time, because the built-in Conv2DBackpropInput keeps a workspace for every layer.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.convolve = _SameConvolution(self.in_channels, self.out_channels)

    def construct(self, x: Tensor) -> Tensor:
        output = self.convolve(x, self.weight)
        return self.bias_add(output, self.bias) if self.has_bias else output


class _SameConvolution(nn.Cell):
    """x Tensor[n, c_in, h, w], weight Tensor[c_out, c_in, 3, 3] -> Tensor[n, c_out, h, w]; gradient by x only."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.forward = ops.Conv2D(out_channels, 3, pad_mode="pad", pad=1)
        self.backward = ops.Conv2D(in_channels, 3, pad_mode="pad", pad=1)
        self.turn = Tensor(np.eye(9, dtype=np.float32)[::-1].copy())

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.forward(x, weight)

    def bprop(self, x, weight, out, dout):
        # A matmul turns the kernel, because ops.flip is ten times slower on CPU. `depend` delays it until it is needed.
        taps = ops.depend(weight, dout).reshape(-1, 9)
        turned = ops.matmul(taps, self.turn).reshape(weight.shape).transpose(1, 0, 2, 3)
        return self.backward(dout, turned), ops.zeros_like(weight)


def load_vgg19(path: PathLike) -> Vgg19:
    """A Vgg19 with the weights of a checkpoint, the model zoo's or one that convert_weights.py wrote.

    The file decides whether the convolutions have biases. The layers after relu5_1 and the classifier are ignored.

    Raises: InputError if the file is missing, or if another parameter is missing, unexpected or of another shape.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such VGG19 file; {WHERE_TO_GET}")
    held = {name: value for name, value in load_checkpoint(path)[0].items() if not SURPLUS.fullmatch(name)}
    vgg = Vgg19(has_bias=any(re.fullmatch(r"layers\.\d+\.bias", name) for name in held))
    try:
        load_into(vgg, held, path)
    except InputError as error:
        raise InputError(f"not the weights of VGG19: {error}") from None
    return vgg


def random_vgg19(seed: int = 0) -> Vgg19:
    """A Vgg19 with random He-scaled weights, for tests only (--vgg_random).

    Its features mean nothing: a network that is trained with them gains nothing from the contrastive loss.
    """
    random = np.random.RandomState(seed)
    vgg = Vgg19()
    for parameter in vgg.get_parameters():
        deviation = np.sqrt(2.0 / np.prod(parameter.shape[1:]))
        parameter.set_data(Tensor((random.standard_normal(parameter.shape) * deviation).astype(np.float32)))
    return vgg
