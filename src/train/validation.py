"""Scores of a network on some images during training."""
from __future__ import annotations

import contextlib
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import mindspore
import numpy as np
from mindspore import Tensor

from ..data.images import to_network
from ..data.pairs import Pair, load_pair
from ..data.reading import image_size
from ..dehaze.dehazer import Dehazer
from ..dehaze.work_size import FULL
from ..distributed.ranks import Ranks
from ..evaluate.metrics import psnr, ssim
from ..network.aecrnet import Dehaze
from ..network.health import Health, judge, middle
from ..runtime.mindspore_runner import CellRunner
from . import samples

GOLDEN_RATIO = 0.618034  # its multiples modulo 1 are evenly spread


def choose_images(pairs: List[Pair], count: int) -> List[Pair]:
    """Divide the set into `count` equal stretches and choose one pair from each; 0 chooses all pairs.

    The choice within a stretch varies. A test set has ten hazes of each scene in order, and the first pairs would all
    have the lightest haze.
    """
    if not 0 < count < len(pairs):
        return pairs
    return [pairs[int((i + i * GOLDEN_RATIO % 1) * len(pairs) / count)] for i in range(count)]


class Stopped(Exception):
    """The process was asked to stop in the middle of a validation."""


class Validation:
    """Scores the weights in training as eval.py will: whole images, large ones in tiles, a graph for two sizes at most.

    Args:
        net: one of its own, which takes the weights to judge.
        pairs: to score; the ranks share them.

    Attributes:
        network: the runner of `net`.
        samples: pictures of the first photos of this rank in the last validation (src.train.samples).
    """

    def __init__(self, net: Dehaze, pairs: List[Pair], ranks: Ranks = Ranks()):
        self._net, self._ranks, self.count = net.set_train(False), ranks, len(pairs)
        self._own = pairs[ranks.rank::ranks.size]
        self.network = _StoppableRunner(net)
        self._dehazer = Dehazer(network=self.network, work_size=FULL)  # scores are defined on whole images
        self.samples: List[np.ndarray] = []
        self._dehazer.expect(filter(None, (image_size(pair.hazy) for pair in self._own)))

    def score(self, weights: Dict[str, Tensor], stop: Callable[[], bool] = lambda: False
              ) -> Optional[Tuple[float, float, Health]]:
        """Mean RGB PSNR (dB) and SSIM of 8-bit results, and the network's health on the middles of the images.

        Args:
            stop: asked before each tile.

        Returns: the same on all ranks; None if one of them was asked to stop.
        """
        for parameter in self._net.get_parameters():
            parameter.set_data(Tensor(weights[parameter.name].asnumpy()))
        self.network.stop = stop
        scores, probed, self.samples = [], [], []
        # in graph mode, each size would be compiled and would keep its memory
        with _mode(mindspore.PYNATIVE_MODE), contextlib.suppress(Stopped):
            for pair in self._own:
                hazy, clear = load_pair(pair)
                self._dehazer.check(hazy, str(pair.hazy))
                restored = self._dehazer.dehaze(hazy)
                if len(self.samples) < samples.ROWS:
                    self.samples.append(samples.row(hazy, restored, clear))
                scores.append((psnr(restored, clear), ssim(restored, clear)))
                probed.append(self.network.probe(to_network(middle(hazy)[None], self.network.value_range)))
        if self._ranks.any(stop()):
            return None
        health = judge([one for share in self._ranks.gather_objects(probed) for one in share])
        return (*_of_all_ranks(scores, self.count, self._ranks).mean(0).tolist(), health)


class _StoppableRunner(CellRunner):
    """Raises Stopped in place of a call if `stop()` is true. The weights of the network may change between calls."""

    forgets = False  # the graph of the training step must stay
    stop: Callable[[], bool]

    def __init__(self, net: Dehaze):
        super().__init__(net)
        self._graph = self._in_graph_mode  # mindspore.jit would keep the weights of its first call

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.stop():
            raise Stopped
        return super().__call__(x)

    def _in_graph_mode(self, x: Tensor) -> Tensor:
        with _mode(mindspore.GRAPH_MODE):
            return self._net(x)


@contextlib.contextmanager
def _mode(mode: int) -> Iterator[None]:
    before = mindspore.get_context("mode")
    mindspore.set_context(mode=mode)
    try:
        yield
    finally:
        mindspore.set_context(mode=before)


def _of_all_ranks(scores: List[Tuple[float, float]], count: int, ranks: Ranks) -> np.ndarray:
    """The scores of all `count` pairs, in the order of the pairs, float[count, 2]."""
    share = np.zeros((-(-count // ranks.size), 2))  # the last ranks may have one pair less
    share[:len(scores)] = np.reshape(scores, (-1, 2))
    return ranks.gather(share.ravel()).reshape(ranks.size, -1, 2).transpose(1, 0, 2).reshape(-1, 2)[:count]
