"""Compares an exported model with the checkpoint that it was made from."""
from __future__ import annotations

from typing import List

import numpy as np
from mindspore import Tensor

from ..errors import InputError
from ..network.aecrnet import Dehaze
from ..runtime.runner import Runner
from ..spec import VALUE_RANGE

SIZES = ((64, 48), (48, 80), (100, 76))  # height and width of the compared images if the model leaves them open


def compare(net: Dehaze, runner: Runner, tolerance: float) -> List[str]:
    """The largest differences for seeded images of the model's size, or of three sizes if it is open.

    Args:
        tolerance: the largest difference to accept, as a fraction of the value range.

    Returns: a line for each size. Raises: InputError above the tolerance.
    """
    lines, white = [], VALUE_RANGE[net.arch]
    sizes = [runner.size] if runner.size else SIZES
    images = [np.random.default_rng(0).random((1, 3, *size), np.float32) for size in sizes]
    # all of the checkpoint first, because loading a MINDIR selects another mode of MindSpore
    results = [np.clip(net(Tensor(x * white)).asnumpy() / white, 0, 1) for x in images]
    for size, x, expected in zip(sizes, images, results):
        difference = float(np.abs(runner(x * runner.value_range) / runner.value_range - expected).max())
        lines.append(f"loaded again, at {size[1]}x{size[0]}: largest difference to the checkpoint "
                     f"{difference:.1e} of the range")
        if not difference <= tolerance:
            raise InputError(f"{runner.path}: differs from the checkpoint by {difference:.1e} of the range, "
                             f"more than {tolerance}")
    return lines
