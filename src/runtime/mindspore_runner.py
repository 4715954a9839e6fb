"""The network of a checkpoint as a function of numpy arrays. It is compiled if that saves time."""
from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Optional, Set, Tuple

import mindspore
import numpy as np
from mindspore import Tensor
from mindspore.common.api import _pynative_executor  # MindSpore 2.8 has no public way to empty its cache

from ..device import select_device
from ..files import PathLike
from ..network.aecrnet import Dehaze
from ..network.checkpoint import load_network
from ..network.health import ProbeCell
from ..spec import VALUE_RANGE

# (pixels, calls): a shape of at least so many pixels is compiled for at least so many calls (see CellRunner)
WORTH_COMPILING = ((300_000, 1), (50_000, 2), (0, 8))
MAX_GRAPH_PIXELS = 1_000_000  # pixels of a batch; a graph of this size keeps about 3 GB of memory
MAX_GRAPHS = 2  # each graph keeps its memory; images turned by 90 degrees need a second graph
MAX_COMPILED = 8  # graphs in the life of a runner: MindSpore 2.8 never gives back about 7 MB of each

Shape = Tuple[int, ...]


class CellRunner:
    """A network in evaluation as a function of numpy arrays, as `src.runtime.runner.Runner` defines it.

    A call runs operator by operator (PyNative), which needs no preparation, or as a graph that is compiled for the
    shape of the input. Seconds of a call, arch gitee, 2 cores (`python benchmarks/benchmark.py --cases modes`):

    | n, h, w     | PyNative | graph, later | graph, first | pays from |
    |-------------|----------|--------------|--------------|-----------|
    | 1, 64, 64   | 0.29     | 0.10         | 1.48         | 8 calls   |
    | 1, 240, 320 | 1.77     | 0.89         | 2.70         | 2 calls   |
    | 1, 480, 640 | 6.16     | 3.61         | 5.90         | 1 call    |

    A shape is therefore compiled if `expect` announced enough calls with it, or if there were enough calls. The shape
    must not exceed a size that bounds the memory: a graph keeps 3 kB a pixel, which PyNative mode frees after a call.
    After MAX_COMPILED graphs, further shapes run operator by operator: the memory stays bounded over any number of
    shapes. In a process in graph mode, every shape is compiled. This class never changes the mode.

    Args:
        net: in evaluation mode.

    Attributes:
        forgets: if MAX_GRAPHS shapes are compiled and another shape pays, drop all graphs of the process. If false,
            the other shape runs operator by operator.
        compiled: the shapes that have a graph.
    """

    forgets = True
    size = None  # it takes all sizes

    def __init__(self, net: Dehaze):
        self.value_range = VALUE_RANGE[net.arch]
        self.probe = ProbeCell(net).of
        self._net = net
        self._graph = mindspore.jit(net)
        self.compiled: Set[Shape] = set()
        self._compilations = 0
        self._prepared: Optional[Shape] = None  # of PyNative mode's operators
        self._expected: Counter = Counter()
        self._seen: Counter = Counter()

    def expect(self, shape: Shape, calls: int) -> None:
        """Announce `calls` calls with arrays of `shape` (n, 3, h, w)."""
        self._expected[tuple(shape)] += calls

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Hazy images, float32[n, 3, h, w] in 0..value_range -> restored images of the same shape, not clipped."""
        self._seen[x.shape] += 1
        if x.shape not in self.compiled:
            is_full = len(self.compiled) == MAX_GRAPHS
            if not self._compiling_pays(x.shape) or (is_full and not self.forgets):
                return self._operator_by_operator(x)
            if is_full:
                self._forget_graphs()
            self._compilations += 1
        self.compiled.add(x.shape)
        return self._graph(Tensor(x)).asnumpy()

    def _operator_by_operator(self, x: np.ndarray) -> np.ndarray:
        if x.shape != self._prepared:  # PyNative mode keeps about 9 MB of operators for each shape it has seen
            _pynative_executor.clear_res()  # keeps the graphs
            self._prepared = x.shape
        return self._net(Tensor(x)).asnumpy()

    def _compiling_pays(self, shape: Shape) -> bool:
        if mindspore.get_context("mode") == mindspore.GRAPH_MODE:
            return True
        if self._compilations == MAX_COMPILED:
            return False
        pixels = shape[0] * shape[2] * shape[3]
        calls = max(self._expected[shape], self._seen[shape])
        needed = next(calls for size, calls in WORTH_COMPILING if pixels >= size)
        return pixels <= MAX_GRAPH_PIXELS and calls >= needed

    def _forget_graphs(self) -> None:
        mindspore.ms_memory_recycle()
        for shape in self.compiled:
            del self._expected[shape]
        self.compiled.clear()
        self._seen.clear()  # a shape is compiled again only after enough new calls


class CheckpointRunner(CellRunner):
    """The network of a checkpoint on one device. Its description is that in the checkpoint, and the runtime.

    Raises: InputError if the device or the checkpoint cannot be used.
    """

    def __init__(self, checkpoint: PathLike, device_target: str = "CPU", device_id: int = 0,
                 raw_weights: bool = False, dcn_backend: str = "auto"):
        select_device(device_target, device_id)
        net, description = load_network(checkpoint, raw_weights, dcn_backend)
        self.description = {**description, "runtime": f"mindspore {mindspore.__version__} on {device_target}"}
        self.path = Path(checkpoint)
        super().__init__(net)
