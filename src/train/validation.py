"""Scores of a network on a few images during training."""
from __future__ import annotations

from typing import Dict, List, Tuple

import numpy as np
from mindspore import Tensor

from src.aecrnet import VALUE_RANGE, Dehaze
from src.data.pairs import Pair, load_pair
from src.metrics import psnr, ssim
from src.ranks.device import Ranks

GOLDEN_RATIO = 0.618034  # its multiples modulo 1 are spread evenly


def choose_images(pairs: List[Pair], count: int) -> List[Pair]:
    """`count` pairs, one from each of as many equal stretches of the set; all for 0.

    Not always the first of its stretch: a test set has ten hazes of each scene in order, and would
    then be judged by its lightest haze alone.
    """
    if not 0 < count < len(pairs):
        return pairs
    return [pairs[int((i + i * GOLDEN_RATIO % 1) * len(pairs) / count)] for i in range(count)]


def validate(net: Dehaze, weights: Dict[str, Tensor], pairs: List[Pair], ranks: Ranks = Ranks()
             ) -> Tuple[float, float]:
    """Mean RGB PSNR (dB) and SSIM of 8-bit results on whole images, with `weights` in place of the net's own.

    The ranks share the pairs; all get the same mean. The network is left as it was, in training mode.
    """
    own = {parameter.name: parameter.asnumpy() for parameter in net.get_parameters()}
    _set_weights(net, {name: value.asnumpy() for name, value in weights.items()})
    net.set_train(False)
    try:
        scores = [_score(net, *load_pair(pair)) for pair in pairs[ranks.rank::ranks.size]]
    finally:
        _set_weights(net, own)
        net.set_train(True)
    return tuple(float(np.mean(column)) for column in zip(*_of_all_ranks(scores, len(pairs), ranks)))


def _of_all_ranks(scores: List[Tuple[float, float]], count: int, ranks: Ranks) -> np.ndarray:
    """The scores of all `count` pairs, in the order of the pairs, float[count, 2]."""
    share = np.zeros((-(-count // ranks.size), 2))  # the last ranks may have one less
    share[:len(scores)] = np.reshape(scores, (-1, 2))
    return ranks.gather(share.ravel()).reshape(ranks.size, -1, 2).transpose(1, 0, 2).reshape(-1, 2)[:count]


def _set_weights(net: Dehaze, values: Dict[str, np.ndarray]) -> None:
    for parameter in net.get_parameters():
        parameter.set_data(Tensor(values[parameter.name]))


def _score(net: Dehaze, hazy: np.ndarray, clear: np.ndarray) -> Tuple[float, float]:
    white = VALUE_RANGE[net.arch]
    x = Tensor((hazy.transpose(2, 0, 1)[None] * (white / 255.0)).astype(np.float32))
    out = np.clip(net(x).asnumpy()[0].transpose(1, 2, 0), 0, white) * (255.0 / white)
    restored = np.rint(out).astype(np.uint8)
    return psnr(restored, clear), ssim(restored, clear)
