"""The cases of the benchmark that run the network or parts of it. Each has a floor that does not depend on our code."""
from __future__ import annotations

import mindspore
from mindspore import Tensor, nn, ops

import _clone  # noqa: F401
from measuring import Case, flat, graph, random
from src.cli import config
from src.distributed.ranks import Ranks
from src.network.aecrnet import Dehaze
from src.network.dcn import modulated_deform_conv2d
from src.network.layers import WideConv, conv2d, upsample
from src.spec import VALUE_RANGE
from src.train import setup
from src.train.loss import ContrastLoss
from src.train.vgg import random_vgg19


def _dcn_arguments():
    return (random(1, 256, 60, 60), random(1, 18, 60, 60, scale=2.0), ops.sigmoid(random(1, 9, 60, 60)),
            random(256, 256, 3, 3, scale=0.02))


def _ours_dcn(x, offset, mask, weight):
    return modulated_deform_conv2d(x, offset, mask, weight, padding=1)


def _mindspore_dcn(x, offset, mask, weight):
    return ops.deformable_conv2d(x, weight, ops.concat((offset, mask), 1), (3, 3), (1, 1, 1, 1), (1, 1, 1, 1))


def dcn(folder):
    arguments = _dcn_arguments()
    return Case(graph(_ours_dcn, *arguments), graph(_mindspore_dcn, *arguments),
                "ops.deformable_conv2d, 256 channels, 60x60, forward", 0.8)


def dcn_gradient(folder):
    arguments = _dcn_arguments()
    ours, floor = (mindspore.grad(function, (0, 1, 2, 3)) for function in (_ours_dcn, _mindspore_dcn))
    return Case(graph(ours, *arguments), graph(floor, *arguments), "the same with all gradients", 0.35)


def wide_conv(folder):
    x = random(1, 64, 486, 646)
    return Case(graph(WideConv(64, 3, 7, padding=0), x), graph(conv2d(64, 3, 7), x),
                "nn.Conv2d, 7x7, 64 to 3 channels, 480x640", 0.4)


class BareConvolutions(nn.Cell):
    """The convolutions of the network in sequence, with nothing between them. Deformable ones are plain ones here."""

    def __init__(self):
        super().__init__()
        self.first = nn.SequentialCell(conv2d(3, 3, 3, padding=1), conv2d(3, 64, 7, padding=3),
                                       conv2d(64, 128, 3, 2, 1), conv2d(128, 256, 3, 2, 1))
        self.trunk = nn.CellList([conv2d(256, 256, 3, padding=1) for _ in range(12)])
        self.attention = nn.CellList([nn.SequentialCell(conv2d(256, 32, 1), conv2d(32, 1, 1)) for _ in range(6)])
        self.offsets = nn.CellList([conv2d(256, 27, 3, padding=1) for _ in range(2)])
        self.deform = nn.CellList([conv2d(256, 256, 3, padding=1) for _ in range(2)])
        self.last = nn.SequentialCell(upsample(256, 128, 0), upsample(128, 64, 0), conv2d(64, 3, 7, padding=3))

    def construct(self, x):
        x = self.first(x)
        beside = ()
        for i in range(6):
            x = self.trunk[2 * i + 1](self.trunk[2 * i](x))
            beside += (self.attention[i](x),)
        for i in range(2):
            beside += (self.offsets[i](x),)
            x = self.deform[i](x)
        return self.last(x), beside


def network(folder, arch="paper", size=(480, 640), peak_goal_mb=1500.0):
    net = Dehaze(arch).set_train(False)
    x = ops.sigmoid(random(1, 3, *size)) * VALUE_RANGE[arch]
    return Case(graph(net, x), graph(BareConvolutions(), x),
                f"the bare convolutions, {size[0]}x{size[1]}", 1.35, peak_goal_mb)


def network_gitee(folder):
    return network(folder, "gitee")


def network_1600x1200(folder):
    return network(folder, size=(1200, 1600), peak_goal_mb=None)


def loss(folder):
    vgg = random_vgg19()
    clear, pred, hazy = (ops.sigmoid(random(8, 3, 64, 64) + shift) * 255.0 for shift in (0.0, 0.1, 0.5))
    gradient = mindspore.value_and_grad(ContrastLoss(vgg, "gitee"), 1)
    return Case(graph(gradient, clear, pred, hazy), lambda run=graph(vgg, clear): [run() for _ in range(4)],
                "4 forwards of VGG19, batch 8, 64 px")


def step_options(*more):
    return config.parse(["--arch=gitee", "--vgg_random", "--batch_size=8", "--patch_size=64", "--neg_num=8", *more],
                        ("model", "device", "data", "train", "contrast", "checkpoint"), "")


def train_step(options):
    net = setup.network(options)
    cell = setup.train_cell(options, net, Ranks())
    hazy, clear = (ops.sigmoid(random(8, 3, 64, 64) + shift) * VALUE_RANGE[net.arch] for shift in (0.5, 0.0))
    rate = Tensor(1e-5, mindspore.float32)
    return lambda: [result.asnumpy() for result in flat(cell(hazy, clear, rate)[:3])]


def step(folder):
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    net, x = Dehaze("gitee").set_train(False), ops.sigmoid(random(8, 3, 64, 64)) * 255.0
    forward, features = graph(net, x), graph(random_vgg19(), x)

    def floor():
        for _ in range(3):
            forward()
        for _ in range(4):
            features()

    return Case(train_step(step_options()), floor, "3 forwards of the network + 4 of VGG19, batch 8, 64 px",
                1.3, 3000.0)
