"""The convolutions of the shared block in int8, and the ranges of values that they need.

The values before a convolution are rounded to 256 steps of a range that scripts/calibrate_int8.py measured, the weights
to 255 steps for each channel of the result. All else stays as it is: docs/performance.md has what that costs and saves.
"""
from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple

import numpy as np

from ..errors import InputError, one_line
from ..files import PathLike, atomic_write, sha256
from ..spec import PASSES
from .onnx_nodes import Graph

QUANTIZED = ("block.conv1", "block.conv2")

Ranges = Mapping[str, Sequence[Tuple[float, float]]]  # convolution -> lowest and highest value before it in each pass


class Int8Graph(Graph):
    """A graph in which the convolutions of `ranges` compute in int8 where the runtime can."""

    def __init__(self, weights: Mapping[str, np.ndarray], dtype: np.dtype, ranges: Ranges):
        super().__init__(weights, dtype)
        self._ranges = {name: iter(passes) for name, passes in ranges.items()}

    def conv(self, x: str, name: str, padding: int = 0, stride: int = 1) -> str:
        if name not in self._ranges:
            return super().conv(x, name, padding, stride)
        step, zero = steps(*next(self._ranges[name]))
        x = self("DequantizeLinear", self("QuantizeLinear", x, step, zero), step, zero)
        weight = self.weights[f"{name}.weight"]
        rounded, sizes = rounded_weight(weight)
        kernel = self("DequantizeLinear", rounded, sizes, np.zeros(len(sizes), np.int8), axis=0)
        bias = [self.weights[f"{name}.bias"]] if f"{name}.bias" in self.weights else []
        return self("Conv", x, kernel, *bias, kernel_shape=weight.shape[2:], pads=[padding] * 4, strides=[stride] * 2)


class RecordingGraph(Graph):
    """A graph whose further outputs are the values before the convolutions of QUANTIZED, pass by pass."""

    def __init__(self, weights: Mapping[str, np.ndarray], dtype: np.dtype):
        super().__init__(weights, dtype)
        self.recorded: Dict[str, List[str]] = {name: [] for name in QUANTIZED}

    def conv(self, x: str, name: str, padding: int = 0, stride: int = 1) -> str:
        if name in QUANTIZED:
            self.recorded[name].append(x)
        return super().conv(x, name, padding, stride)

    def content(self, name, inputs, outputs):
        more = {x: ["batch", "channels", "rows", "columns"] for passes in self.recorded.values() for x in passes}
        return super().content(name, inputs, {**outputs, **more})


def steps(lowest: float, highest: float) -> Tuple[np.float32, np.uint8]:
    """The size of a step, and the step that is 0, so that uint8 covers the range and 0 stays exactly 0."""
    lowest, highest = min(lowest, 0.0), max(highest, 0.0)
    step = (highest - lowest) / 255 or 1.0  # 1: all values are 0
    return np.float32(step), np.uint8(round(-lowest / step))


def rounded_weight(weight: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """float32[c_out, c_in, 3, 3] -> int8 of the same shape in -127..127, and the size of a step for each c_out."""
    largest = np.abs(weight).reshape(len(weight), -1).max(1)
    sizes = (np.where(largest > 0, largest, 1) / 127).astype(np.float32)
    return np.rint(weight / sizes[:, None, None, None]).astype(np.int8), sizes


def ranges_path(checkpoint: PathLike) -> Path:
    """Where the ranges of a checkpoint lie: N.int8.json beside N.ckpt."""
    return Path(checkpoint).with_suffix(".int8.json")


def write_ranges(checkpoint: PathLike, ranges: Ranges, photos: int) -> Path:
    """Write the ranges beside the checkpoint. Returns: the file."""
    path = ranges_path(checkpoint)
    rounded = {name: [[round(float(end), 4) for end in pair] for pair in passes] for name, passes in ranges.items()}
    facts = {"checkpoint_sha256": sha256(checkpoint), "photos": photos, "ranges": rounded}
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return path


def read_ranges(checkpoint: PathLike) -> Ranges:
    """The ranges of a checkpoint. Raises: InputError if they are missing, damaged or those of another checkpoint."""
    path, again = ranges_path(checkpoint), f"python scripts/calibrate_int8.py {checkpoint} HAZY_PHOTOS writes it"
    if not path.is_file():
        raise InputError(f"--precision int8: needs {path}, which is not there; {again}")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        owner = facts["checkpoint_sha256"]
        ranges = {name: [(float(low), float(high)) for low, high in facts["ranges"][name]] for name in QUANTIZED}
        if not all(len(passes) == PASSES and np.isfinite(passes).all() and all(low <= high for low, high in passes)
                   for passes in ranges.values()):
            raise ValueError(f"each convolution needs {PASSES} ranges of two rising numbers")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: cannot be read as ranges ({one_line(error)[:120]}); {again}") from None
    if owner != sha256(checkpoint):
        raise InputError(f"{path}: holds the ranges of another checkpoint (sha256 differs); {again}")
    return ranges
