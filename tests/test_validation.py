"""Validation scores the given weights on 8-bit results, and leaves the network unchanged."""
import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from compiled import running
from src.data.images import write_image
from src.data.pairs import find_pairs, load_pair
from src.evaluate.metrics import psnr, ssim
from src.train.validation import Validation, choose_images
from training import SmallNet, write_pairs


class Brighter(SmallNet):
    """Adds its only weight to the image. Values are 0..255."""

    def __init__(self):
        super().__init__()
        self.offset = mindspore.Parameter(Tensor(1.0, mindspore.float32), name="offset")

    def construct(self, x):
        return x + self.offset


@pytest.mark.parametrize("offset", [-40.0, 200.0])
def test_scores_are_those_of_the_given_weights(tmp_path, offset):
    pairs, _ = find_pairs(write_pairs(tmp_path / "set", 2), "Pairs")
    weights = {parameter.name: parameter for parameter in Brighter().get_parameters()}
    validation = Validation(Brighter(), pairs)
    with running(mindspore.GRAPH_MODE):
        for brightness in (7.0, offset):  # the second time with other weights
            *found, health = validation.score({**weights, "offset": Tensor(brightness, mindspore.float32)})
        assert mindspore.get_context("mode") == mindspore.GRAPH_MODE
    assert not health.warning() and health.side == 10
    restored = [(np.clip(hazy.astype(float) + offset, 0, 255).astype(np.uint8), clear)
                for hazy, clear in map(load_pair, pairs)]
    expected = [np.mean([metric(*images) for images in restored]) for metric in (psnr, ssim)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_many_sizes_make_two_graphs_and_large_images_go_in_tiles(tmp_path, monkeypatch):
    monkeypatch.setattr("src.runtime.mindspore_runner.WORTH_COMPILING", ((0, 1),))
    for name, value in (("LARGE_PIXELS", 5000), ("AUTO_TILE", 96)):
        monkeypatch.setattr(f"src.dehaze.tiles.{name}", value)
    for index in range(8):
        clear = np.full((32 + 4 * index, 36, 3), 90, np.uint8) if index else np.full((120, 200, 3), 90, np.uint8)
        for kind in ("hazy", "clear"):
            (tmp_path / kind).mkdir(exist_ok=True)
            write_image(tmp_path / kind / f"{index}.png", clear)
    pairs, _ = find_pairs(tmp_path, "Pairs")
    net = Brighter()
    weights = {parameter.name: parameter for parameter in net.get_parameters()}
    with running(mindspore.GRAPH_MODE):
        validation = Validation(net, pairs)
        for offset in (1, 3):
            score = validation.score({**weights, "offset": Tensor(offset, mindspore.float32)})
            assert score[0] == pytest.approx(20 * np.log10(255 / offset))
    assert len(validation.network.compiled) == 2
    assert 60 < max(max(shape[2:]) for shape in validation.network.compiled) <= 96


def test_a_stop_is_heeded_between_tiles(tmp_path, monkeypatch):
    for name, value in (("LARGE_PIXELS", 1000), ("AUTO_TILE", 96)):
        monkeypatch.setattr(f"src.dehaze.tiles.{name}", value)
    for kind in ("hazy", "clear"):
        (tmp_path / kind).mkdir()
        write_image(tmp_path / kind / "a.png", np.full((200, 300, 3), 90, np.uint8))
    net, asked = Brighter(), []
    weights = {parameter.name: parameter for parameter in net.get_parameters()}
    validation = Validation(net, find_pairs(tmp_path, "Pairs")[0])

    def stop():
        asked.append(1)
        return len(asked) > 2

    assert validation.score(weights, stop) is None and len(asked) == 4  # the third stops it, the fourth is for all
    assert validation.score(weights) is not None


def test_chosen_images_are_spread_over_the_set():
    assert choose_images(list(range(10)), 0) == list(range(10))
    assert choose_images(list(range(10)), 20) == list(range(10))
    for total, count in ((12, 3), (500, 20), (12, 6)):
        chosen = choose_images(list(range(total)), count)
        assert [place * count // total for place in chosen] == list(range(count))  # one of each stretch


def test_chosen_images_are_of_all_hazes():
    hazes = [image % 10 for image in choose_images(list(range(500)), 20)]
    assert len(set(hazes)) >= 8 and 3.5 < np.mean(hazes) < 5.5
