#!/usr/bin/env python3
"""Show which share of the gradients float16 rounds to zero, with and without a loss scale.

    python scripts/float16_gradients.py --amp_level O3

One crop of 240 px of a photo that scikit-image ships, hazed, L1, the shipped weights. The loss is divided by 16, which
gives a pixel the gradient that it has in a batch of 16. Counted are weights whose gradient is zero, but not in
float32.
"""
from __future__ import annotations

import argparse

import mindspore
import numpy as np
from mindspore import Tensor

import _clone  # noqa: F401
from src import config, errors
from src.commands.train import SECTIONS
from src.data.demo import demo_pairs
from src.data.images import to_network
from src.ranks.device import Ranks
from src.train import setup

BATCH, SIDE = 16, 240
SCALES = (1.0, 2.0**10, 2.0**16, 2.0**20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--amp_level", choices=("O2", "O3"), default="O3")
    level = parser.parse_args().amp_level
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    _, hazy, clear = next(iter(demo_pairs()))
    crops = [Tensor(to_network(image[None, :SIDE, :SIDE], 1.0)) for image in (hazy, clear)]
    full = gradients("O0", crops, [1.0])[0]
    print("| loss scale | gradients that become zero | finite |\n|---|---|---|")
    for scale, half in zip(SCALES, gradients(level, crops, SCALES)):
        lost = ((half == 0) & (full != 0)).sum() / (full != 0).sum()
        print(f"| {scale:g} | {100 * lost:.2f} % | {'yes' if np.isfinite(half).all() else 'no'} |")


def gradients(level, crops, scales):
    """All gradients of the first step, one vector for each scale; not finite where the step is skipped."""
    options = config.parse(["--arch=paper", f"--amp_level={level}", "--ckpt_path=checkpoints/aecrnet.ckpt",
                            "--contra_lambda=0", "--freeze_deconv"], SECTIONS, "")
    net = setup.network(options)
    cell = setup.train_cell(options, net, Ranks())
    found = []
    for scale in scales:
        for moment in cell.optimizer.moment1:
            moment.set_data(Tensor(np.zeros(moment.shape, np.float32)))
        if cell.scaler:
            cell.scaler.scale_value.set_data(Tensor(scale / BATCH, mindspore.float32))
        finite = cell(*crops, Tensor(0.0, mindspore.float32), True)[3]
        vector = np.concatenate([moment.asnumpy().ravel() for moment in cell.optimizer.moment1])
        found.append(vector if bool(finite) else vector + np.nan)
    return found


if __name__ == "__main__":
    errors.run(main)
