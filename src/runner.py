"""A checkpoint's network as a function of numpy arrays, compiled where that pays."""
from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Set, Tuple

import mindspore
import numpy as np
from mindspore import Tensor

from src.aecrnet import VALUE_RANGE
from src.checkpoint import load_network
from src.device import select_device
from src.files import PathLike

# From this many calls with one shape on, compiling it saves more time than it takes (see NetworkRunner).
CALLS_LARGE, CALLS_SMALL = 2, 8
LARGE_PIXELS = 50_000
MAX_GRAPH_PIXELS = 400_000  # of all images in a batch: beyond it the memory of a graph costs more than it saves
MAX_GRAPHS = 2  # a compiled shape keeps its memory; two, because turned images have a second one

Shape = Tuple[int, ...]


class NetworkRunner:
    """The network of a checkpoint on one device.

    A call with a new shape runs operator by operator (PyNative), which needs no preparation, or as a
    graph, compiled for this shape. CPU seconds of a call and peak memory of the process, gitee, on a
    busy machine with 2 cores (scripts/benchmark.py measures them anew):

    | n, h, w     | PyNative      | graph         | compiling | pays from |
    |-------------|---------------|---------------|-----------|-----------|
    | 1, 64, 64   | 0.45 s 0.5 GB | 0.11 s 0.6 GB | 2.1 s     | 7 calls   |
    | 1, 240, 320 | 2.8 s 1.0 GB  | 1.7 s 1.3 GB  | 2.2 s     | 2 calls   |
    | 1, 480, 640 | 13 s 1.2 GB   | 6.3 s 2.8 GB  | 5 s       | 1 call    |

    So a shape is compiled when `expect` announced enough calls with it, or enough were seen, unless it
    is so large that the graph's memory (8 kB a pixel, against 2.5 kB) is the greater cost. In a process
    that is in graph mode everything is compiled; the mode is never changed here.

    Attributes:
        path: the checkpoint.
        description: what the checkpoint says about itself (src.checkpoint.describe).
        value_range: white in input and output of the network.

    Raises: InputError if the device or the checkpoint cannot be used.
    """

    def __init__(self, checkpoint: PathLike, device_target: str = "CPU", device_id: int = 0):
        select_device(device_target, device_id)
        self.path = Path(checkpoint)
        self._net, self.description = load_network(checkpoint)
        self.value_range = VALUE_RANGE[self._net.arch]
        self._graph = mindspore.jit(self._net)
        self._compiled: Set[Shape] = set()
        self._expected: Counter = Counter()
        self._seen: Counter = Counter()

    def expect(self, shape: Shape, calls: int) -> None:
        """Announce `calls` calls with arrays of `shape` (n, 3, h, w)."""
        self._expected[tuple(shape)] += calls

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """float32[n, 3, h, w] in 0..value_range -> the same, restored, not clipped."""
        self._seen[x.shape] += 1
        if x.shape not in self._compiled and not self._compiling_pays(x.shape):
            return self._net(Tensor(x)).asnumpy()
        if x.shape not in self._compiled and len(self._compiled) == MAX_GRAPHS:
            self._forget_graphs()
        self._compiled.add(x.shape)
        return self._graph(Tensor(x)).asnumpy()

    def _compiling_pays(self, shape: Shape) -> bool:
        if mindspore.get_context("mode") == mindspore.GRAPH_MODE:
            return True
        pixels = shape[0] * shape[2] * shape[3]
        calls = max(self._expected[shape], self._seen[shape] - 1)
        return pixels <= MAX_GRAPH_PIXELS and calls >= (CALLS_LARGE if pixels >= LARGE_PIXELS else CALLS_SMALL)

    def _forget_graphs(self) -> None:
        mindspore.ms_memory_recycle()
        for shape in self._compiled:
            del self._expected[shape]
        self._compiled.clear()
        self._seen.clear()  # each must earn its next compilation
