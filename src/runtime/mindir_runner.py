"""The network as an exported MINDIR, which MindSpore loads."""
from __future__ import annotations

from pathlib import Path
from typing import Optional, Tuple

import mindspore
import numpy as np
from mindspore import Tensor, nn

from ..device import select_device
from ..errors import InputError, one_line
from ..files import PathLike
from .padding import mirror_up, model_size
from .sidecar import read_sidecar


class MindirRunner:
    """A MINDIR as a `src.runtime.runner.Runner`. Its description is the sidecar, and the runtime.

    Raises: InputError if the model or its sidecar cannot be read.
    """

    def __init__(self, path: PathLike, device_target: str = "CPU", device_id: int = 0):
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"{self.path}: no such model")
        runtime = f"mindspore {mindspore.__version__} on {device_target}"
        self.description = {**read_sidecar(self.path), "runtime": runtime}
        self.value_range = float(self.description["range"][1])
        sides = tuple(self.description["shape"][2:])
        self.size: Optional[Tuple[int, int]] = None if sides == (-1, -1) else sides
        select_device(device_target, device_id)
        try:
            self._graph = nn.GraphCell(mindspore.load(str(self.path)))
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self.path}: not a MINDIR ({one_line(error)[:120]})") from None

    def expect(self, shape, calls: int) -> None:
        """Does nothing: the graph needs no preparation."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """float32[n, 3, h, w] in 0..value_range -> the same, restored.

        Raises: InputError for an image larger than a model of fixed size takes, or a model that does not run.
        """
        return np.concatenate([self._one(image[None]) for image in x])

    def _one(self, x: np.ndarray) -> np.ndarray:
        h, w = x.shape[2:]
        target = model_size((h, w), self.size, self.path)
        mindspore.set_context(mode=mindspore.GRAPH_MODE)  # a loaded graph runs in no other mode
        try:
            out = self._graph(Tensor(mirror_up(x, target))).asnumpy()
        except (RuntimeError, ValueError, TypeError) as error:
            raise InputError(f"{self.path}: MindSpore cannot run it at {target[1]}x{target[0]} "
                             f"({one_line(error)[:120]}); files for MindSpore Lite are for ascend310_infer/") from None
        return out[:, :, :h, :w]
