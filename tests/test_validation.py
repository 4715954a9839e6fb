"""Validation scores the given weights on 8-bit results, and leaves the network unchanged."""
import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from compiled import running
from src.data.pairs import find_pairs, load_pair
from src.health import ProbeCell
from src.metrics import psnr, ssim
from src.train.validation import choose_images, validate
from training import SmallNet, write_pairs


class Brighter(SmallNet):
    """Adds its only weight to the image. Values are 0..255."""

    def __init__(self):
        super().__init__()
        self.offset = mindspore.Parameter(Tensor(1.0, mindspore.float32), name="offset")

    def construct(self, x):
        return x + self.offset


@pytest.mark.parametrize("offset", [-40.0, 200.0])
def test_scores_are_those_of_the_given_weights_and_the_net_keeps_its_own(tmp_path, offset):
    pairs, _ = find_pairs(write_pairs(tmp_path / "set", 2), "Pairs")
    net = Brighter().set_train()
    weights = {parameter.name: parameter for parameter in net.get_parameters()}
    with running(mindspore.GRAPH_MODE):
        probe = ProbeCell(net)
        *found, health = validate(net, {**weights, "offset": Tensor(offset, mindspore.float32)}, pairs, probe)
    assert not health.warning() and health.side == 10
    assert net.training and float(net.offset) == 1.0
    restored = [(np.clip(hazy.astype(float) + offset, 0, 255).astype(np.uint8), clear)
                for hazy, clear in map(load_pair, pairs)]
    expected = [np.mean([metric(*images) for images in restored]) for metric in (psnr, ssim)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_chosen_images_are_spread_over_the_set():
    assert choose_images(list(range(10)), 0) == list(range(10))
    assert choose_images(list(range(10)), 20) == list(range(10))
    for total, count in ((12, 3), (500, 20), (12, 6)):
        chosen = choose_images(list(range(total)), count)
        assert [place * count // total for place in chosen] == list(range(count))  # one of each stretch


def test_chosen_images_are_of_all_hazes():
    hazes = [image % 10 for image in choose_images(list(range(500)), 20)]
    assert len(set(hazes)) >= 8 and 3.5 < np.mean(hazes) < 5.5
