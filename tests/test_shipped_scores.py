"""The shipped checkpoints keep their scores on two pairs that are drawn here."""
import numpy as np
import pytest

from src.data.haze import add_haze, transmission
from src.dehaze.dehazer import BENCHMARK_CHECKPOINT, SHIPPED_CHECKPOINT, Dehazer
from src.dehaze.work_size import FULL
from src.evaluate.metrics import psnr

HEIGHT, WIDTH = 96, 128


def room():
    """A tiled floor that runs to a wall with three coloured boxes before it: uint8 RGB, and depth from 0 to 1."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    depth = np.clip((HEIGHT - y) / (0.6 * HEIGHT), 0, 1)
    tiles = (np.floor(4 / (depth + 0.4)) + np.floor((x - WIDTH / 2) / (24 * (1.3 - depth)))) % 2
    image = np.stack([90 + 90 * tiles, 70 + 70 * tiles, 60 + 40 * tiles], -1)
    image[depth == 1] = (150, 140, 120)
    for left, top, side, colour, near in ((12, 40, 34, (190, 40, 30), 0.5), (60, 22, 26, (30, 110, 60), 0.8),
                                          (92, 50, 30, (40, 60, 170), 0.35)):
        box = (slice(top, top + side), slice(left, left + side))
        image[box] = np.asarray(colour) * (0.6 + 0.4 * (x[box] - left) / side)[..., None]
        depth[box] = near
    return np.round(image).astype(np.uint8), depth


PAIRS = {"light": (0.7, 0.85), "dense": (1.4, 0.95)}  # beta and airlight
EXPECTED = {
    ("aecrnet.ckpt", "light"): 21.519, ("aecrnet.ckpt", "dense"): 21.050,
    ("aecrnet_real.ckpt", "light"): 13.420, ("aecrnet_real.ckpt", "dense"): 11.473,
}  # dB; new weights bring new numbers


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint", [BENCHMARK_CHECKPOINT, SHIPPED_CHECKPOINT], ids=lambda path: path.name)
def test_a_shipped_checkpoint_keeps_its_scores(checkpoint):
    """A change of the network, of the checkpoint's reading or of the file itself moves them by more than 0.05 dB."""
    clear, depth = room()
    dehazer = Dehazer(checkpoint, runtime="mindspore", work_size=FULL)
    found = {}
    for name, (beta, airlight) in PAIRS.items():
        hazy = add_haze(clear, transmission(depth, beta, max_depth=1.0), airlight)
        found[checkpoint.name, name] = psnr(dehazer.dehaze(hazy), clear)
        if checkpoint == BENCHMARK_CHECKPOINT:  # the other takes the even wall for a bright sky
            assert found[checkpoint.name, name] > psnr(hazy, clear) + 3
    assert found == pytest.approx({key: EXPECTED[key] for key in found}, abs=0.05)
