"""Measure the loader of training crops without a network, for 1, 2 and 4 workers, against what a fast card needs.

    python benchmarks/benchmark_loader.py --dir_data ITS --data_train RESIDE
    python benchmarks/benchmark_loader.py --config configs/nyu.yaml --dir_data NYU --patch_size 240 --batch_size 16

The flags are those of train.py. Prints crops a second, the processor time of a crop, and the number of cores that a
step of --batch_size crops in 25 ms keeps busy. Other programs change the processor time little, and the crops a second
much. The first batches, which decode each photo once, are left out.
"""
from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Tuple

import _clone  # noqa: F401
from src.cli import config
from src.cli.entry import run_as_program

SECTIONS = ("model", "device", "data", "train")
WORKERS = (1, 2, 4)
CROPS = 320  # measured, after as many to warm up
STEP = 0.025  # seconds


def main() -> int:
    options = config.parse(sys.argv[1:], SECTIONS, __doc__.splitlines()[0])
    for workers in WORKERS:
        speed, processor = measure(options, workers)
        print(f"{workers} workers: {speed:.0f} crops/s, {processor * 1e3:.2f} ms of processor time a crop of "
              f"{options.patch_size} px", flush=True)
    needed = options.batch_size / STEP
    print(f"a step of {options.batch_size} crops in {STEP * 1e3:.0f} ms: {needed:.0f} crops/s, "
          f"{needed * processor:.1f} cores")
    return 0


def measure(options: SimpleNamespace, workers: int) -> Tuple[float, float]:
    """Crops a second, and seconds of processor time a crop."""
    from src.distributed.ranks import Ranks
    from src.train import setup

    options.num_parallel_workers = workers
    data = setup.train_dataset(options, Ranks())
    steps = max(1, CROPS // options.batch_size)
    batches = data.batches(0, 2 * steps + 10)
    for _ in range(steps):
        next(batches)
    start, used = time.perf_counter(), time.process_time()
    for _ in range(steps):
        next(batches)
    crops = steps * options.batch_size
    result = crops / (time.perf_counter() - start), (time.process_time() - used) / crops
    batches.close()
    return result


if __name__ == "__main__":
    run_as_program(main)
