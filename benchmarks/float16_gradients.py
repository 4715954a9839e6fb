#!/usr/bin/env python3
"""Show which share of the gradients float16 rounds to zero, with and without a loss scale.

    python benchmarks/float16_gradients.py

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
from src.cli import config
from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.cli.train import SECTIONS
from src.data.demo import demo_pairs
from src.data.images import to_network
from src.distributed.ranks import Ranks
from src.train import setup

BATCH, SIDE = 16, 240
SCALES = (1.0, 2.0**16, 2.0**20)


def main() -> None:
    Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    _, hazy, clear = next(iter(demo_pairs()))
    crops = [Tensor(to_network(image[None, :SIDE, :SIDE], 1.0)) for image in (hazy, clear)]
    full = gradients("O0", crops, [1.0])[0]
    print("| amp_level | loss scale | gradients that become zero |\n|---|---|---|")
    for level in ("O2", "O3"):
        for scale, half in zip(SCALES, gradients(level, crops, SCALES)):
            lost = 100 * ((half == 0) & (full != 0)).sum() / (full != 0).sum()
            result = f"{lost:.2f} %" if np.isfinite(half).all() else "overflow, step skipped"
            print(f"| {level} | {scale:g} | {result} |", flush=True)


def gradients(level, crops, scales):
    """All gradients, one vector for each scale; not finite where the step is skipped.

    With a first beta of 0, Adam's first moment is the gradient. The learning rate of 0 keeps the weights.
    """
    options = config.parse(["--arch=paper", f"--amp_level={level}", "--ckpt_path=checkpoints/aecrnet.ckpt",
                            "--contra_lambda=0", "--freeze_deconv", "--betas", "0", "0.999"], SECTIONS, "")
    net = setup.network(options)
    cell = setup.train_cell(options, net, Ranks())
    found = []
    for scale in scales:
        if cell.scaler:
            cell.scaler.scale_value.set_data(Tensor(scale / BATCH, mindspore.float32))
        finite = cell(*crops, Tensor(0.0, mindspore.float32), True)[3]
        vector = np.concatenate([moment.asnumpy().ravel() for moment in cell.optimizer.moment1])
        found.append(vector if bool(finite) else vector + np.nan)
    return found


if __name__ == "__main__":
    run_as_program(main)
