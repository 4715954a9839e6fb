"""Finds out whether the trunk of the network works.

One shared block is passed six times, and one deformable convolution is passed twice after it. If the learning rate is
too high, the features may grow with every pass. The offsets then point outside the map, where samples are 0 and have no
gradient. The decoder's mixups carry the encoder's features past the trunk, so the loss hardly shows the fault.
"""
from __future__ import annotations

import math
from typing import Dict, NamedTuple, Sequence, Tuple

import numpy as np
from mindspore import Tensor, nn

from ..spec import MULTIPLE
from .aecrnet import Dehaze

MOST_GAIN = 10.0
MOST_OFFSET = 0.25  # share of the shorter side of the feature map
MOST_SILENT = 0.1
SAMPLE = 256  # pixels; side of the middle part of a photo that the probe sees

REMEDY = ("train again from healthy weights with --lr 3e-4 at most, --offset_lr_factor 0.1, --block_lr_factor 0.5 and "
          "--clip_norm 0.5")


class Probed(NamedTuple):
    """The result of `Dehaze.probe` for one image, and the shorter side of its feature map."""

    before: float
    after: float
    offset: float
    peaks: np.ndarray
    side: float


class Health(NamedTuple):
    """The result of `judge`: means over the images.

    gain: deviation of the features after the six passes over their deviation before; about 1 in a healthy network.
    offset: mean absolute offset of the deformable convolution, in pixels of its map (a quarter of the image's size).
    silent: share of the channels in the three layers of the encoder that are zero everywhere in all images. The encoder
        of arch gitee has no activations; there the channels are those of the first convolution of the block.
    side: shorter side of the map in pixels.
    """

    gain: float
    offset: float
    silent: float
    side: float

    def warning(self) -> str:
        """One line that names the fault and the remedy. Empty for a healthy network."""
        faults = []
        if not self.gain <= MOST_GAIN:
            faults.append(f"features grow {self.gain:.3g}-fold in the six passes")
        if not self.offset <= MOST_OFFSET * self.side:
            faults.append(f"offsets are {self.offset:.3g} px on average on a map of {self.side:.0f} px")
        if not self.silent < MOST_SILENT:
            faults.append(f"{self.silent:.0%} of the channels never fire")
        return f"part of the network does not work: {', '.join(faults)}; {REMEDY}" if faults else ""

    def trunk(self) -> Dict[str, float]:
        """Gain and offset by name, for the log."""
        return {"gain": self.gain, "offset": self.offset}


def judge(probed: Sequence[Probed]) -> Health:
    """The health of a network, from the probes of at least one image."""
    gains = [one.after / one.before if one.before > 0 else math.inf for one in probed]
    peaks = np.max([one.peaks for one in probed], axis=0)
    return Health(float(np.mean(gains)), float(np.mean([one.offset for one in probed])),
                  float((peaks <= 0).mean()), float(np.mean([one.side for one in probed])))


def middle(image: np.ndarray) -> np.ndarray:
    """The middle SAMPLE x SAMPLE pixels of [h, w, 3]. A shorter side is cut to a multiple of 4."""
    height, width = (min(SAMPLE, side) // MULTIPLE * MULTIPLE for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top:top + height, left:left + width]


class ProbeCell(nn.Cell):
    """`Dehaze.probe` as a cell, because graph mode compiles cells.

    of(x): float32[1, 3, h, w] in the value range of the arch -> `Probed`. The network is in evaluation mode meanwhile.
    """

    def __init__(self, net: Dehaze):
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.net.probe(x)

    def of(self, x: np.ndarray) -> Probed:
        was_training = self.net.training
        self.net.set_train(False)
        try:
            *scalars, peaks = (value.asnumpy() for value in self(Tensor(x)))
        finally:
            self.net.set_train(was_training)
        return Probed(*map(float, scalars), peaks, min(x.shape[2:]) / MULTIPLE)
