"""Scores of a network on some images during training."""
from __future__ import annotations

from typing import Dict, List, Tuple

import numpy as np
from mindspore import Tensor

from ..aecrnet import VALUE_RANGE, Dehaze
from ..data.images import from_network, to_network
from ..data.pairs import Pair, load_pair
from ..health import Health, ProbeCell, judge, middle
from ..infer.tiles import to_uint8
from ..metrics import psnr, ssim
from ..ranks.device import Ranks

GOLDEN_RATIO = 0.618034  # its multiples modulo 1 are evenly spread


def choose_images(pairs: List[Pair], count: int) -> List[Pair]:
    """Divide the set into `count` equal stretches and choose one pair from each; 0 chooses all pairs.

    The choice within a stretch varies. A test set has ten hazes of each scene in order, and the first pairs would all
    have the lightest haze.
    """
    if not 0 < count < len(pairs):
        return pairs
    return [pairs[int((i + i * GOLDEN_RATIO % 1) * len(pairs) / count)] for i in range(count)]


def validate(net: Dehaze, weights: Dict[str, Tensor], pairs: List[Pair], probe: ProbeCell, ranks: Ranks = Ranks()
             ) -> Tuple[float, float, Health]:
    """Mean RGB PSNR (dB) and SSIM of the 8-bit results on whole images, and the health of the network on their middles.

    The network has `weights` during the validation, and its own weights again afterwards. The ranks share the pairs and
    all return the same means.
    """
    own = {parameter.name: parameter.asnumpy() for parameter in net.get_parameters()}
    _set_weights(net, {name: value.asnumpy() for name, value in weights.items()})
    net.set_train(False)
    scores, probed = [], []
    try:
        for hazy, clear in map(load_pair, pairs[ranks.rank::ranks.size]):
            scores.append(_score(net, hazy, clear))
            probed.append(probe.of(to_network(middle(hazy)[None], VALUE_RANGE[net.arch])))
    finally:
        _set_weights(net, own)
        net.set_train(True)
    health = judge([one for share in ranks.gather_objects(probed) for one in share])
    psnr_mean, ssim_mean = _of_all_ranks(scores, len(pairs), ranks).mean(0).tolist()
    return psnr_mean, ssim_mean, health


def _of_all_ranks(scores: List[Tuple[float, float]], count: int, ranks: Ranks) -> np.ndarray:
    """The scores of all `count` pairs, in the order of the pairs, float[count, 2]."""
    share = np.zeros((-(-count // ranks.size), 2))  # the last ranks may have one pair less
    share[:len(scores)] = np.reshape(scores, (-1, 2))
    return ranks.gather(share.ravel()).reshape(ranks.size, -1, 2).transpose(1, 0, 2).reshape(-1, 2)[:count]


def _set_weights(net: Dehaze, values: Dict[str, np.ndarray]) -> None:
    for parameter in net.get_parameters():
        parameter.set_data(Tensor(values[parameter.name]))


def _score(net: Dehaze, hazy: np.ndarray, clear: np.ndarray) -> Tuple[float, float]:
    white = VALUE_RANGE[net.arch]
    out = net(Tensor(to_network(hazy[None], white))).asnumpy()
    restored = to_uint8(from_network(out, white))[0]
    return psnr(restored, clear), ssim(restored, clear)
