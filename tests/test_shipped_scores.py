"""The shipped checkpoints keep their scores on pairs that are drawn here."""
import numpy as np
import pytest

from src.data.haze import add_haze, transmission
from src.dehaze.dehazer import BENCHMARK_CHECKPOINT, SHIPPED_CHECKPOINT, Dehazer
from src.dehaze.work_size import FULL
from src.evaluate.metrics import psnr

HEIGHT, WIDTH = 96, 128


def room(is_papered):
    """A tiled floor that runs to a wall, even or papered, with three coloured boxes before it.

    Returns: the picture, uint8 RGB, and its depth from 0 to 1.
    """
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    depth = np.clip((HEIGHT - y) / (0.6 * HEIGHT), 0, 1)
    tiles = (np.floor(4 / (depth + 0.4)) + np.floor((x - WIDTH / 2) / (24 * (1.3 - depth)))) % 2
    image = np.stack([90 + 90 * tiles, 70 + 70 * tiles, 60 + 40 * tiles], -1)
    image[depth == 1] = (150, 140, 120)
    if is_papered:
        image[(depth == 1) & ((x // 8 + y // 8) % 2 == 0)] = (70, 80, 95)
    for left, top, side, colour, near in ((12, 40, 34, (190, 40, 30), 0.5), (60, 22, 26, (30, 110, 60), 0.8),
                                          (92, 50, 30, (40, 60, 170), 0.35)):
        box = (slice(top, top + side), slice(left, left + side))
        image[box] = np.asarray(colour) * (0.6 + 0.4 * (x[box] - left) / side)[..., None]
        depth[box] = near
    return np.round(image).astype(np.uint8), depth


ROOMS = {"light": (False, 0.7, 0.85), "dense": (False, 1.4, 0.95),  # papered; beta and airlight
         "papered, light": (True, 0.7, 0.85), "papered, dense": (True, 1.4, 0.95)}
EXPECTED = {
    "aecrnet.ckpt": {"light": 21.519, "dense": 21.050, "papered, light": 19.913, "papered, dense": 16.526},
    "aecrnet_real.ckpt": {"light": 15.657, "dense": 12.138, "papered, light": 16.000, "papered, dense": 16.282},
}  # dB; new weights bring new numbers
CLEARER = {
    "aecrnet.ckpt": dict.fromkeys(ROOMS, 3),
    "aecrnet_real.ckpt": {"dense": 1.9, "papered, light": 1.3, "papered, dense": 7.0},
}  # dB over the hazy picture; the second takes the even wall for a bright sky


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint", [BENCHMARK_CHECKPOINT, SHIPPED_CHECKPOINT], ids=lambda path: path.name)
def test_a_shipped_checkpoint_keeps_its_scores(checkpoint):
    """A change of the network, of the checkpoint's reading or of the file itself moves them by more than 0.05 dB."""
    dehazer = Dehazer(checkpoint, runtime="mindspore", work_size=FULL)
    found, hazy_scores = {}, {}
    for name, (is_papered, beta, airlight) in ROOMS.items():
        clear, depth = room(is_papered)
        hazy = add_haze(clear, transmission(depth, beta, max_depth=1.0), airlight)
        found[name], hazy_scores[name] = psnr(dehazer.dehaze(hazy), clear), psnr(hazy, clear)
    assert found == pytest.approx(EXPECTED[checkpoint.name], abs=0.05)
    for name, gain in CLEARER[checkpoint.name].items():
        assert found[name] > hazy_scores[name] + gain, name
