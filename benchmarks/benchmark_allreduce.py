"""Measure a training step (L1 alone) and the all-reduce of its gradients. Each rank has its own processor core.

    python -m src.cli.launch --workers 1 benchmarks/benchmark_allreduce.py --arch paper --patch_size 32 --batch_size 1
    python -m src.cli.launch --workers 2 benchmarks/benchmark_allreduce.py --arch paper --patch_size 32 --batch_size 1

Prints the median and the fastest of 10 runs on rank 0 while all ranks work. With several ranks, whole steps come in
turns: without averaging; with the one operation between ranks that a step has; and with an operation for each gradient,
the losses and the two kinds of flags, 35 as up to version 0.1. Then come the operations alone: the average of the
gradients by one operation and by one for each gradient, and a number gathered. The flags are those of train.py, and
--eager, which compiles nothing: many ranks on few cores compile for minutes. The images are random.
"""
from __future__ import annotations

import os
import statistics
import sys
import time
from types import SimpleNamespace
from typing import Callable, Mapping

import numpy as np

import _clone  # noqa: F401
from src.cli import config
from src.cli.entry import run_as_program

SECTIONS = ("model", "device", "data", "train", "contrast", "checkpoint")
EAGER = "--eager"
REPEATS = 10


def main() -> None:
    flags = [flag for flag in sys.argv[1:] if flag != EAGER]
    options = config.parse(flags, SECTIONS, __doc__.splitlines()[0])
    options.contra_lambda = 0
    if os.getenv("MS_ROLE") == "MS_WORKER":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(os.environ["RANK_ID"]) % len(cores)]})  # before MindSpore counts them
    import mindspore

    from src.distributed.ranks import Ranks
    from src.train import setup
    from src.train.cell import MeanOverRanks

    ranks = setup.init_device(options)
    if EAGER in sys.argv:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    if ranks.size == 1:
        print_times(ranks, {"step": step(options, ranks)})
        return
    print_times(ranks, {"step without average": step(options, Ranks()),
                        "step, one operation": step(options, ranks),
                        "step, one operation for each tensor": step(options, ranks, mean_of_each)})
    net = setup.network(options)
    gradients = tuple(parameter.value() * 1.0 for parameter in net.trainable_params())
    size = sum(gradient.size for gradient in gradients) * 4e-6
    print(f"{ranks.size} ranks: {len(gradients)} gradients, {size:.1f} MB")
    print_times(ranks, {"average by one operation": AllReduce(MeanOverRanks(ranks.size), gradients),
                        "average by one for each gradient": AllReduce(mean_of_each(ranks.size), gradients),
                        "a number of each rank, gathered and read": lambda: ranks.any(False)})


def step(options: SimpleNamespace, ranks, mean=None) -> Callable[[], None]:
    """A training step on a random batch of this rank.

    Args: `mean` makes what averages over the ranks, in place of `MeanOverRanks`.
    """
    from mindspore import Tensor, float32

    from src.spec import VALUE_RANGE
    from src.train import setup

    cell = setup.train_cell(options, setup.network(options), ranks)
    if mean:
        cell.mean_over_ranks = mean(ranks.size)
    shape = (options.batch_size, 3, options.patch_size, options.patch_size)
    images = Tensor(np.random.default_rng(1).random(shape, np.float32) * VALUE_RANGE[options.arch])
    return lambda: cell(images, images * 0.5, Tensor(options.lr, float32), True)[0].asnumpy()


def mean_of_each(size: int):
    """As `MeanOverRanks`, by one operation for each tensor."""
    from mindspore import float32, nn, ops

    class MeanOfEach(nn.Cell):
        def __init__(self):
            super().__init__(auto_prefix=False)
            self.sum = ops.AllReduce()

        def construct(self, tensors):
            means = ()
            for tensor in tensors:
                means += (self.sum(tensor.astype(float32)) / size,)
            return means

    return MeanOfEach()


class AllReduce:
    """The compiled reduction alone."""

    def __init__(self, reducer, gradients):
        import mindspore

        self._reduce, self._gradients = mindspore.jit(reducer), gradients

    def __call__(self) -> None:
        self._reduce(self._gradients)[0].asnumpy()


def print_times(ranks, runs: Mapping[str, Callable[[], None]]) -> None:
    """Time the runs in turns, so that what else the machine does hits all alike."""
    seconds = {name: [] for name in runs}
    for repeat in range(REPEATS + 1):
        for name, run in runs.items():
            ranks.any(False)  # start together
            start = time.perf_counter()
            run()
            if repeat:  # the first one compiles
                seconds[name].append(time.perf_counter() - start)
    for name, found in seconds.items() if ranks.rank == 0 else ():
        print(f"{ranks.size} ranks: {name}: median {statistics.median(found) * 1e3:.1f} ms, "
              f"fastest {min(found) * 1e3:.1f} ms", flush=True)


if __name__ == "__main__":
    run_as_program(main)
