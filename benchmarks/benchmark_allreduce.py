"""Measure a training step (L1 alone) and the all-reduce of its gradients. Each rank has its own processor core.

    python -m src.cli.launch --workers 1 benchmarks/benchmark_allreduce.py --arch paper --patch_size 64 --batch_size 4
    python -m src.cli.launch --workers 2 benchmarks/benchmark_allreduce.py --arch paper --patch_size 64 --batch_size 4

Prints the median and the fastest of 10 runs on rank 0 while all ranks work: the step without and with averaging, the
average of the gradients by one collective operation and by one for each gradient, and a single number gathered. The
flags are those of train.py. The images are random.
"""
from __future__ import annotations

import os
import statistics
import sys
import time
from types import SimpleNamespace
from typing import Callable

import numpy as np

import _clone  # noqa: F401
from src.cli import config
from src.cli.entry import run_as_program

SECTIONS = ("model", "device", "data", "train", "contrast", "checkpoint")
REPEATS = 10


def main() -> None:
    options = config.parse(sys.argv[1:], SECTIONS, __doc__.splitlines()[0])
    options.contra_lambda = 0
    if os.getenv("MS_ROLE") == "MS_WORKER":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(os.environ["RANK_ID"]) % len(cores)]})  # before MindSpore counts them
    from mindspore import nn

    from src.distributed.ranks import Ranks
    from src.train import setup
    from src.train.cell import MeanOverRanks

    ranks = setup.init_device(options)
    print_times(ranks, "step without all-reduce", step(options, Ranks()))
    if ranks.size > 1:
        print_times(ranks, "step with all-reduce", step(options, ranks))
        net = setup.network(options)
        gradients = tuple(parameter.value() * 1.0 for parameter in net.trainable_params())
        size = sum(gradient.size for gradient in gradients) * 4e-6
        for name, reducer in (("one operation, as in a step", MeanOverRanks(ranks.size)),
                              ("one for each gradient", nn.DistributedGradReducer(net.trainable_params()))):
            print_times(ranks, f"{len(gradients)} gradients, {size:.1f} MB: {name}", AllReduce(reducer, gradients))
        print_times(ranks, "a number of each rank, gathered and read", lambda: ranks.any(False))


def step(options: SimpleNamespace, ranks) -> Callable[[], None]:
    """A training step on a random batch of this rank."""
    from mindspore import Tensor, float32

    from src.spec import VALUE_RANGE
    from src.train import setup

    cell = setup.train_cell(options, setup.network(options), ranks)
    shape = (options.batch_size, 3, options.patch_size, options.patch_size)
    images = Tensor(np.random.default_rng(1).random(shape, np.float32) * VALUE_RANGE[options.arch])
    return lambda: cell(images, images * 0.5, Tensor(options.lr, float32), True)[0].asnumpy()


class AllReduce:
    """The compiled reduction alone."""

    def __init__(self, reducer, gradients):
        import mindspore

        self._reduce, self._gradients = mindspore.jit(reducer), gradients

    def __call__(self) -> None:
        self._reduce(self._gradients)[0].asnumpy()


def print_times(ranks, name: str, run: Callable[[], None]) -> None:
    run()  # compiles
    seconds = []
    for _ in range(REPEATS):
        ranks.any(False)  # start together
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    if ranks.rank == 0:
        print(f"{ranks.size} ranks: {name}: median {statistics.median(seconds) * 1e3:.1f} ms, "
              f"fastest {min(seconds) * 1e3:.1f} ms", flush=True)


if __name__ == "__main__":
    run_as_program(main)
